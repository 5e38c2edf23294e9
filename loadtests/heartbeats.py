"""A stream that lives: two heartbeats a second, so that a cache without a pipeline has something to vouch by.

python -m loadtests.heartbeats REDIS_URL
"""

import asyncio
import secrets
import sys
import time

from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.entries import NONCE_CHARS, Heartbeat, NewEntry

EVERY_S = 0.5


async def beat(url: str) -> None:
    stream = RedisStream.from_url(url)
    while True:
        now_ms = time.time_ns() // 1_000_000
        entry = NewEntry(secrets.token_hex(NONCE_CHARS // 2), Heartbeat(now_ms, now_ms))
        await stream.append(Append((entry,), clock_ms=now_ms))
        await asyncio.sleep(EVERY_S)


if __name__ == "__main__":
    asyncio.run(beat(sys.argv[1]))
