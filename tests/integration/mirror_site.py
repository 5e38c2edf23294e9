"""Two datacenters for the mirror's tests: real commits in A, stamped at once, and mirrors into a real stream B."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.sql_server import PASSWORD, SqlServer
from replicator.mirror.gate_mysql import MySqlGate
from replicator.mirror.options import MirrorOptions, MirrorStats
from replicator.mirror.run import run_mirror
from replicator.mirror.words import is_own_gap
from tests.eventually import now_ms, until_async
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Body, Change, Entry, Gap, Heartbeat, NewEntry

OPTIONS = MirrorOptions(gate_limit_ms=20_000, heartbeat_ms=100, silence_ms=2_000, check_ms=300)
IMPATIENT = MirrorOptions(gate_limit_ms=300, heartbeat_ms=100, silence_ms=2_000, check_ms=300)


def gate_on(
    server: SqlServer, name: str = "replica-b", user: str = "stampline_gate", password: str = PASSWORD
) -> MySqlGate:
    return MySqlGate(name, MySqlAddress(server.host, server.port, user, password, ssl_disabled=True))


@dataclass
class RunningMirror:
    task: "asyncio.Task[None]"
    stop: asyncio.Event
    stats: MirrorStats

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class Site:
    """``commit`` writes a row in A and its entry into stream A, as a source without any delay would."""

    primary: MariaDb
    database: str
    redis_a: RedisServer
    redis_b: RedisServer
    origin: RedisStream
    target: RedisStream
    mirrors: list[RunningMirror] = field(default_factory=list)
    appended_ms: dict[str, float] = field(default_factory=dict)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, primary: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer
    ) -> "AsyncIterator[Site]":
        origin = RedisStream.from_url(redis_a.url)
        target = RedisStream.from_url(redis_b.url, version_keys=True)
        site = cls(primary, database, redis_a, redis_b, origin, target)
        await site.append(Gap("begun"))
        beating = asyncio.ensure_future(site._beat())
        try:
            yield site
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            for mirror in site.mirrors:
                await mirror.kill()
            await origin.aclose()
            await target.aclose()

    async def _beat(self) -> None:
        while True:
            await self.append(Heartbeat(now_ms(), gtid=await asyncio.to_thread(self.primary.gtid_position)))
            await asyncio.sleep(0.1)

    def start(
        self, *gates: MySqlGate, options: MirrorOptions = OPTIONS, origin_port: int | None = None
    ) -> RunningMirror:
        async def work() -> None:
            url = self.redis_a.url if origin_port is None else f"redis://127.0.0.1:{origin_port}/0"
            origin = RedisStream.from_url(url)
            target = RedisStream.from_url(self.redis_b.url, version_keys=True)
            try:
                await run_mirror(options, origin, target, gates, stop=stop, stats=stats)
            finally:
                await origin.aclose()
                await target.aclose()

        stop, stats = asyncio.Event(), MirrorStats()
        mirror = RunningMirror(asyncio.ensure_future(work()), stop, stats)
        self.mirrors.append(mirror)
        return mirror

    async def append(self, body: Body) -> int:
        batch = Append((NewEntry(secrets.token_hex(8), body),), clock_ms=0)
        return (await self.origin.append(batch))[0]

    async def commit(self, number: int) -> str:
        """Return the key."""
        sql = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (%s, %s, 1)"
        await asyncio.to_thread(self.primary.execute, sql, (number, f"t-{number}"), database=self.database)
        gtid = await asyncio.to_thread(self.primary.gtid_position)
        key = f"tracker_web:{number}"
        self.appended_ms[key] = time.monotonic() * 1000
        await self.append(Change((key,), gtid, now_ms()))
        return key

    async def entries(self) -> list[Entry]:
        return await self.target.read_after(stamps.ZERO, count=100_000)

    async def until(self, claim: Callable[["Seen"], bool], what: str = "what is seen in B") -> "Seen":
        """Return what is in stream B once it is as it should be."""
        seen = Seen([])

        async def is_so() -> bool:
            nonlocal seen
            for mirror in self.mirrors:
                if mirror.task.done() and not mirror.task.cancelled():
                    mirror.task.result()
            seen = Seen(await self.entries())
            return claim(seen)

        def shown() -> object:
            return seen.entries[-10:], [mirror.stats for mirror in self.mirrors]

        await until_async(is_so, what, every_s=0.02, show=shown)
        return seen


@dataclass(frozen=True)
class Seen:
    entries: list[Entry]

    @property
    def changes(self) -> list[Change]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Change)]

    @property
    def keys(self) -> list[str]:
        return [key for body in self.changes if not body.settled for key in body.keys]

    @property
    def gaps(self) -> list[Gap]:
        """Those of mirrors; each history of stream A begins with a source's."""
        return [entry.body for entry in self.entries if isinstance(entry.body, Gap) and is_own_gap(entry.body)]

    @property
    def heartbeats(self) -> list[Heartbeat]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Heartbeat)]
