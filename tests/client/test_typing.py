"""What type checkers of users know of us: mypy reads this file with the others, and complains where it knows less."""

import asyncio
import pickle
from collections.abc import AsyncIterator
from typing import assert_type

import pytest

import versioning
from tests.client.worlds import CountedValues, World
from versioning import AsyncVersionedCache


@pytest.fixture
async def cache() -> AsyncIterator[AsyncVersionedCache]:
    world = await World().begin()
    values = CountedValues(world.values)
    async with AsyncVersionedCache(stream=world.stream, values=values, serializer=pickle) as cache:
        yield cache


async def test_a_cached_coroutine_function_makes_coroutines(cache: AsyncVersionedCache) -> None:
    @cache.cached("t:{number}")
    async def load(number: int, *, is_whole: bool = False) -> tuple[int, bool]:
        return number, is_whole

    async with asyncio.TaskGroup() as group:
        first, second = group.create_task(load(1)), group.create_task(load(2, is_whole=True))
    assert (assert_type(first.result(), tuple[int, bool]), second.result()) == ((1, False), (2, True))


def test_a_name_that_is_not_ours_is_known_not_to_be() -> None:
    with pytest.raises(AttributeError):
        versioning.AsyncVersionCache  # type: ignore[attr-defined]  # noqa: B018
