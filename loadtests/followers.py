"""A process of many real followers, each with its own connection and index, for `loadtests.scale`.

python -m loadtests.followers REDIS_URL COUNT FILE     follow until SIGTERM, then write the lag to FILE
python -m loadtests.followers --memory KEYS FILE       write what a key costs in an index
"""

import asyncio
import json
import signal
import sys
import time
import tracemalloc
from pathlib import Path

from deploy.simulation.staleness import percentile
from versioning import stamp
from versioning.backends.redis_stream import RedisStream
from versioning.client.clock import system_clock
from versioning.client.follower import Follower
from versioning.entries import Change, Entry
from versioning.index import Index

AT_ONCE = 50
"""Connections opened at a time."""


async def follow(url: str, count: int, output: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    lags_ms: list[float] = []

    def note(entry: Entry) -> None:
        if isinstance(entry.body, Change):
            lags_ms.append((time.time_ns() - int(entry.body.keys[0].partition(":")[2])) / 1e6)

    streams = [RedisStream.from_url(url, name="stampline", window_ms=2_100_000) for _ in range(count)]
    followers = [Follower(stream, Index()) for stream in streams]
    for follower in followers:
        follower.entry_callbacks.append(note)
    for start in range(0, count, AT_ONCE):
        await asyncio.gather(*(follower.start(wait_s=0.2) for follower in followers[start : start + AT_ONCE]))
    say(output.with_suffix(".ready"), "")
    await stop.wait()
    say(output, json.dumps({"entries": len(lags_ms), "lag_p99_ms": percentile(lags_ms, 0.99)}))
    await asyncio.gather(*(follower.aclose() for follower in followers))
    await asyncio.gather(*(stream.aclose() for stream in streams))


def say(file: Path, text: str) -> None:
    file.write_text(text)


def memory(keys: int) -> float:
    """Return the bytes that one key costs in an index, its text included."""
    index, now = Index(), system_clock()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(keys):
        body = Change((f"tracker_web:{number}",))
        index.apply(Entry(stamp.parse(f"{now.ms}-{number}"), "", "", body), now)
    return (tracemalloc.get_traced_memory()[0] - before) / keys


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--memory", keys, file]:
            Path(file).write_text(json.dumps({"bytes_per_key": memory(int(keys))}))
        case [url, count, file]:
            asyncio.run(follow(url, int(count), Path(file)))
        case _:
            raise SystemExit(__doc__)
