"""A stream's Redis, and a process's connection to it: MemoryStream behind delays, outages and failovers."""

import asyncio
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any, Self

from tests.simulation.limits import WINDOW_MS
from tests.simulation.network import NOBODY, Line, Server
from tests.simulation.process import BASE_MS, current
from tests.simulation.versions import VersionKeys
from versioning import stamp as stamps
from versioning.backends.base import Append, BackendError, History, StreamState, UnavailableError
from versioning.backends.memory import MemorySnapshot, MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry
from versioning.liveness import Now
from versioning.verdict import Verdict

if TYPE_CHECKING:
    from tests.simulation.world import World

RETENTION_MS = WINDOW_MS + 8_000

LEAD_KEPT_S = 3.0
"""A loss this soon after the first append after the one before is a limit of the README, and kept away."""


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a memory backend waited")


class Store(MemoryStream):
    """The same rules, found by halving; and trimmed after each append, as append.lua does."""

    def _after(self, after: int, count: int) -> list[Entry]:
        first = bisect_right(self._entries, after, key=_stamp_of)
        return self._entries[first : first + count]

    def before(self, before: int | None, count: int) -> list[Entry]:
        end = len(self._entries) if before is None else bisect_left(self._entries, before, key=_stamp_of)
        return self._entries[max(end - count, 0) : end][::-1]

    def one(self, stamp: int) -> Entry | None:
        place = bisect_left(self._entries, stamp, key=_stamp_of)
        found = self._entries[place : place + 1]
        return found[0] if found and found[0].stamp == stamp else None

    def trim_old(self) -> None:
        cutoff = stamps.make(self._clock() - RETENTION_MS)
        if self._entries and self._entries[0].stamp < cutoff:
            self.trim(cutoff)
            self._state.deleted = self._deleted  # It is the append that trims.
        if self._state.since is not None:
            self._state.since = max(self._state.since, cutoff)

    @property
    def entries(self) -> list[Entry]:
        return self._entries

    @property
    def last(self) -> int:
        return self._state.last

    @property
    def since(self) -> int | None:
        return self._state.since


def _stamp_of(entry: Entry) -> int:
    return entry.stamp


class StreamServer(Server):
    def __init__(self, world: "World", name: str) -> None:
        super().__init__(name, world.loop, world.rng)
        self._world = world
        self.skew_ms = world.skew_ms()
        self.back_ms = 0
        self.loses_push = self.is_full = False
        self.store = Store(self.now_ms)
        self.versions = VersionKeys()
        self.subscriptions: list[Subscription] = []
        self._blocked: list[tuple[int, int, asyncio.Future[Any]]] = []
        self._led_s = -LEAD_KEPT_S
        self._is_losing = False

    def now_ms(self) -> int:
        return BASE_MS + int(self.loop.time() * 1000) + self.skew_ms - self.back_ms

    @property
    def takes_writes(self) -> bool:
        return not (self.is_away or self.is_full)

    def make_room(self) -> None:
        if self.is_full:
            self.is_full, self.up_s = False, self.loop.time()

    def append(self, batch: Append) -> list[int]:
        if self.is_full:
            raise BackendError(f"{self.name} has no room")
        leads = self.store.leads
        appended: list[int] = at_once(self.store.append(batch))
        if leads:
            self._led_s = self.loop.time()
        entries = self.store._after(appended[0] - 1, len(appended)) if appended else []
        self.versions.take(entries)
        self.store.trim_old()
        self._world.appended(self, entries)
        for subscription in self.subscriptions:
            subscription.push(entries)
        blocked, self._blocked = self._blocked, []
        for after, count, future in blocked:
            _give(future, self.store._after(after, count))
        return appended

    def read_after(self, after: int, count: int, block_ms: int) -> Any:
        found = self.store._after(after, count)
        if found or not block_ms:
            return found
        future = self.wait_here()
        self._blocked.append((after, count, future))
        self.loop.call_later(block_ms / 1000, _give, future, [], context=NOBODY)
        return future

    def hang_up(self) -> None:
        super().hang_up()
        self._blocked = []
        subscriptions, self.subscriptions = self.subscriptions, []
        for subscription in subscriptions:
            subscription.end()

    def close_subscriptions(self, names: Collection[str]) -> None:
        """The network closes those of some processes, which therefore learn of a cut at once."""
        for subscription in self.subscriptions:
            if subscription.owner.name in names:
                subscription.close()

    def judge(self, key: str, fill_stamp: int) -> tuple[Verdict, int | None]:
        """Judge as a client does that asks this Redis for the version keys, and does not follow."""
        at_ms = int(self.loop.time() * 1000)
        return self.versions.judge(key, fill_stamp, self.store.since, Now(BASE_MS + at_ms, at_ms))

    def is_key_pending(self, key: str) -> bool:
        """Ask as such a client does before it loads."""
        return self.versions.is_key_pending(key, self.now_ms())

    @property
    def keeps_all(self) -> bool:
        return self.loop.time() - self._led_s < LEAD_KEPT_S

    def flush(self) -> None:
        if not self.keeps_all:
            self._lose_all()
            self.store.flush()
            self.versions = VersionKeys()

    def evict(self) -> None:
        """Lose the stream alone: neither its state nor the version keys."""
        if not self.keeps_all:
            self._lose_all()
            self.store.evict()

    def _lose_all(self) -> None:
        self._world.lost(self, self.store.entries)
        self._world.emptied(self, self.store.last)

    def fail_over(self, after_s: float, promoted: Callable[[], None]) -> None:
        """``after_s`` later, fall back to what is written now. One at a time: a replica has no past of its own."""
        if self._is_losing:
            return
        self._is_losing = True
        past = self.store.snapshot(), self.versions.copy()
        self.loop.call_later(after_s, self._promote, *past, promoted, context=NOBODY)

    def _promote(self, snapshot: MemorySnapshot, versions: VersionKeys, promoted: Callable[[], None]) -> None:
        self._is_losing = False
        if not self.keeps_all:
            self._world.lost(self, [entry for entry in self.store.entries if entry.stamp > snapshot.state.last])
            self._world.returned(self, [entry for entry in snapshot.entries if self.store.one(entry.stamp) is None])
            self.store.restore(snapshot)
            self._world.regained(self, self.store.entries)
            self.versions = versions
            self.hang_up()
            promoted()


def _give(future: "asyncio.Future[Any]", entries: list[Entry]) -> None:
    if not future.done():
        future.set_result(entries)


class Subscription:
    """Entries pushed in order over one line; a cut makes it silent for ever."""

    def __init__(self, server: StreamServer, line: Line, silence_ms: int) -> None:
        self._server = server
        self._line = line
        self._silence_s = silence_ms / 1000 or None
        self._pushed: deque[Entry | None] = deque()
        self._arrived = asyncio.Event()
        self._next_s = 0.0
        self._is_silent = False
        self.owner = current()

    async def __aenter__(self) -> Self:
        await self._line.ask(lambda: self._server.subscriptions.append(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self in self._server.subscriptions:
            self._server.subscriptions.remove(self)

    def push(self, entries: list[Entry]) -> None:
        self._is_silent |= self._line.cable.is_cut or self.owner.is_dead
        if self._is_silent:
            return
        for entry in entries:
            if self._server.loses_push:
                self._server.loses_push = False
            else:
                self._send(entry)

    def end(self) -> None:
        if not self._line.cable.is_cut:
            self._send(None)

    def _send(self, entry: Entry | None) -> None:
        loop = self._server.loop
        self._next_s = max(self._next_s, loop.time() + self._line.delay_s())
        loop.call_at(self._next_s, self._receive, entry, context=NOBODY)

    def _receive(self, entry: Entry | None) -> None:
        if not self._line.cable.is_cut:
            self._take(entry)
        else:
            self._is_silent = True

    def close(self) -> None:
        """End it from the near side: no push and no cut is in the way."""
        self._take(None)

    def _take(self, entry: Entry | None) -> None:
        self._pushed.append(entry)
        self._arrived.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry | None:
        try:
            async with asyncio.timeout(self._silence_s):
                while not self._pushed:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            return None
        entry = self._pushed.popleft()
        if entry is None:
            raise UnavailableError("the subscription ended")
        return entry


class StreamClient:
    """A ``StreamBackend``."""

    def __init__(self, server: StreamServer, line: Line) -> None:
        self._server = server
        self._line = line

    async def _ask(self, operation: Callable[[], Any]) -> Any:
        return await self._line.ask(operation)

    async def append(self, batch: Append) -> list[int]:
        appended: list[int] = await self._ask(lambda: self._server.append(batch))
        return appended

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        found: list[Entry] = await self._ask(lambda: self._server.read_after(after, count, block_ms))
        return found

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        found: list[Entry] = await self._ask(lambda: self._server.store.before(before, count))
        return found

    async def read_one(self, stamp: int) -> Entry | None:
        found: Entry | None = await self._ask(lambda: self._server.store.one(stamp))
        return found

    async def checkpoint(self, writer: str) -> Checkpoint | None:
        found: Checkpoint | None = await self._ask(lambda: at_once(self._server.store.checkpoint(writer)))
        return found

    async def state(self) -> StreamState:
        found: StreamState = await self._ask(lambda: at_once(self._server.store.state()))
        return found

    async def history(self) -> History:
        found: History = await self._ask(lambda: at_once(self._server.store.history()))
        return found

    def subscribe(self, *, silence_ms: int = 0) -> Any:
        return Subscription(self._server, self._line, silence_ms)

    async def aclose(self) -> None:
        """Nothing to close."""
