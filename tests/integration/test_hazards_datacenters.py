"""Datacenters that change their roles, by the runbook: one is lost, comes back to read, and writes again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from replicator.mirror.run import run_mirror
from replicator.source.options import SourceOptions
from replicator.source.run import run_source
from replicator.source.templates import Templates
from tests.eventually import now_ms, until_async
from tests.integration.mirror_site import OPTIONS, gate_on
from tests.integration.source_world import address, watch
from versioning import AsyncVersionedCache
from versioning.backends.memory import AsyncMemoryValues, MemoryValues
from versioning.backends.redis_stream import RedisStream
from versioning.verdict import Verdict

DATABASE = "shop_moving"
KEY = "tracker_web:1"
Role = Callable[[asyncio.Event], Awaitable[None]]


@dataclass
class Datacenter:
    mysql: MariaDb
    redis: RedisServer

    def source(self, stream_name: str) -> Role:
        async def role(stop: asyncio.Event) -> None:
            tables = watch(DATABASE, tracker_web=["tracker_web:{id}"])
            options = SourceOptions("mysql", address(self.mysql), heartbeat_ms=100)
            async with opened(self.redis, stream_name) as stream:
                await run_source(options, Templates(tables), stream, stop=stop)

        return role

    def mirror(self, origin: "Datacenter", origin_name: str) -> Role:
        async def role(stop: asyncio.Event) -> None:
            async with opened(origin.redis, origin_name) as read, opened(self.redis, version_keys=True) as written:
                await run_mirror(OPTIONS, read, written, [gate_on(self.mysql)], stop=stop)

        return role

    @contextlib.asynccontextmanager
    async def reader(self) -> AsyncIterator["Reader"]:
        values = AsyncMemoryValues(MemoryValues(now_ms))
        async with AsyncVersionedCache(stream=lambda: RedisStream.from_url(self.redis.url), values=values) as cache:
            yield Reader(cache, self.mysql)

    def write(self, number: int) -> None:
        self.mysql.execute("UPDATE tracker_web SET tenant_id = %s WHERE id = 1", (number,), database=DATABASE)

    def follow(self, primary: "Datacenter") -> None:
        """As what has written until now."""
        self.mysql.execute("SET GLOBAL read_only = ON")
        self.mysql.execute(f"SET GLOBAL gtid_slave_pos = '{self.mysql.gtid_position()}'")
        self.mysql.replicate_from(primary.mysql.port)

    def promote(self) -> None:
        for sql in ("STOP ALL SLAVES", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"):
            self.mysql.execute(sql)


@dataclass
class Reader:
    cache: AsyncVersionedCache
    mysql: MariaDb

    async def shows(self, number: int) -> None:
        """It serves this version, proven current, in time; and never vouches for one that its database has not."""

        async def is_so() -> bool:
            read = await self.cache.read(KEY, self._load)
            return (read.value, read.verdict) == (number, Verdict.FRESH)

        await until_async(is_so, f"version {number} is served", every_s=0.02, show=self.cache.info)

    async def _load(self) -> Any:
        sql = "SELECT tenant_id FROM tracker_web WHERE id = 1"
        return await asyncio.to_thread(self.mysql.scalar, sql, database=DATABASE)


@contextlib.asynccontextmanager
async def opened(redis: RedisServer, name: str = "stampline", **options: Any) -> AsyncIterator[RedisStream]:
    stream = RedisStream.from_url(redis.url, name=name, **options)
    try:
        yield stream
    finally:
        await stream.aclose()


@contextlib.asynccontextmanager
async def running(*roles: Role) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.ensure_future(role(stop)) for role in roles]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def test_a_lost_datacenter_comes_back_to_read_and_writes_again(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, redis_b: RedisServer
) -> None:
    a, b = Datacenter(new_mariadb(), redis_a), Datacenter(new_mariadb(read_only="ON"), redis_b)
    a.mysql.create_database(DATABASE)
    a.mysql.execute("INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (1, 't', 0)", database=DATABASE)
    b.mysql.replicate_from(a.mysql.port)
    async with b.reader() as in_b:
        async with running(a.source("stampline"), b.mirror(a, "stampline")):
            await in_b.shows(0)
            a.write(1)
            await in_b.shows(1)

        # A is lost: sources and mirrors in B, by a stream of the sources' own.
        b.mysql.catch_up_with(a.mysql)
        b.promote()
        async with running(b.source("origin"), b.mirror(b, "origin")):
            b.write(2)
            await in_b.shows(2)

            # A is there again, and reads.
            a.follow(b)
            async with running(a.mirror(b, "origin")), a.reader() as in_a:
                await in_a.shows(2)
                b.write(3)
                await in_a.shows(3)
                await in_b.shows(3)

        # A writes again: the sources move before it is promoted.
        b.mysql.execute("SET GLOBAL read_only = ON")
        a.mysql.catch_up_with(b.mysql)
        async with running(a.source("origin"), a.mirror(a, "origin"), b.mirror(a, "origin")), a.reader() as in_a:
            await in_b.shows(3)
            a.promote()
            b.follow(a)
            a.write(4)
            await in_a.shows(4)
            await in_b.shows(4)
