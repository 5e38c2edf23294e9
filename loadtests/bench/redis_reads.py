"""What benchmarks of Redis reads share: values filled once, reads counted in blocks, commands counted by Redis."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from deploy.simulation.redis_server import RedisServer
from loadtests.bench.contract import Sample
from loadtests.bench.r01_local_hit import VALUE
from versioning import VersionedCache

KEYS: Final = 10_000
BLOCK: Final = 500
"""Reads between two looks at the clock."""

TIMEOUT_MS: Final = 5_000
"""A busy machine is no reason to give a read up."""

CACHE_OPTIONS: Final[Mapping[str, Any]] = {"local_ttl_ms": 0, "values_timeout_ms": TIMEOUT_MS}
"""Nothing is kept in the process, so that every read is one of Redis."""


def name_of(number: int) -> str:
    return f"tracker_web:{number}"


def bare_name_of(number: int) -> str:
    return f"bare:{number}"


def fill(redis: RedisServer) -> None:
    """Store the same values for us, with header, and for the bare client."""
    keys = [name_of(number) for number in range(KEYS)]
    with VersionedCache.from_url(redis.url, **CACHE_OPTIONS) as cache:
        for start in range(0, KEYS, BLOCK):
            cache.get_many(keys[start : start + BLOCK], lambda missing: dict.fromkeys(missing, VALUE))
    with redis.client() as client:
        client.mset({bare_name_of(number): orjson.dumps(VALUE) for number in range(KEYS)})


def reads_of(redis: RedisServer) -> int:
    """Return how many reads of values Redis has served."""
    with redis.client() as client:
        stats: Any = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("get", "mget"))


def sample(redis: RedisServer, seconds: float, read_block: Callable[[], int]) -> Sample:
    """Call ``read_block``, which returns its number of reads, again and again; the fastest block counts.

    The fastest, because everything that disturbs a block makes it slower.
    """
    commands, reads, best_s, until_s = reads_of(redis), 0, float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until_s or not reads:
        began_s = time.perf_counter()
        count = read_block()
        best_s = min(best_s, (time.perf_counter() - began_s) / count)
        reads += count
    return Sample(1 / best_s, {"commands a read": (reads_of(redis) - commands) / reads})
