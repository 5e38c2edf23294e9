"""R3: a value that is in Redis and not in the process (sync), beside a bare redis-py GET with the same decoding."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
import redis as driver

from loadtests.bench import redis_reads
from loadtests.bench.contract import Benchmark, Better, Contender, Reach
from loadtests.bench.redis_reads import BLOCK, CACHE_OPTIONS, KEYS, bare_name_of, name_of
from loadtests.bench.servers import fed_redis
from versioning import VersionedCache


def never() -> Any:
    raise AssertionError("the value is in Redis: nobody may load it")


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis() as redis:
        redis_reads.fill(redis)
        client = driver.Redis.from_url(redis.url)
        with VersionedCache.from_url(redis.url, **CACHE_OPTIONS) as cache, client:
            yield [
                _contender("stampline get", redis, lambda key: cache.get(key, never), name_of),
                _contender("redis-py get + orjson.loads", redis, _bare(client), bare_name_of),
            ]


def _bare(client: Any) -> Callable[[str], Any]:
    get, loads = client.get, orjson.loads
    return lambda key: loads(get(key))


def _contender(name: str, redis: Any, read: Callable[[str], Any], naming: Callable[[int], str]) -> Contender:
    keys = itertools.cycle([naming(number) for number in range(KEYS)])

    def block() -> int:
        for key in itertools.islice(keys, BLOCK):
            read(key)
        return BLOCK

    return Contender(name, partial(_measure, redis, block))


def _measure(redis: Any, block: Callable[[], int], seconds: float) -> Any:
    return redis_reads.sample(redis, seconds, block)


BENCHMARK: Final = Benchmark(
    "r3-redis-hit",
    "a checked hit in Redis (sync)",
    "reads/s",
    Better.HIGHER,
    (
        Reach(0.95, ("redis-py get + orjson.loads",)),
        Reach(1.0, fact="commands a read", better=Better.LOWER),
    ),
    contenders,
)
