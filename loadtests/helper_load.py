"""The embedded helper under load: the cache itself, in this process, for Locust cannot reach its limits.

    python -m loadtests.helper_load STREAM_URL VALUES_URL TTL|STAMPLINE SECONDS TRACKERS

One asyncio driver reads trackers by popularity with `await cache.get(...)`, as fast as it can, after each was read
once. It prints one JSON object: reads per second, and the latency of a read.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

from app.ttl_only import TtlOnlyCache
from deploy.simulation.staleness import percentile
from loadtests.worlds import STAMPLINE, TTL
from loadtests.zipf import Zipf
from versioning import AsyncVersionedCache
from versioning.backends.redis_values import AsyncRedisValues
from versioning.limits import LOCAL_TTL_MS, REDIS_TTL_MS

PREFIX = "helper:"
PICKS = 1 << 16
TIMED_EVERY = 64
"""Every so many reads one is timed by itself: the clock costs as much as a hit."""

VALUE = {"id": 1, "name": "a value of the usual size", "extra": {"version": 0, "more": "x" * 100}}


async def load() -> dict[str, Any]:
    return VALUE


def open_cache(mode: str, stream_url: str, values_url: str) -> Any:
    if mode == TTL:
        values = AsyncRedisValues.from_url(values_url, prefix=PREFIX)
        return TtlOnlyCache(values, local_ttl_ms=LOCAL_TTL_MS, redis_ttl_ms=REDIS_TTL_MS, local_max_entries=100_000)
    return AsyncVersionedCache.from_url(stream_url, values_url, prefix=PREFIX)


async def drive(cache: Any, seconds: float, trackers: int) -> dict[str, Any]:
    zipf, chance = Zipf(trackers), random.Random(1)
    keys = [f"tracker_web:{zipf.pick(chance)}" for _ in range(PICKS)]
    for key in dict.fromkeys(keys):
        await cache.get(key, load)
    reads, timed_us = 0, []
    began_s = time.perf_counter()
    while (passed_s := time.perf_counter() - began_s) < seconds:
        for start in range(0, PICKS, TIMED_EVERY):
            before_ns = time.perf_counter_ns()
            await cache.get(keys[start], load)
            timed_us.append((time.perf_counter_ns() - before_ns) / 1000)
            for key in keys[start + 1 : start + TIMED_EVERY]:
                await cache.get(key, load)
            reads += TIMED_EVERY
        await asyncio.sleep(0)
    return {
        "reads": reads,
        "reads_per_s": reads / passed_s,
        "p50_us": percentile(timed_us, 0.5),
        "p99_us": percentile(timed_us, 0.99),
        "p999_us": percentile(timed_us, 0.999),
    }


async def main(stream_url: str, values_url: str, mode: str, seconds: str, trackers: str) -> None:
    cache = open_cache(mode, stream_url, values_url)
    await cache.start()
    try:
        print(json.dumps(await drive(cache, float(seconds), int(trackers))))
    finally:
        await cache.aclose()


if __name__ == "__main__":
    if len(sys.argv) != 6 or sys.argv[3] not in {TTL, STAMPLINE}:
        raise SystemExit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
