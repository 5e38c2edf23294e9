"""The same under asyncio: so many readers in one event loop, ours or those of a bare client."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio as driver

from deploy.simulation.redis_server import RedisServer
from loadtests.bench import redis_reads
from loadtests.bench.contract import Contender, Sample
from loadtests.bench.redis_reads import BLOCK, CACHE_OPTIONS, KEYS, bare_name_of, name_of
from loadtests.bench.servers import fed_redis
from versioning import AsyncVersionedCache

Read = Callable[[str], Awaitable[Any]]


async def never() -> Any:
    raise AssertionError("the value is in Redis: nobody may load it")


@contextmanager
def contenders(readers: int) -> Iterator[Sequence[Contender]]:
    """Yield ours and the bare client, each read by so many tasks at once."""
    with fed_redis() as redis, asyncio.Runner() as runner:
        redis_reads.fill(redis)
        cache = AsyncVersionedCache.from_url(redis.url, **CACHE_OPTIONS)
        client = driver.Redis.from_url(redis.url)
        runner.run(cache.start())
        try:
            many = _Readers(runner, redis, readers)
            yield [
                many.contender("stampline get", lambda key: cache.get(key, never), name_of),
                many.contender("redis-py get + orjson.loads", _bare(client), bare_name_of),
            ]
        finally:
            runner.run(client.aclose())
            runner.run(cache.aclose())


def _bare(client: Any) -> Read:
    async def read(key: str) -> Any:
        return orjson.loads(await client.get(key))

    return read


@dataclass(frozen=True)
class _Readers:
    runner: asyncio.Runner
    redis: RedisServer
    count: int

    def contender(self, name: str, read: Read, naming: Callable[[int], str]) -> Contender:
        keys = itertools.cycle([naming(number) for number in range(KEYS)])
        each = max(BLOCK // self.count, 20)

        async def reader() -> None:
            for key in itertools.islice(keys, each):
                await read(key)

        async def block() -> int:
            await asyncio.gather(*(reader() for _ in range(self.count)))
            return each * self.count

        def measure(seconds: float) -> Sample:
            return redis_reads.sample(self.redis, seconds, lambda: self.runner.run(block()))

        return Contender(name, measure)
