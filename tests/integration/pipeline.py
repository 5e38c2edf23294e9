"""The whole way under load: a writer on a real primary, two sources, two mirrors, readers; and what must hold of it.

Every stamp that any writer of a stream was given is kept, so that I4 is checked over what was lost too. What is served
is compared with the primary's rows; the limits stay at their defaults, so that stamps and not TTLs bring readers up to
date.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deploy.simulation.mariadb import MariaDb
from replicator.mirror.gate_mysql import MySqlGate
from replicator.mirror.options import MirrorOptions, MirrorStats
from replicator.mirror.run import run_mirror
from replicator.source.options import SourceOptions
from replicator.source.run import run_source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from tests.eventually import now_ms, until_async
from tests.integration.mirror_site import gate_on
from tests.integration.source_world import address, watch
from versioning import AsyncVersionedCache
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import AsyncMemoryValues, MemoryValues
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Change

ROWS = 12
WRITE_PAUSE_S = 0.01
DEADLINE_S = 60.0
"""I3 and I5: a minute after the last fault and the last write, all is there."""

MIRROR = MirrorOptions(heartbeat_ms=100, silence_ms=2_000, check_ms=300)


@dataclass
class StampLog:
    """What every append to one stream was given, with its begin and end."""

    appends: list[tuple[float, float, list[int]]] = field(default_factory=list)

    def assert_only_grown(self) -> None:
        """I4: an append that began after another one's answer got greater stamps; no stamp was given twice."""
        stamps = [stamp for _, _, given in self.appends for stamp in given]
        assert len(stamps) == len(set(stamps))
        answered = sorted(self.appends, key=lambda append: append[1])
        highest, done = 0, 0
        for began, _, given in sorted(self.appends):
            while answered[done][1] < began:
                highest, done = max(highest, *answered[done][2]), done + 1
            assert given[0] > highest


class LoggedStream(RedisStream):
    log: StampLog

    async def append(self, batch: Append) -> list[int]:
        began = time.monotonic()
        given = await super().append(batch)
        self.log.appends.append((began, time.monotonic(), given))
        return given


@dataclass
class Pipeline:
    primary: MariaDb
    database: str
    url_a: str
    url_b: str
    wan_url: str = ""
    """Stream A as the mirrors see it; empty: as the sources do."""
    options_a: dict[str, Any] = field(default_factory=dict)
    """Of the sources' streams."""
    log_a: StampLog = field(default_factory=StampLog)
    log_b: StampLog = field(default_factory=StampLog)
    source_stats: list[SourceStats] = field(default_factory=list)
    mirror_stats: list[MirrorStats] = field(default_factory=list)
    readers: list[AsyncVersionedCache] = field(default_factory=list)
    committed: dict[str, int] = field(default_factory=dict)
    """Key to the sequence number of its last commit's GTID."""
    loads: int = 0
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _writing: "asyncio.Task[None] | None" = None
    _is_writing: bool = True
    _streams: list[RedisStream] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, primary: MariaDb, database: str, url_a: str, url_b: str, *, wan_url: str = "", **options_a: Any
    ) -> "AsyncIterator[Pipeline]":
        """Two sources, two mirrors gated by the primary itself, two readers; and load until ``rest``."""
        pipeline = cls(primary, database, url_a, url_b, wan_url, options_a)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(pipeline._close)
            pipeline._insert()
            for _ in range(2):
                pipeline._start_source()
                pipeline._start_mirror()
                await pipeline._start_reader(stack)
            pipeline._writing = asyncio.create_task(asyncio.to_thread(pipeline._write))
            await pipeline.until(lambda: not any(r.info().is_lagging for r in pipeline.readers), "the readers follow")
            await pipeline.read_all()
            yield pipeline

    def _insert(self) -> None:
        for number in range(1, ROWS + 1):
            sql = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (%s, %s, 0)"
            self.primary.execute(sql, (number, f"t-{number}"), database=self.database)

    def stream(self, url: str, log: StampLog, **options: Any) -> LoggedStream:
        stream = LoggedStream.from_url(url, **options)
        stream.log = log
        self._streams.append(stream)
        return stream

    def _start_source(self) -> None:
        tables = watch(self.database, tracker_web=["tracker_web:{id}"])
        options = SourceOptions("a", address(self.primary), heartbeat_ms=100)
        stats = SourceStats()
        self.source_stats.append(stats)
        stream = self.stream(self.url_a, self.log_a, **self.options_a)
        source = run_source(options, Templates(tables), stream, stop=asyncio.Event(), stats=stats)
        self._tasks.append(asyncio.create_task(source))

    def _start_mirror(self) -> None:
        stats = MirrorStats()
        self.mirror_stats.append(stats)
        gates: list[MySqlGate] = [gate_on(self.primary, "primary")]
        origin = self.stream(self.wan_url or self.url_a, self.log_a)
        target = self.stream(self.url_b, self.log_b, version_keys=True)
        self._tasks.append(
            asyncio.create_task(run_mirror(MIRROR, origin, target, gates, stop=asyncio.Event(), stats=stats))
        )

    async def _start_reader(self, stack: AsyncExitStack) -> None:
        values = MemoryValues(now_ms)
        reader = AsyncVersionedCache(stream=lambda: RedisStream.from_url(self.url_b), values=AsyncMemoryValues(values))
        self.readers.append(await stack.enter_async_context(reader))

    def _write(self) -> None:
        sql = "UPDATE tracker_web SET tenant_id = tenant_id + 1 WHERE id = %s"
        with self.primary.connect(database=self.database) as connection, connection.cursor() as cursor:
            for number in itertools.cycle(range(1, ROWS + 1)):
                if not self._is_writing:
                    return
                cursor.execute(sql, (number,))
                cursor.execute("SELECT @@last_gtid AS gtid")
                self.committed[f"tracker_web:{number}"] = _sequence(str(cursor.fetchall()[0]["gtid"]))
                time.sleep(WRITE_PAUSE_S)

    async def read_all(self) -> list[dict[str, Any]]:
        """What each reader serves now, of all keys."""
        keys = [f"tracker_web:{number}" for number in range(1, ROWS + 1)]
        return [{key: await reader.get(key, partial(self._load, key)) for key in keys} for reader in self.readers]

    async def _load(self, key: str) -> int:
        self.loads += 1
        sql = "SELECT tenant_id FROM tracker_web WHERE id = %s"
        number = key.partition(":")[2]
        return int(await asyncio.to_thread(self.primary.scalar, sql, (number,), database=self.database))

    async def run_for(self, seconds: float) -> None:
        """Load goes on, and all keys are read all the time."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            await self.read_all()
            await asyncio.sleep(0.02)

    async def until(self, claim: Callable[[], object], what: str) -> None:
        def is_so() -> object:
            for task in self._tasks:
                if task.done():
                    task.result()
            return claim()

        await until_async(is_so, what, every_s=0.02, show=lambda: (self.source_stats, self.mirror_stats))

    async def assert_converges(self) -> None:
        """Load ends; then I3, I5 and I4 hold."""
        await self._end_writing()
        rows = await asyncio.to_thread(
            self.primary.query, "SELECT id, tenant_id FROM tracker_web", database=self.database
        )
        truth = {f"tracker_web:{row['id']}": row["tenant_id"] for row in rows}
        missing: list[str] = []
        served: list[dict[str, Any]] = []

        async def has_converged() -> bool:
            nonlocal missing, served
            missing = await self._uncovered()
            served = [] if missing else await self.read_all()
            return not missing and all(values == truth for values in served)

        def seen() -> object:
            return missing, truth, served, self.mirror_stats

        await until_async(has_converged, "all is stamped and served", DEADLINE_S, every_s=0.1, show=seen)
        self.log_a.assert_only_grown()
        self.log_b.assert_only_grown()

    async def _end_writing(self) -> None:
        self._is_writing = False
        if self._writing is not None:
            await self._writing

    async def _uncovered(self) -> list[str]:
        """Keys whose last commit has no entry in stream B with its position or a later one."""
        covered: dict[str, int] = {}
        try:
            entries = await self.stream_b.read_after(0, count=100_000)
        except UnavailableError:  # a Cluster that has just been healed may take a moment more than the load lasts
            return sorted(self.committed)
        for entry in entries:
            if isinstance(entry.body, Change) and entry.body.gtid:
                for key in entry.body.keys:
                    covered[key] = max(covered.get(key, 0), _sequence(entry.body.gtid))
        return [key for key, sequence in self.committed.items() if covered.get(key, 0) < sequence]

    @property
    def stream_b(self) -> RedisStream:
        return self._streams[-1]

    async def _close(self) -> None:
        await self._end_writing()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            await stream.aclose()


def _sequence(gtid: str) -> int:
    return int(gtid.rpartition("-")[2])
