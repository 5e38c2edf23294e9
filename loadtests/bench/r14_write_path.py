"""R14: what a change costs the Redis of datacenter B, in commands, and what a cached value costs on top of its payload.

The mirror's own append: entry, push, version key, state and checkpoint, all in one script. Redis counts the commands
that the script runs inside as well, so that they are known.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
import redis as driver

from deploy.simulation.redis_server import RedisServer
from loadtests.bench import servers
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.feeder import append_of, now_ms
from loadtests.bench.r01_local_hit import VALUE
from loadtests.bench.redis_reads import CACHE_OPTIONS, name_of
from versioning import VersionedCache
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, Gap

WRITER: Final = "mirror:a"
BLOCK: Final = 50
"""Appends between two looks at the counters."""


class Mirror:
    """Appends as the mirror does: with version keys, and with the checkpoint compared and replaced."""

    def __init__(self, redis: RedisServer) -> None:
        self._stream = RedisStream.from_url(redis.url, version_keys=True)
        self._checkpoint: Checkpoint | None = None
        self._changes = 0

    async def append(self, *bodies: Any) -> None:
        plain = append_of(*bodies)
        checkpoint = Checkpoint(f"{self._changes}-0", now_ms(), plain.entries[-1].nonce)
        await self._stream.append(
            Append(plain.entries, plain.clock_ms, writer=WRITER, expected=self._checkpoint, checkpoint=checkpoint)
        )
        self._checkpoint = checkpoint

    async def change(self, count: int) -> None:
        """Append so many changes of one key each at once."""
        numbers = range(self._changes, self._changes + count)
        self._changes += count
        await self.append(*(Change((name_of(number),), gtid="0-1-1", committed_ms=now_ms()) for number in numbers))

    async def aclose(self) -> None:
        await self._stream.aclose()


class Counted:
    """The commands of one Redis, without those of counting."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._before = 0
        self.since()

    def since(self) -> int:
        """Return how many commands Redis has executed since the last call."""
        stats: dict[str, Any] = self._client.info("commandstats")
        calls: int = sum(found["calls"] for found in stats.values())
        counted, self._before = calls - self._before - 1, calls
        return counted


def _measure(redis: RedisServer, runner: asyncio.Runner, mirror: Mirror, seconds: float) -> Sample:
    with redis.client() as client:
        counted, blocks, until_s = Counted(client), list[float](), time.monotonic() + seconds
        while time.monotonic() < until_s or len(blocks) < 2:
            runner.run(_one_by_one(mirror))
            blocks.append(counted.since() / BLOCK)
        runner.run(mirror.change(100))
        together = counted.since() / 100
    return Sample(
        max(blocks),
        {
            "most / least": max(blocks) / min(blocks),
            "commands a change of 100 at once": together,
            "bytes on top of a value": _overhead_bytes(redis),
        },
    )


async def _one_by_one(mirror: Mirror) -> None:
    for _ in range(BLOCK):
        await mirror.change(1)


def _overhead_bytes(redis: RedisServer) -> int:
    with VersionedCache.from_url(redis.url, **CACHE_OPTIONS) as cache, driver.Redis.from_url(redis.url) as client:
        cache.refresh(name_of(0), lambda: VALUE)
        stored: Any = client.strlen(name_of(0))
    return int(stored) - len(orjson.dumps(VALUE))


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with servers.redis() as redis, asyncio.Runner() as runner:
        mirror = Mirror(redis)
        runner.run(mirror.append(Gap("the benchmark begins")))
        try:
            yield [Contender("stampline mirror", partial(_measure, redis, runner, mirror))]
        finally:
            runner.run(mirror.aclose())


BENCHMARK: Final = Benchmark(
    "r14-write-path",
    "commands of Redis B for a change of one key, appended by itself; inside the script all but one",
    "commands",
    Better.LOWER,
    (
        Reach(1.0, fact="most / least"),
        Reach(24.0, fact="bytes on top of a value"),
    ),
    contenders,
)
