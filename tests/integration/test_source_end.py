"""How a source ends: what it has read is appended, if the stream takes it in time."""

import asyncio
import time

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from replicator.source import run as source_run
from replicator.source.stats import SourceStats
from tests.eventually import DEADLINE_S
from tests.integration.source_world import World
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.client.pulse import Pulse


class HeldStream(RedisStream):
    """Holds appends back while ``is_open`` is not set."""

    is_open: asyncio.Event
    is_asked: asyncio.Event

    async def append(self, batch: Append) -> list[int]:
        self.is_asked.set()
        await self.is_open.wait()
        return await super().append(batch)


class Clock:
    ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


class Ending:
    """A source whose appends are held back while rows are written, and that is then told to stop."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stop, self.clock = asyncio.Event(), Clock()
        self.pulse = Pulse(clock_s=self.clock)
        self.stream = HeldStream.from_url(world.redis.url)
        self.stream.is_open, self.stream.is_asked = asyncio.Event(), asyncio.Event()
        self.stream.is_open.set()
        world.stats = SourceStats()
        self.task = asyncio.create_task(world.run_source(self.stream, self.stop, self.pulse))

    async def hold_rows(self) -> None:
        await self.world.until(lambda: self.world.stats.is_connected, "the source reads")
        self.stream.is_open.clear()
        self.stream.is_asked.clear()
        await asyncio.wait_for(self.stream.is_asked.wait(), DEADLINE_S)
        rows = self.world.stats.rows + 3
        for number in range(3):
            self.world.run(f"INSERT INTO item (code, shelf) VALUES ('c{number}', 1)")
        await self.world.until(lambda: self.world.stats.rows >= rows, "the rows are read")

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, DEADLINE_S)
        await self.stream.aclose()


async def test_at_its_end_a_source_appends_what_it_has_read(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    ending = Ending(world)
    await ending.hold_rows()
    ending.stop.set()
    ending.stream.is_open.set()
    await ending.end()
    assert [f"item:code:c{number}" in await world.keys() for number in range(3)] == [True] * 3


async def test_a_stream_that_does_not_answer_holds_up_the_end_for_a_time_and_shows_in_the_age(
    mariadb_a: MariaDb, redis_a: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_run, "FLUSH_MAX_S", 0.1)
    world = World.with_items(mariadb_a, redis_a)
    ending = Ending(world)
    await world.until(lambda: world.stats.is_connected, "the source reads")
    ending.clock.ahead_s = 3_600  # Its reader waits for nothing to come: that is not held against it.
    await world.until(lambda: ending.pulse.complaint() is None, "nothing is held against it")
    await ending.hold_rows()
    ending.clock.ahead_s = 7_200
    assert ending.pulse.is_overdue
    await ending.end()
    assert "item:code:c0" not in await world.keys()
