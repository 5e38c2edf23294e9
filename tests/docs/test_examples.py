"""What a page shows as Python runs as it stands: whoever embeds a cache begins by pasting it.

Only what it leaves open is given: the database, and servers in memory at the addresses it names.
"""

import asyncio
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from tests.client.worlds import World
from tests.docs.pages import ROOT
from versioning.backends.memory import AsyncMemoryValues
from versioning.client import async_cache, sync_cache

PAGES = ["README.md", "deploy/INTEGRATION.md"]
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Database:
    def __init__(self) -> None:
        self.loads = 0

    def load_tracker(self, number: int) -> dict[str, int]:
        self.loads += 1
        return {"id": number}

    async def fetch_one(self, _sql: str, number: int) -> dict[str, int]:
        return self.load_tracker(number)


def run(page: str, number: int, database: Database) -> dict[str, Any]:
    """Return what the page's example defines: the first one is for asyncio, the second one for threads."""
    examples = _PYTHON.findall(Path(ROOT, page).read_text())
    assert len(examples) == 2
    names: dict[str, Any] = {"database": database, "load_tracker": database.load_tracker}
    exec(examples[number], names)  # noqa: S102 - our own page
    return names


@pytest.mark.parametrize("page", PAGES)
async def test_the_asyncio_example_loads_once_within_its_lifespan(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, database = await World().begin(), Database()
    monkeypatch.setattr(async_cache, "RedisStream", lambda *_, **__: world.stream)
    monkeypatch.setattr(async_cache, "AsyncRedisValues", lambda *_, **__: AsyncMemoryValues(world.values))
    names = run(page, 0, database)
    app = names.get("app") or Starlette(lifespan=names["lifespan"])
    async with app.router.lifespan_context(app):
        assert await names["tracker"](1) == {"id": 1}
        assert await names.get("read", names["tracker"])(1) == {"id": 1}
    assert database.loads == 1


@pytest.mark.parametrize("page", PAGES)
def test_the_example_for_threads_loads_once(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, database = asyncio.run(World().begin()), Database()
    monkeypatch.setattr(sync_cache, "RedisStream", lambda *_, **__: world.stream)
    monkeypatch.setattr(sync_cache, "RedisValues", lambda *_, **__: world.values)
    names = run(page, 1, database)
    with closing(names["cache"]):
        assert names["tracker"](1) == {"id": 1}
        assert names["tracker"](1) == {"id": 1}
    assert database.loads == 1
