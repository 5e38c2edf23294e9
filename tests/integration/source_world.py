"""A source that runs beside a test, and what it has appended."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.simulation.redis_server import RedisServer
from deploy.simulation.sql_server import PASSWORD, SqlServer
from replicator.source.options import SourceOptions
from replicator.source.run import check_source, run_source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from replicator.tables import TableSpec, WatchedTables
from tests.eventually import now_ms, until_async
from versioning.backends.base import StreamBackend
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.client.pulse import Pulse
from versioning.entries import Change, Entry, Generation, Heartbeat
from versioning.keys import KeyTemplate

ITEM = """
CREATE TABLE item (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, code VARCHAR(64) NOT NULL, shelf INT NULL,
  name VARCHAR(64) NOT NULL DEFAULT '', UNIQUE KEY code (code)) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4
"""
ITEM_KEYS = ["item:{id}", "item:code:{code|lower}", "shelf:{shelf}:{code}"]

_numbers = itertools.count(1)


def address(server: SqlServer, **options: Any) -> MySqlAddress:
    settings = {"user": "stampline_source", "password": PASSWORD, "ssl_disabled": True, **options}
    return MySqlAddress(server.host, server.port, **settings)


def watch(database: str, **tables: list[str]) -> WatchedTables:
    """`watch("shop", tracker_web=["tracker_web:{id}"])`"""
    return WatchedTables(
        tuple(
            TableSpec(database, table, tuple(KeyTemplate.parse(text) for text in templates))
            for table, templates in tables.items()
        )
    )


def kill_binlog_links(server: SqlServer) -> None:
    for row in server.query("SHOW PROCESSLIST"):
        if row["Command"] == "Binlog Dump":
            server.execute(f"KILL {row['Id']}")


@dataclass
class World:
    server: SqlServer
    redis: RedisServer
    tables: WatchedTables
    options: dict[str, Any] = field(default_factory=dict)
    may_adopt: bool = False
    stats: SourceStats = field(default_factory=SourceStats)

    def stream(self) -> RedisStream:
        return RedisStream.from_url(self.redis.url)

    def source_options(self) -> SourceOptions:
        settings = {"name": "a", "mysql": address(self.server), "heartbeat_ms": 200, **self.options}
        return SourceOptions(**settings)

    def run_source(
        self, stream: StreamBackend, stop: asyncio.Event, pulse: Pulse | None = None
    ) -> Coroutine[Any, Any, None]:
        templates = Templates(self.tables, may_adopt=self.may_adopt)
        return run_source(self.source_options(), templates, stream, stop=stop, stats=self.stats, pulse=pulse)

    @classmethod
    def with_items(cls, server: SqlServer, redis: RedisServer, **options: Any) -> "World":
        """A database of its own with an empty table `item`, watched with ITEM_KEYS."""
        database = f"shop_source_{next(_numbers)}"
        server.execute(f"CREATE DATABASE {database}")
        server.execute(ITEM, database=database)
        return cls(server, redis, watch(database, item=ITEM_KEYS), options)

    @property
    def database(self) -> str:
        return self.tables.specs[0].database

    def run(self, *statements: str, **options: Any) -> None:
        """Runs statements in one session of their own."""
        with self.server.connect(database=self.database, **options) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def insert(self, first: int, last: int | None = None) -> set[str]:
        """Insert the items `first` to `last`, each in a transaction of its own; return their keys `item:{id}`."""
        numbers = range(first, (last or first) + 1)
        for number in numbers:
            self.run(f"INSERT INTO item (id, code) VALUES ({number}, 'c{number}')")
        return {f"item:{number}" for number in numbers}

    @asynccontextmanager
    async def source(self) -> AsyncIterator["World"]:
        """Runs a source; on entry it reads the binlog, on exit it has stopped without an error."""
        stream, stop = self.stream(), asyncio.Event()
        self.stats = SourceStats()
        task = asyncio.create_task(self.run_source(stream, stop))
        try:
            await self.until(lambda: self.stats.is_connected or task.done(), "the source reads")
            if task.done():
                await task
            yield self
        finally:
            stop.set()
            try:
                await task
            finally:
                await stream.aclose()

    async def check(self) -> None:
        """What happens before a source starts; raises why it does not."""
        stream = self.stream()
        try:
            await check_source(self.source_options().mysql, self.tables, stream)
        finally:
            await stream.aclose()

    async def entries(self) -> list[Entry]:
        stream = self.stream()
        try:
            return await stream.read_after(0, count=100_000)
        finally:
            await stream.aclose()

    async def checkpoint(self) -> Checkpoint:
        stream = self.stream()
        try:
            stored = await stream.checkpoint("source:a")
        finally:
            await stream.aclose()
        assert stored is not None
        return stored

    async def bodies(self) -> list[Any]:
        return [entry.body for entry in await self.entries()]

    async def keys(self) -> list[str]:
        return [key for body in await self.bodies() if isinstance(body, Change) for key in body.keys]

    async def item_keys(self) -> list[str]:
        """Return the keys `item:{id}` as they were stamped, those stamped again included."""
        return [key for key in await self.keys() if key.startswith("item:") and not key.startswith("item:code")]

    async def generations(self) -> list[Generation]:
        return [body for body in await self.bodies() if isinstance(body, Generation)]

    async def forget(self) -> None:
        """After this, only what comes later counts (the stream itself stays as it is)."""
        await self.caught_up()
        self.redis.client().xtrim("{stampline}:stream", maxlen=0)

    async def caught_up(self) -> None:
        """Everything committed until now is in the stream."""
        asked_ms = now_ms()

        async def is_read() -> bool:
            return any(isinstance(body, Heartbeat) and body.read_ms >= asked_ms for body in await self.bodies())

        await self.until(is_read, "all until now is read")

    async def until(self, claim: Callable[[], Any], what: str) -> None:
        await until_async(claim, what, every_s=0.02, show=lambda: self.stats)
