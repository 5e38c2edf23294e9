"""The follower: the I/O around ``follow.Follow``. Cover the window, take what is pushed; on any doubt, begin again.

Pushes bring entries sooner and cheaper, no more: Redis writes each entry once, where a blocking read must be asked for
again every time. What they do not bring is read from the stream.

The follower never raises out of its task: a Redis that is down, a broken history, a poisoned entry or a bug leave the
index saying UNKNOWN (by lag or by horizon) and are counted and kept as ``last_error`` for status pages and metrics.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from versioning import stamp as stamps
from versioning.backends.base import AuthenticationError, BackendError, StreamBackend, UnavailableError
from versioning.backoff import Backoff
from versioning.client.clock import system_clock
from versioning.client.named import named
from versioning.client.pulse import Pulse
from versioning.client.waiting import wait
from versioning.entries import Entry, Poisoned
from versioning.follow import ContinuityError, Follow
from versioning.index import Index
from versioning.latency import Latencies
from versioning.liveness import Now
from versioning.paging import PageSize

PAGE_ENTRIES: Final = 1_000
OLDER_ENTRIES: Final = 250
"""A page of the window: small enough for the processor's cache and the garbage collector's first generation."""

PART_ENTRIES: Final = 50
"""Taken in between two turns of the loop: they may name 25,000 keys, which take some 10 ms."""

SILENCE_MS: Final = 1_000
"""Heartbeats come twice a second: a silence of this length is worth a look at the end of the stream."""

FORWARD_MS: Final = 250
"""While the window is covered, new entries are read this often: well within the time after which an index lags."""

START_MAX_S: Final = 5.0
FIRST_READS_MAX_S: Final = 1.0
"""How long reads wait for the window where nobody has called ``start``: each would load what is current, and put it
below every horizon. Longer than a Redis that answers needs, except for a large window."""
CANCEL_AGAIN_S: Final = 0.1

_log = logging.getLogger("stampline.follower")


@dataclass(slots=True)
class FollowerStats:
    entries: int = 0
    breaks: int = 0
    poisoned: int = 0
    reconnects: int = 0
    is_connected: bool = False
    last_error: str = ""
    logins_refused: int = 0
    latencies: Latencies = field(default_factory=Latencies)

    @property
    def reconnects_by_reason(self) -> dict[str, int]:
        refused = self.logins_refused  # first: another thread may raise both meanwhile, and nothing counts below zero
        return {"unavailable": self.reconnects - refused, "access_denied": refused}


class Follower:
    """Keeps ``index`` true to ``stream`` from ``start`` to ``aclose``. Belongs to one event loop."""

    def __init__(self, stream: StreamBackend, index: Index, *, clock: Callable[[], Now] = system_clock) -> None:
        self.stream = stream
        self.index = index
        self.stats = FollowerStats()
        self.pulse = Pulse(clock_s=lambda: clock().monotonic_ms / 1000)
        self.entry_callbacks: list[Callable[[Entry], None]] = [self._measure]
        """Called with every new entry, in order, after the index has it. Must not block nor raise."""
        self._clock = clock
        self._follow = Follow(index)
        self._page = PageSize(PAGE_ENTRIES)
        self._has_begun = False
        self._backoff = Backoff(random.random)
        self._is_well = False
        self._covered = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_covered(self) -> bool:
        return self._covered.is_set()

    @property
    def has_begun(self) -> bool:
        """Whether the newest page of this history is taken in: now ``entry_callbacks`` hears of every entry."""
        return self._has_begun

    async def start(self, wait_s: float = START_MAX_S) -> None:
        """Begin to follow; returns once the window is covered, or after ``wait_s``, and goes on in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="stampline-follower")
        await wait(self._covered, wait_s)

    async def aclose(self) -> None:
        """Stop following. The index ages into UNKNOWN by itself."""
        task, self._task = self._task, None
        # Asked again until it ends: a cancellation that meets a timeout inside the Redis driver is swallowed there.
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait((task,), timeout=CANCEL_AGAIN_S)

    def let_go(self) -> None:
        """Leave the index to another follower, from whatever thread: what this one still takes in is for nobody."""
        self.index = self._follow.index = Index(window_ms=self.index.window_ms)

    async def _run(self) -> None:
        while True:
            self.pulse.beat()
            try:
                await self._begin()
                if self._follow.wants_older:
                    await self._cover()
                self._covered.set()
                await self._follow_on()
            except ContinuityError as error:
                self._report(error)
                self._begin_anew()
            except BackendError as error:
                self.stats.reconnects += 1
                self.stats.is_connected = False
                self._report(error)
                await self._rest(self._backoff.pause_s(is_denied=isinstance(error, AuthenticationError)))
            except Exception as error:  # noqa: BLE001  a bug, of ours or of a callback: nobody else would tell
                # The index may be half-way.
                self.stats.last_error = f"{type(error).__name__}: {error}"
                _log.exception("the follower failed", extra=named("follower_failed", error=self.stats.last_error))
                self._begin_anew()
                await self._rest(self._backoff.next_s())

    async def _rest(self, pause_s: float) -> None:
        self.pulse.beat(pause_s)
        await asyncio.sleep(pause_s)

    def _begin_anew(self) -> None:
        self.stats.breaks += 1
        self._follow.lose()
        self._has_begun = False
        self._covered.clear()

    async def _begin(self) -> None:
        if not self._has_begun:
            count = min(self._page.entries, PART_ENTRIES)
            newest = await self._in_time(self.stream.read_before(None, count=count), count)
            self._follow.begin(newest, self._clock())
            self._has_begun = self.stats.is_connected = True

    async def _cover(self) -> None:
        """Read the window backwards, and forwards now and then."""
        read_ms = self._clock().monotonic_ms
        while self._follow.wants_older:
            self.pulse.beat()
            count = min(self._page.entries, OLDER_ENTRIES)
            older = await self._in_time(self.stream.read_before(self._follow.oldest, count=count), count)
            await self._take_older(older)
            if self._clock().monotonic_ms - read_ms > FORWARD_MS:
                await self._catch_up()
                read_ms = self._clock().monotonic_ms

    async def _follow_on(self) -> None:
        """Take what is pushed. Pushes may be missing or come late: what does not join on is read from the stream."""
        async with self.stream.subscribe(silence_ms=SILENCE_MS) as pushes:
            await self._catch_up()
            # What is pushed first and does not join on is looked into: a history with lower stamps may have begun.
            pushed, unpushed = stamps.STAMP_MAX, 0
            async for entry in pushes:
                self.pulse.beat()
                if entry is None:
                    # Is there nothing? A stream that was cut short is silent too, and so is a dead link.
                    unpushed = unpushed + 1 if await self._catch_up() else 0
                    _check_pushes(unpushed)
                    self._note_well(is_well=not unpushed)
                    continue
                unpushed = 0
                self._note_well()
                if self._follow.joins(entry):
                    self._take([entry])
                elif entry.stamp > self.index.watermark or entry.stamp <= pushed:
                    await self._catch_up()
                pushed = entry.stamp

    async def _catch_up(self) -> bool:
        """Read what is above the watermark; return whether there was anything."""
        count = self._page.entries
        page = await self._in_time(self.stream.read_after(self.index.watermark, count=count), count)
        was_behind = bool(page)
        if not was_behind:
            newest = await self.stream.read_before(None, count=1)
            self._follow.check_tail(newest[0] if newest else None)
        await self._take_page(page)
        while len(page) == count:
            count = self._page.entries
            page = await self._in_time(self.stream.read_after(self.index.watermark, count=count), count)
            await self._take_page(page)
        self._backoff.reset()
        self.stats.is_connected = True
        return was_behind

    async def _in_time(self, reading: Awaitable[list[Entry]], count: int) -> list[Entry]:
        """Return a page of up to ``count`` entries. Whether it comes decides how many are asked for next."""
        try:
            page = await reading
        except UnavailableError:
            self._page.missed(count)
            raise
        self._page.came(len(page))
        return page

    async def _take_older(self, page: Sequence[Entry]) -> None:
        self._follow.take_older(page[:PART_ENTRIES], self._clock())
        for first in range(PART_ENTRIES, len(page), PART_ENTRIES):
            await asyncio.sleep(0)
            self._follow.take_older(page[first : first + PART_ENTRIES], self._clock())

    async def _take_page(self, page: Sequence[Entry]) -> None:
        for first in range(0, len(page), PART_ENTRIES):
            self._take(page[first : first + PART_ENTRIES])
            await asyncio.sleep(0)

    def _take(self, entries: Sequence[Entry]) -> None:
        self._follow.take(entries, self._clock())
        for entry in entries:
            self._notify(entry)

    def _notify(self, entry: Entry) -> None:
        self.stats.entries += 1
        if isinstance(entry.body, Poisoned):
            self.stats.poisoned += 1
            self._report(ValueError(f"poisoned entry {entry.stamp}: {entry.body.reason}"))
        for callback in self.entry_callbacks:
            callback(entry)

    def _measure(self, entry: Entry) -> None:
        self.stats.latencies.observe(entry, self._clock().ms)

    def _report(self, error: Exception) -> None:
        self.stats.logins_refused += isinstance(error, AuthenticationError)
        self._is_well = self._is_well and not isinstance(error, BackendError)
        if str(error) != self.stats.last_error:
            self.stats.last_error = str(error)
            _log.warning("%s", error, extra=named(_event_of(error), error=str(error)))

    def _note_well(self, *, is_well: bool = True) -> None:
        """Only what is pushed, or a silence with nothing written, proves a link: a read that works may not last."""
        if is_well and not self._is_well:
            self._is_well, self.stats.last_error = True, ""
            _log.info("the stream is followed", extra=named("follower_connected", reconnects=self.stats.reconnects))


def _event_of(error: Exception) -> str:
    if isinstance(error, BackendError):
        return "follower_link_lost"
    return "follower_broken" if isinstance(error, ContinuityError) else "follower_entry_poisoned"


def _check_pushes(unpushed: int) -> None:
    """Once may be a loop that was busy for a while, and whose pushes wait in the socket."""
    if unpushed > 1:
        raise UnavailableError("the stream goes on, but nothing is pushed", hint="may the user read the channel?")
