"""R5: ``get_many`` of 100 keys, some in the process and some in Redis, beside a bare MGET of all with decoding."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import orjson
import redis as driver

from deploy.simulation.redis_server import RedisServer
from loadtests.bench import redis_reads
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.redis_reads import CACHE_OPTIONS, KEYS, TIMEOUT_MS, bare_name_of, name_of
from loadtests.bench.servers import fed_redis
from versioning import VersionedCache

MANY: Final = 100
BLOCK: Final = 5
LOCAL_MAX_ENTRIES: Final = 2_000
"""Keys that are read in turn have left the process when their turn comes again; those that are always read stay."""


def never(keys: tuple[str, ...]) -> Any:
    raise AssertionError(f"the values are in Redis: nobody may load {keys}")


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis() as redis:
        redis_reads.fill(redis)
        # A cache each: what one contender has just read must not be in the process for another.
        small: dict[str, Any] = {"values_timeout_ms": TIMEOUT_MS, "local_max_entries": LOCAL_MAX_ENTRIES}
        most, half = (VersionedCache.from_url(redis.url, **small) for _ in range(2))
        none = VersionedCache.from_url(redis.url, **CACHE_OPTIONS)
        with most, half, none, driver.Redis.from_url(redis.url) as client:
            yield [
                _contender("stampline, 80 in the process", redis, _ours(most), _batches(name_of, 80)),
                _contender("stampline, 50 in the process", redis, _ours(half), _batches(name_of, 50)),
                _contender("stampline, all in Redis", redis, _ours(none), _batches(name_of, 0)),
                _contender("redis-py mget + orjson.loads", redis, _bare(client), _batches(bare_name_of, 0)),
            ]


def _ours(cache: VersionedCache) -> Callable[[list[str]], Any]:
    return lambda keys: cache.get_many(keys, never)


def _bare(client: Any) -> Callable[[list[str]], Any]:
    mget, loads = client.mget, orjson.loads
    return lambda keys: {key: loads(data) for key, data in zip(keys, mget(keys), strict=True)}


def _batches(naming: Callable[[int], str], always: int) -> Iterator[list[str]]:
    """Yield 100 names again and again: the first ``always`` the same each time, the others in turn."""
    hot = [naming(number) for number in range(always)]
    turns = [naming(number) for number in range(always, KEYS)]
    step = MANY - always
    return itertools.cycle([[*hot, *turns[start : start + step]] for start in range(0, len(turns) - step, step)])


def _contender(name: str, redis: RedisServer, read: Callable[[list[str]], Any], batches: Iterator[Any]) -> Contender:
    def block() -> int:
        for keys in itertools.islice(batches, BLOCK):
            assert len(read(keys)) == MANY  # noqa: S101
        return BLOCK

    return Contender(name, partial(_measure, redis, block))


def _measure(redis: RedisServer, block: Callable[[], int], seconds: float) -> Sample:
    return redis_reads.sample(redis, seconds, block)


BENCHMARK: Final = Benchmark(
    "r5-get-many",
    f"{MANY} keys in one call (sync)",
    "calls/s",
    Better.HIGHER,
    (
        Reach(0.9, ("redis-py mget + orjson.loads",)),
        Reach(1.0, fact="commands a read", better=Better.LOWER),
    ),
    contenders,
)
