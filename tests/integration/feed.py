"""Writes a stream as a replicator would: a beginning, changes on demand, and heartbeats."""

import asyncio
import secrets
import threading
from typing import Self

from tests.eventually import now_ms
from versioning.backends.base import Append, UnavailableError
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Body, Change, Gap, Heartbeat, NewEntry

BEAT_S = 0.2
DEADLINE_S = 30


class Feed:
    """Has a thread and a loop of its own, so that tests of threads and of asyncio alike just call it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._stream = RedisStream.from_url(url)

    def __enter__(self) -> Self:
        self._thread.start()
        self.append(Gap("the stream begins"), Heartbeat(now_ms()))
        self._beating = asyncio.run_coroutine_threadsafe(self._beat(), self._loop)
        return self

    def __exit__(self, *_: object) -> None:
        self._beating.cancel()
        asyncio.run_coroutine_threadsafe(self._stream.aclose(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE_S)
        self._loop.close()

    def change(self, *keys: str) -> int:
        return self.append(Change(keys, gtid="0-1-1"))[0]

    def append(self, *bodies: Body) -> list[int]:
        return asyncio.run_coroutine_threadsafe(self._append(*bodies), self._loop).result(DEADLINE_S)

    async def _append(self, *bodies: Body) -> list[int]:
        entries = tuple(NewEntry(secrets.token_hex(8), body) for body in bodies)
        return await self._stream.append(Append(entries, now_ms()))

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self._append(Heartbeat(now_ms()))
            except UnavailableError:
                continue
