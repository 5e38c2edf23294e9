"""The world without stampline: right about tiers, and as stale as its lives allow."""

import asyncio

import pytest

from app.ttl_only import TtlOnlyCache
from tests.app.worlds import Clock
from versioning.backends.memory import AsyncMemoryValues, MemoryValues
from versioning.read import Tier


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.values = MemoryValues(lambda: self.clock.ms)
        self.row: object = {"name": "old"}
        self.loads = 0

    def cache(self) -> TtlOnlyCache:
        return TtlOnlyCache(
            AsyncMemoryValues(self.values),
            local_ttl_ms=15_000,
            redis_ttl_ms=30_000,
            local_max_entries=100,
            clock=self.clock,
        )

    async def load(self) -> object:
        self.loads += 1
        return self.row


async def test_a_value_comes_from_the_loader_then_the_process_then_redis() -> None:
    world = World()
    first, second = world.cache(), world.cache()
    tiers = [(await cache.read("a:1", world.load)).tier for cache in (first, first, second)]
    assert tiers == [Tier.LOADED, Tier.LOCAL, Tier.REDIS]
    assert world.loads == 1


async def test_both_lives_add_up() -> None:
    world = World()
    await world.cache().read("a:1", world.load)
    world.row = {"name": "new"}
    late = world.cache()
    world.clock.ms += 29_000
    await late.read("a:1", world.load)
    world.clock.ms += 14_000
    read = await late.read("a:1", world.load)
    assert (read.value, read.age_ms) == ({"name": "old"}, 43_000)
    world.clock.ms += 2_000
    assert await late.get("a:1", world.load) == {"name": "new"}


async def test_not_found_is_cached() -> None:
    world = World()
    world.row = None
    cache = world.cache()
    assert [await cache.get("a:1", world.load) for _ in range(2)] == [None, None]
    assert world.loads == 1


async def test_readers_at_once_load_once_and_share_the_error() -> None:
    world = World()

    async def fail() -> object:
        world.loads += 1
        raise OSError("database down")

    cache = world.cache()
    outcomes = await asyncio.gather(*(cache.read("a:1", fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [OSError] * 3
    assert world.loads == 1
    with pytest.raises(OSError, match="database down"):
        await cache.read("a:1", fail)
