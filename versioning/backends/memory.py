"""Both backends in memory, with the rules of the Lua scripts: for unit tests and simulations, of ours and of users.

Time is an argument of the constructor. Safe to use from several threads and loops, like the server it stands for.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from versioning import header
from versioning import stamp as stamps
from versioning.backends.base import (
    Answer,
    Append,
    CheckpointRefusedError,
    DigestRefusedError,
    Fill,
    History,
    StreamState,
)
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry, Gap, NewEntry, Poisoned, Replayed
from versioning.errors import HeaderFormatError
from versioning.limits import CLOCK_LEAD_MAX_MS, LOSS_LEAD_MS, OVERTAKEN_MAX_MS, REPLAY_SLACK_MS


@dataclass
class _State:
    last: int = stamps.ZERO
    nonce: str = ""
    since: int | None = None
    is_bare: bool = False
    """``since`` is no gap's, so that no replay lowers it."""
    history: int | None = None
    deleted: int = 0
    """Entries that were gone from the stream, as of the last append."""
    torn: int = stamps.ZERO
    digest: str = ""
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)


@dataclass(frozen=True)
class MemorySnapshot:
    entries: tuple[Entry, ...]
    generated: int
    added: int
    state: _State


@dataclass(frozen=True)
class ValuesSnapshot:
    values: Mapping[str, tuple[bytes, int]]
    """Key to value and Unix time of its end, ms."""
    leases: Mapping[str, tuple[str, int]]
    """The same with the token of who holds it."""


class MemoryStream:
    """A ``StreamBackend``. ``clock`` returns the server's Unix time in ms.

    Below ``aclose`` is what can befall a server: trimmed, torn, flushed, failed over.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._entries: list[Entry] = []
        self._generated = stamps.ZERO
        """The highest stamp in the stream, whatever its state says."""
        self._added = 0
        """Entries it has ever had."""
        self._state = _State()
        self._history = 0
        self._lock = threading.Lock()
        self._listeners: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[Entry]]] = []

    async def append(self, batch: Append) -> list[int]:
        with self._lock:
            self._see_loss()
            self._check(batch)
            if not batch.entries:
                return []
            free = self._next(batch)
            self._see_others(free.start)
            new = [self._add(entry, stamp) for entry, stamp in zip(batch.entries, free, strict=False)]
            self._state.deleted = self._deleted
            self._state.digest = batch.digest or self._state.digest
            if batch.writer is not None and batch.checkpoint is not None:
                self._state.checkpoints[batch.writer] = batch.checkpoint
            for loop, queue in self._listeners:
                for entry in new:
                    loop.call_soon_threadsafe(queue.put_nowait, entry)
        return [entry.stamp for entry in new]

    @property
    def _deleted(self) -> int:
        return self._added - len(self._entries)

    def _see_loss(self) -> None:
        """Forget what is true of no entry any more when the stream is gone and its state is not, refused or not."""
        state = self._state
        if state.last > self._generated:
            self._state = _State(
                last=state.last, digest=state.digest, history=state.history, deleted=state.deleted, torn=state.torn
            )

    def _see_others(self, first: int) -> None:
        """Take over what others than ``append`` did to the stream. ``first``: the stamp of the next entry."""
        state = self._state
        is_foreign = self._generated > state.last
        if is_foreign:
            state.last, state.nonce, state.since = self._generated, "", None
        if is_foreign or state.deleted != self._deleted:
            state.torn = first
        state.history = self._history

    def _check(self, batch: Append) -> None:
        stored_digest = self._state.digest
        if batch.digest and stored_digest not in {"", batch.digest} and not batch.adopt_digest:
            raise DigestRefusedError(stored_digest, batch.digest)
        if batch.writer is not None:
            stored = self._state.checkpoints.get(batch.writer)
            if stored != batch.expected:
                raise CheckpointRefusedError(batch.writer, stored)

    @property
    def leads(self) -> bool:
        """Whether the next append is the first after a loss."""
        return self._state.history != self._history

    def _next(self, batch: Append) -> range:
        now_ms = self._clock()
        lead_ms = LOSS_LEAD_MS if self.leads else 0
        clock_ms = max(now_ms + lead_ms, min(batch.clock_ms + lead_ms, now_ms + CLOCK_LEAD_MAX_MS))
        first = max(stamps.make(clock_ms), self._state.last + 1, self._generated + 1, batch.above + 1)
        return range(first, first + len(batch.entries))

    def _add(self, new: NewEntry, stamp: int) -> Entry:
        entry = Entry(stamp, new.nonce, self._state.nonce, new.body, new.origin)
        self._entries.append(entry)
        state = self._state
        if isinstance(new.body, Gap) or state.since is None:
            state.since, state.is_bare = stamp, not isinstance(new.body, Gap)
        elif isinstance(new.body, Replayed) and not state.is_bare:
            state.since = min(state.since, stamps.make(new.body.since_ms + REPLAY_SLACK_MS))
        state.last = self._generated = stamp
        state.nonce = new.nonce
        self._added += 1
        return entry

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        found = self._after(after, count)
        if found or not block_ms:
            return found
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._listeners.append(listener)
        try:
            async with asyncio.timeout(block_ms / 1000):
                while not (found := self._after(after, count)):
                    await queue.get()
        except TimeoutError:
            return []
        finally:
            with self._lock:
                self._listeners.remove(listener)
        return found

    def _after(self, after: int, count: int) -> list[Entry]:
        with self._lock:
            return [entry for entry in self._entries if entry.stamp > after][:count]

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        with self._lock:
            older = [entry for entry in self._entries if before is None or entry.stamp < before]
        return older[: -count - 1 : -1]

    async def read_one(self, stamp: int) -> Entry | None:
        with self._lock:
            return next((entry for entry in self._entries if entry.stamp == stamp), None)

    async def checkpoint(self, writer: str) -> Checkpoint | None:
        return self._state.checkpoints.get(writer)

    async def state(self) -> StreamState:
        state = self._state
        since, checkpoints = state.since or stamps.ZERO, dict(state.checkpoints)
        return StreamState(state.last, state.nonce, since, state.digest, checkpoints, state.torn)

    async def history(self) -> History:
        state = self._state
        return History() if state.history is None else History(str(state.history), state.torn, state.last)

    @asynccontextmanager
    async def subscribe(self, *, silence_ms: int = 0) -> AsyncIterator[AsyncIterator[Entry | None]]:
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        listener = (asyncio.get_running_loop(), queue)
        with self._lock:
            self._listeners.append(listener)
        try:
            yield _drain(queue, silence_ms / 1000 or None)
        finally:
            with self._lock:
                self._listeners.remove(listener)

    async def aclose(self) -> None:
        """Nothing to close: the entries stay for the next one who looks."""

    def trim(self, below: int) -> None:
        """Drop old entries, as XTRIM would."""
        self.drop(lambda entry: entry.stamp < below)

    def drop(self, matches: Callable[[Entry], bool]) -> None:
        """Delete entries wherever they are, as XDEL would: those that are left are linked as before."""
        with self._lock:
            self._entries = [entry for entry in self._entries if not matches(entry)]

    def poison(self, *, nonce: str = "", previous: str = "") -> None:
        """Add what nobody can read, as XADD by hand would: what is appended next is linked to nothing before it."""
        with self._lock:
            self._generated = max(stamps.make(self._clock()), self._generated + 1)
            self._added += 1
            self._entries.append(Entry(self._generated, nonce, previous, Poisoned("not an entry of ours")))

    def forget_checkpoints(self) -> None:
        """Lose how far each writer is, and nothing else, as HDEL would."""
        with self._lock:
            self._state.checkpoints = {}

    def damage_checkpoints(self) -> None:
        """Make what each writer has stored unreadable, as HSET by hand would."""
        with self._lock:
            self._state.checkpoints = dict.fromkeys(self._state.checkpoints, Checkpoint.decode("edited by hand"))

    def evict(self) -> None:
        """Lose the stream and keep its state, as DEL would, or a policy that evicts."""
        with self._lock:
            self._entries, self._generated, self._added = [], stamps.ZERO, 0

    def forget_state(self) -> None:
        """Lose the state and keep the stream."""
        with self._lock:
            self._state = _State()

    def flush(self) -> None:
        """Lose everything, as FLUSHALL would."""
        with self._lock:
            self._entries, self._generated, self._added, self._state = [], stamps.ZERO, 0, _State()

    def snapshot(self) -> "MemorySnapshot":
        """Return all that is written so far: what a failover falls back to."""
        with self._lock:
            state = replace(self._state, checkpoints=dict(self._state.checkpoints))
            return MemorySnapshot(tuple(self._entries), self._generated, self._added, state)

    def restore(self, snapshot: "MemorySnapshot") -> None:
        """Fail over: what the snapshot does not have is lost."""
        with self._lock:
            self._entries, self._generated = list(snapshot.entries), snapshot.generated
            self._added = snapshot.added
            self._state = replace(snapshot.state, checkpoints=dict(snapshot.state.checkpoints))
            self._history += 1


async def _drain(queue: asyncio.Queue[Entry], silence_s: float | None) -> AsyncIterator[Entry | None]:
    while True:
        try:
            async with asyncio.timeout(silence_s):
                entry: Entry | None = await queue.get()
        except TimeoutError:
            entry = None
        yield entry


class MemoryValues:
    """A ``ValueBackend``. ``clock`` returns the server's Unix time in ms."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._values: dict[str, tuple[bytes, int]] = {}
        self._leases: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        data, ends_ms = self._values.get(key, (None, 0))
        return data if self._clock() < ends_ms else None

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self.get(key) for key in keys]

    def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        with self._lock:
            return [self._found_anew(key, head) or self._try_lease(key, token, ttl_ms) for key, head in seen.items()]

    def _found_anew(self, key: str, head: bytes) -> bytes | None:
        data = self.get(key)
        return data if data and data[: header.SIZE] != head else None

    def _try_lease(self, key: str, token: str, ttl_ms: int) -> bool:
        now_ms = self._clock()
        holder, ends_ms = self._leases.get(key, ("", 0))
        if ends_ms > now_ms:
            return holder == token
        self._leases[key] = (token, now_ms + ttl_ms)
        return True

    def fill(self, fills: Sequence[Fill]) -> list[bool]:
        with self._lock:
            return [self._fill(fill) for fill in fills]

    def _fill(self, fill: Fill) -> bool:
        is_overtaken = _is_overtaken(fill.data, self.get(fill.key) or b"")
        if not is_overtaken:
            self._values[fill.key] = (fill.data, self._clock() + fill.life_ms)
        self._release(fill.key, fill.lease_token)
        return not is_overtaken

    def release(self, keys: Sequence[str], token: str) -> None:
        with self._lock:
            for key in keys:
                self._release(key, token)

    def _release(self, key: str, token: str) -> None:
        if token and self._leases.get(key, ("", 0))[0] == token:
            del self._leases[key]

    def close(self) -> None:
        """Nothing to close: the values stay for the next one who looks."""

    def stored(self) -> dict[str, bytes]:
        """Return every value that is alive, by key."""
        with self._lock:
            now_ms = self._clock()
            return {key: data for key, (data, ends_ms) in self._values.items() if now_ms < ends_ms}

    def flush(self) -> None:
        """Lose everything, as FLUSHALL would."""
        self.restore(ValuesSnapshot({}, {}))

    def snapshot(self) -> ValuesSnapshot:
        """Return all that is there, leases too: what a failover falls back to."""
        with self._lock:
            return ValuesSnapshot(dict(self._values), dict(self._leases))

    def restore(self, snapshot: ValuesSnapshot) -> None:
        """Fail over: what the snapshot does not have is lost."""
        with self._lock:
            self._values, self._leases = dict(snapshot.values), dict(snapshot.leases)


def _is_overtaken(data: bytes, held: bytes) -> bool:
    stamp, fill_ms = _fill_of(data)
    held_stamp, held_fill_ms = _fill_of(held)
    if held_stamp == stamp:
        return 0 < held_fill_ms - fill_ms <= OVERTAKEN_MAX_MS
    return held_stamp > stamp and stamps.ms_of(held_stamp - stamp) <= OVERTAKEN_MAX_MS


def _fill_of(data: bytes) -> tuple[int, int]:
    try:
        head, _ = header.unpack(data)
    except HeaderFormatError:
        return stamps.ZERO, 0
    return head.fill_stamp, head.fill_ms


class AsyncMemoryValues:
    """An ``AsyncValueBackend`` over the same memory as ``values``."""

    def __init__(self, values: MemoryValues) -> None:
        self._values = values

    async def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return self._values.get_many(keys)

    async def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        return self._values.try_lease(seen, token, ttl_ms)

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        return self._values.fill(fills)

    async def release(self, keys: Sequence[str], token: str) -> None:
        self._values.release(keys, token)

    async def aclose(self) -> None:
        self._values.close()
