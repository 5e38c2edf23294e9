"""One datacenter's stream and cached values in memory, in real time."""

import asyncio
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.eventually import now_ms
from versioning import stamp as stamps
from versioning.backends.base import Answer, Append, Fill, UnavailableError
from versioning.backends.memory import AsyncMemoryValues, MemoryStream, MemoryValues
from versioning.client.clock import system_clock
from versioning.entries import Body, Change, Entry, Gap, Heartbeat, NewEntry
from versioning.header import ValueHeader, pack
from versioning.liveness import Now


def entry(body: Body) -> NewEntry:
    return NewEntry(secrets.token_hex(8), body)


class CountedValues(AsyncMemoryValues):
    """Counts commands, and fails when it is told to."""

    def __init__(self, values: MemoryValues) -> None:
        super().__init__(values)
        self.commands: list[str] = []
        self.is_up = True

    def _note(self, command: str) -> None:
        if not self.is_up:
            raise UnavailableError("Redis is away")
        self.commands.append(command)

    async def get(self, key: str) -> bytes | None:
        self._note("get")
        return await super().get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        self._note("get_many")
        return await super().get_many(keys)

    async def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        self._note("try_lease")
        return await super().try_lease(seen, token, ttl_ms)

    async def fill(self, fills: Sequence[Any]) -> list[bool]:
        self._note("fill")
        return await super().fill(fills)


class World:
    def __init__(self) -> None:
        self.stream = MemoryStream(now_ms)
        self.values = MemoryValues(now_ms)

    async def append(self, *bodies: Body) -> list[int]:
        return await self.stream.append(Append(tuple(entry(body) for body in bodies), now_ms()))

    async def begin(self) -> "World":
        await self.append(Gap("the stream begins"), Heartbeat(now_ms()))
        return self

    async def change(self, *keys: str) -> int:
        return (await self.append(Change(keys, gtid="0-1-1"), Heartbeat(now_ms())))[0]


class Stops:
    """The clock of a process that is stopped for ten minutes with each of the next ``left`` loads on its way."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.loads = 0
        self._ahead_ms = 0

    def clock(self) -> Now:
        now = system_clock()
        return Now(now.ms + self._ahead_ms, now.monotonic_ms + self._ahead_ms)

    def load(self) -> int:
        """Return which load it is."""
        self.loads += 1
        self._ahead_ms += 600_000 * (self.loads <= self.left)
        return self.loads


class SlowStream(MemoryStream):
    """Its window is read when it is told to."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock)
        self.answer = threading.Event()

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        while not self.answer.is_set():
            await asyncio.sleep(0.01)
        return await super().read_before(before, count=count)


async def kept_in_a_slow_world(key: str) -> tuple[World, SlowStream]:
    """Another process has loaded the value, longer ago than what is UNKNOWN is served, and it is current."""
    world, at_ms = World(), now_ms() - 900_000
    world.stream = stream = SlowStream(lambda: at_ms)
    await world.begin()
    at_ms = now_ms()
    await world.append(Heartbeat(at_ms))
    head = ValueHeader(stamps.make(at_ms - 600_000), at_ms - 600_000)
    world.values.fill([Fill(key, pack(head, b'"kept"'), 600_000)])
    return world, stream
