"""asyncio.eager_task_factory (Python 3.12): a task runs within create_task until it waits, and may be done there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis

from tests.client.worlds import CountedValues, World
from versioning import AsyncVersionedCache, LoadFailedError
from versioning.backends.base import UnavailableError
from versioning.backends.redis_border import Border
from versioning.backends.redis_pipeline import Pipeline

EAGER: Any = getattr(asyncio, "eager_task_factory", None)
pytestmark = pytest.mark.skipif(EAGER is None, reason="Python 3.12 has eager tasks")


@pytest.fixture
async def cache() -> AsyncIterator[AsyncVersionedCache]:
    asyncio.get_running_loop().set_task_factory(EAGER)
    world = await World().begin()
    async with AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values)) as cache:
        yield cache


async def test_a_loader_may_read_another_key(cache: AsyncVersionedCache) -> None:
    async def other() -> int:
        return 1

    async def load() -> int:
        return 1 + await cache.get("t:1", other)

    assert await cache.get("t:2", load) == 2


async def test_a_loader_that_waits_for_itself_is_told_so(cache: AsyncVersionedCache) -> None:
    async def load() -> int:
        return await cache.get("t:1", load)

    with pytest.raises(LoadFailedError, match="waits for that key itself"):
        await cache.get("t:1", load)


class _Refusing:
    """A pool that cannot connect, and knows it at once."""

    calls = 0

    async def get_connection(self) -> None:
        self.calls += 1
        raise redis.ConnectionError("no")


async def test_a_connection_that_fails_at_once_is_tried_again() -> None:
    asyncio.get_running_loop().set_task_factory(EAGER)
    pool = _Refusing()
    pipeline = Pipeline(pool, Border("r"), timeout_ms=50)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(pipeline.ask(b"GET"), 5)
    assert pool.calls == 2
