"""``python -m loadtests.bench.feeder URL``: the writer of a stamp stream, as a mirror would be.

A process of its own, so that what is measured shares no interpreter with it. It appends heartbeats twice a second, and
changes of the keys ``bench:0`` to ``bench:N-1`` in turn; it ends with its parent.
"""

import argparse
import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Iterator
from typing import Final

from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.entries import NONCE_CHARS, Body, Change, Gap, Heartbeat, NewEntry

HEARTBEAT_S: Final = 0.5
BATCH_S: Final = 0.01


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def append_of(*bodies: Body) -> Append:
    return Append(tuple(NewEntry(secrets.token_hex(NONCE_CHARS // 2), body) for body in bodies), now_ms())


async def feed(url: str, *, changes_per_s: float, keys: int) -> None:
    stream = RedisStream.from_url(url, version_keys=False)
    parent, began_s, done, next_beat_s = os.getppid(), time.monotonic(), 0, 0.0
    names = itertools.cycle([f"bench:{number}" for number in range(keys)])
    while os.getppid() == parent:
        passed_s = time.monotonic() - began_s
        due = int(passed_s * changes_per_s) - done
        bodies: list[Body] = list(_changes(names, due))
        done += due
        if passed_s >= next_beat_s:
            next_beat_s = passed_s + HEARTBEAT_S
            bodies.append(Heartbeat(now_ms(), now_ms()))
        if bodies:
            await stream.append(append_of(*bodies))
        await asyncio.sleep(BATCH_S)
    await stream.aclose()


def _changes(names: Iterator[str], count: int) -> Iterator[Change]:
    for key in itertools.islice(names, count):
        yield Change((key,), gtid="0-1-1", committed_ms=now_ms())


async def begin(url: str) -> None:
    """Make the stream exist and vouch, before anybody follows it."""
    stream = RedisStream.from_url(url, version_keys=False)
    await stream.append(append_of(Gap("the benchmark begins"), Heartbeat(now_ms(), now_ms())))
    await stream.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--changes-per-s", type=float, default=0.0)
    parser.add_argument("--keys", type=int, default=1_000)
    arguments = parser.parse_args()
    asyncio.run(feed(arguments.url, changes_per_s=arguments.changes_per_s, keys=arguments.keys))


if __name__ == "__main__":
    main()
