"""The processes: the real source, the real mirror and the real cache, each with its lines to the servers."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from replicator.mirror.options import MirrorStats
from replicator.mirror.run import Mirror
from replicator.source.options import SourceOptions
from replicator.source.run import _Source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from replicator.tables import TableSpec, WatchedTables
from tests.simulation import limits
from tests.simulation.history import LoadBegun, ReadDone
from tests.simulation.network import Line
from tests.simulation.process import Process
from tests.simulation.replica import SimulatedGate
from tests.simulation.streams import StreamClient, StreamServer
from tests.simulation.values import ValueClient
from tests.simulation.world import KEYS
from versioning.backends.base import UnavailableError
from versioning.backends.mysql_address import MySqlAddress
from versioning.client.async_cache import AsyncVersionedCache
from versioning.errors import StamplineError
from versioning.keys import KeyTemplate
from versioning.read import Read

if TYPE_CHECKING:
    from tests.simulation.world import World

SOURCES = ("source-1", "source-2")
MIRRORS = ("mirror-1", "mirror-2")
READERS = ("reader-1", "reader-2", "reader-3")
NAMES = SOURCES + MIRRORS + READERS

LINKS = (
    *((name, server) for name in MIRRORS for server in ("stream-a", "stream-b")),
    *((name, server) for name in SOURCES for server in ("stream-a", "primary")),
    *((name, server) for name in READERS for server in ("stream-b", "values")),
)
"""Who needs what, but for a mirror's links to the replicas."""

LAN_S = (0.0003, 0.002)
WAN_S = (0.03, 0.08)
LOAD_S = (0.002, 0.06)
STREAM_TIMEOUT_S = 1.5
VALUES_TIMEOUT_S = 0.05
READ_EVERY_S = 0.35
MANY, REFRESHED = 0.25, 0.05
"""Where readers use all calls of a cache: so many of the reads are of three keys, or load whatever is cached."""
LOOPS = 2
"""Reads under way at once in one reader."""

_TABLES = WatchedTables((TableSpec("shop", "items", (KeyTemplate.parse("item:{id}"),)),))
_SOURCE_OPTIONS = SourceOptions(
    name="a",
    mysql=MySqlAddress("primary"),
    heartbeat_ms=limits.HEARTBEAT_MS,
    read_timeout_ms=limits.READ_TIMEOUT_MS,
    window_ms=limits.WINDOW_MS,
    keys_max=limits.KEYS_MAX,
    generation_spread_ms=limits.GENERATION_SPREAD_MS,
)


class LoadError(StamplineError):
    """No replica answers."""


def begin(world: "World", process: Process) -> None:
    """Start what a process of this name runs."""
    kind = process.name.partition("-")[0]
    works = {"source": run_source, "mirror": run_mirror, "reader": Reader.begin}
    works[kind](process)


def _stream(process: Process, server: StreamServer, *, is_far: bool = False) -> Any:
    delay_s = WAN_S if is_far else LAN_S
    cable = process.world.cable(process.name, server.name)
    return StreamClient(server, Line(server, delay_s=delay_s, timeout_s=STREAM_TIMEOUT_S, cable=cable))


def _values(process: Process) -> ValueClient:
    server = process.world.values
    cable = process.world.cable(process.name, server.name)
    return ValueClient(server, Line(server, delay_s=LAN_S, timeout_s=VALUES_TIMEOUT_S, cable=cable))


def run_source(process: Process, templates: Templates | None = None) -> None:
    stream = _stream(process, process.world.stream_a)

    def begin() -> _Source:
        return _Source(_SOURCE_OPTIONS, templates or Templates(_TABLES), stream, SourceStats())

    process.spawn(_run_role(process, begin))


def gates(process: Process) -> list[Any]:
    world = process.world
    if world.is_timed:
        return []
    listed = (replica for replica in world.replicas if replica.is_listed)
    return [SimulatedGate(replica, world.cable(process.name, replica.name)) for replica in listed]


def run_mirror(process: Process) -> None:
    process.spawn(_run_role(process, lambda: _mirror(process, gates(process))))


async def _run_role(process: Process, begin: Callable[[], Any]) -> None:
    role = process.world.roles[process.name] = begin()
    await _must_go_on(process, role.run)


def _mirror(process: Process, listed: list[Any]) -> Mirror:
    return Mirror(
        limits.MIRROR,
        _stream(process, process.world.stream_a, is_far=True),
        _stream(process, process.world.stream_b),
        listed,
        stats=MirrorStats(),
        clock=process.now,
    )


async def _must_go_on(process: Process, run: Callable[[], Any]) -> None:
    """No fault of a server or a link ends a role: an end is a finding of its own."""
    try:
        await run()
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        process.world.violate("roles go on", f"{process.name} ended: {error!r}")
        raise


class Reader:
    """A web process: reads keys, all the time."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.world = process.world
        self.incarnation = len(self.world.history.trace)
        self.cache = AsyncVersionedCache(
            stream=_stream(process, self.world.stream_b),
            values=_values(process),
            options=limits.CACHE,
            clock=process.now,
        )
        self.lines = [
            Line(replica, delay_s=(LOAD_S[0] / 2, LOAD_S[1] / 2), timeout_s=1.0) for replica in self.world.replicas
        ]

    @classmethod
    def begin(cls, process: Process) -> None:
        reader = cls(process)
        process.world.readers[process.name] = reader
        process.spawn(_must_go_on(process, reader.run))

    async def run(self) -> None:
        # One start in two does not wait until the window is covered: then nothing is vouched for meanwhile.
        await self.cache.start(0 if self.world.rng.random() < 1 / 2 else 5.0)
        await asyncio.gather(*(self._read_on() for _ in range(LOOPS)))

    async def _read_on(self) -> None:
        rng = self.world.rng
        while self.world.is_reading:
            key = rng.choice(KEYS)
            way = rng.random() if self.world.is_varied else 1.0
            if way < MANY:
                await self._read_many((key, *rng.sample(KEYS, 2)))
            elif way < MANY + REFRESHED:
                await self._refresh(key)
            else:
                await self.read(key)
            await asyncio.sleep(rng.random() * 2 * READ_EVERY_S)

    async def read(self, key: str) -> None:
        watermark = self.cache.index.watermark

        async def found() -> Mapping[str, Read]:
            return {key: await self.cache.read(key, lambda: self._load(key, watermark))}

        await self._ask((key,), found())

    async def _read_many(self, keys: tuple[str, ...]) -> None:
        watermark = self.cache.index.watermark

        async def load(missing: tuple[str, ...]) -> dict[str, int]:
            begun = [self._begin_load(key, watermark) for key in missing]
            try:
                return dict(zip(missing, await asyncio.gather(*map(self._row, begun)), strict=True))
            except LoadError:
                for one in begun:
                    self.world.load_failed(one)
                raise

        await self._ask(keys, self.cache.read_many(keys, load))

    async def _refresh(self, key: str) -> None:
        watermark = self.cache.index.watermark

        async def loaded() -> Mapping[str, Read]:
            await self.cache.refresh(key, lambda: self._load(key, watermark, is_forced=True))
            return {}

        await self._ask((key,), loaded())

    async def _ask(self, keys: tuple[str, ...], answer: Awaitable[Mapping[str, Read]]) -> None:
        asked_s = self.world.loop.time()
        try:
            reads = await answer
        except LoadError:
            return
        except StamplineError as error:
            self.world.read_failed(self.process.name, ", ".join(keys), error)
            return
        now_s = self.world.loop.time()
        for key, read in reads.items():
            tier, verdict = read.tier.value, read.verdict.value
            self.world.read(ReadDone(self.process.name, key, asked_s, now_s, read.value, tier, verdict, read.stamp))

    async def _load(self, key: str, asked_watermark: int, *, is_forced: bool = False) -> int:
        begun = self._begin_load(key, asked_watermark, is_forced=is_forced)
        try:
            return await self._row(begun)
        except LoadError:
            self.world.load_failed(begun)
            raise

    def _begin_load(self, key: str, asked_watermark: int, *, is_forced: bool = False) -> LoadBegun:
        name, now_s = self.process.name, self.world.loop.time()
        index = self.cache.index
        watermark = index.watermark
        has_forgotten = not watermark or watermark < asked_watermark
        is_cold = self.cache._core.reading.is_cold(key, self.process.now())
        fill_stamp = index.fill_stamp(key)
        begun = LoadBegun(name, self.incarnation, key, now_s, watermark, fill_stamp, has_forgotten, is_cold, is_forced)
        self.world.load(begun)
        return begun

    async def _row(self, begun: LoadBegun) -> int:
        world = self.world
        await self._dawdle()
        first = world.rng.randrange(len(self.lines))
        for place in (first, 1 - first):
            replica, line = world.replicas[place], self.lines[place]
            if not replica.is_read:
                continue
            try:
                value: int = await line.ask(partial(replica.row, begun.key))
            except UnavailableError:
                continue
            await self._dawdle()
            return value
        raise LoadError("no replica answers")

    async def _dawdle(self) -> None:
        if self.world.load_extra_s:
            await asyncio.sleep(self.world.rng.random() * self.world.load_extra_s)
