"""``python -m loadtests.bench.index_subject follow|read URL FEW_URL``: one start-up, told as JSON for ``r11_index``."""

import argparse
import asyncio
import json
import os
import time
import timeit
from pathlib import Path
from typing import Any, Final

import redis

from loadtests.bench.long_stream import STREAM, key
from versioning.backends.redis_stream import RedisStream
from versioning.client.clock import system_clock
from versioning.client.follower import PAGE_ENTRIES, Follower
from versioning.index import Index

START_MAX_S: Final = 600.0
LOOKUPS: Final = 1_000
REPEATS: Final = 200


def memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def follow(url: str) -> tuple[Index, dict[str, float]]:
    stream = RedisStream.from_url(url)
    follower = Follower(stream, Index())
    before_mb, began_s, cpu_s = memory_mb(), time.perf_counter(), time.process_time()
    await follower.start(START_MAX_S)
    told = {
        "start_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - cpu_s,
        "memory_mb": memory_mb() - before_mb,
    }
    await follower.aclose()
    await stream.aclose()
    return follower.index, told


def read(url: str) -> dict[str, float]:
    """The least that any client does: page by page, into Python objects."""
    client: Any = redis.Redis.from_url(url)
    end = "+"
    began_s, cpu_s = time.perf_counter(), time.process_time()
    while page := client.xrevrange(STREAM, end, count=PAGE_ENTRIES):
        end = f"({page[-1][0].decode()}"
    return {"start_s": time.perf_counter() - began_s, "cpu_s": time.process_time() - cpu_s}


def lookup_ns(index: Index) -> float:
    """A verdict on each of the same 1,000 keys, in the fastest of many rounds."""
    step = max(len(index) // LOOKUPS, 1)
    keys = [key(number * step) for number in range(LOOKUPS)]
    now, fill, verdict = system_clock(), index.watermark, index.verdict

    def look() -> None:
        for one in keys:
            verdict(one, fill, now)

    return min(timeit.repeat(look, number=1, repeat=REPEATS)) / LOOKUPS * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=("follow", "read"))
    parser.add_argument("url")
    parser.add_argument("few_url")
    arguments = parser.parse_args()
    if arguments.mode == "read":
        told = read(arguments.url)
    else:
        index, told = asyncio.run(follow(arguments.url))
        few, _ = asyncio.run(follow(arguments.few_url))
        told["lookup_ns"] = lookup_ns(index)
        told["lookup_ratio"] = told["lookup_ns"] / lookup_ns(few)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
