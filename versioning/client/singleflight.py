"""Single-flight: one refill of a key at a time in a process; readers that come meanwhile join it (P10).

A flight carries the keys of one read plan. Each lands with its read, before the plan waits for another process's load
or when it is over, or with the loader's exception, for the leader and for everyone who joined. A loader that would wait
for its own flight is told so: it would wait for ever.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from types import TracebackType
from typing import Any, Final

from versioning.errors import LoadFailedError
from versioning.read import Read
from versioning.readplan import Reads

Refill = Callable[["AsyncFlight"], Coroutine[Any, Any, None]]


def _refuse_own(key: str) -> None:
    raise LoadFailedError(f"the loader of {key!r} waits for that key itself", hint="a loader must go to the database")


_INSIDE: Final[ContextVar[frozenset["AsyncFlight"]]] = ContextVar("stampline_inside", default=frozenset())
"""The flights whose loaders run here, in whatever task they have started."""


class AsyncFlight:
    """Runs in a task of its own: a reader that is cancelled takes nobody else down, and the value still arrives."""

    def __init__(self, keys: tuple[str, ...], began_ms: int, run: Refill) -> None:
        self.keys = keys
        self.began_ms = began_ms
        self.reads: Reads = {}
        self._told = 0
        self._some_landed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_known = False
        """Whether readers find it. An eager task (Python 3.12) begins before it is."""
        self.awaited: list[AsyncFlight] = []
        """Those that its loader waits for."""
        context = copy_context()
        context.run(_INSIDE.set, frozenset({self, *(flight for flight in _INSIDE.get() if not flight.task.done())}))
        self.task: asyncio.Task[None] = asyncio.create_task(self._fly(run), name="stampline-refill", context=context)

    async def _fly(self, run: Refill) -> None:
        if not self.is_known:
            await asyncio.sleep(0)
        await run(self)

    def has_landed(self, key: str) -> bool:
        return key in self.reads or self.task.done()

    def tell(self) -> None:
        """Wake those whose keys have been read meanwhile."""
        if len(self.reads) > self._told:
            self._told = len(self.reads)
            told, self._some_landed = self._some_landed, asyncio.get_running_loop().create_future()
            told.set_result(None)

    async def landed(self, key: str) -> Read:
        while not self.has_landed(key):
            await self._wait(key)
        if key not in self.reads:
            if self.task.cancelled():
                raise LoadFailedError(f"the load of {key!r} was cancelled", hint="by its loader, or by a close")
            self.task.result()
        return self.reads[key]

    async def _wait(self, key: str) -> None:
        waiting = _INSIDE.get()
        if waiting and self.waits_for(waiting):
            _refuse_own(key)
        for flight in waiting:
            flight.awaited.append(self)
        try:
            await asyncio.wait((self.task, self._some_landed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for flight in waiting:
                flight.awaited.remove(self)

    def waits_for(self, flights: frozenset["AsyncFlight"]) -> bool:
        return self in flights or any(awaited.waits_for(flights) for awaited in self.awaited)


class AsyncFlights:
    """The flights of one event loop."""

    def __init__(self) -> None:
        self._by_key: dict[str, AsyncFlight] = {}

    def has(self, key: str) -> bool:
        return self.find(key) is not None

    def find(self, key: str) -> AsyncFlight | None:
        """Return the flight of the key; one that has landed is none, though the loop has not told us yet."""
        flight = self._by_key.get(key)
        return None if flight is None or flight.has_landed(key) else flight

    def take_off(self, keys: tuple[str, ...], began_ms: int, run: Refill) -> AsyncFlight:
        """``run`` puts what it has read into ``AsyncFlight.reads``, and calls ``tell`` before it waits for others."""
        flight = AsyncFlight(keys, began_ms, run)
        for key in keys:
            self._by_key[key] = flight
        flight.is_known = True
        flight.task.add_done_callback(lambda task: self._land(flight, task))
        return flight

    async def finish(self, wait_s: float) -> None:
        """Let loads under way arrive, but not for long."""
        tasks = {flight.task for flight in self._by_key.values()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=wait_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _land(self, flight: AsyncFlight, task: "asyncio.Task[None]") -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        if not task.cancelled():
            # Looked at, so that a load whose readers have all gone does not end in a warning.
            task.exception()


_WAITING: Final[dict[int, "Flight"]] = {}
"""By thread: the flight it waits for, of whichever cache: the loaders of one may read another."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_WAITING.clear)


class Flight:
    """Runs in the leader's thread, which alone writes ``reads``."""

    def __init__(self, began_ms: int) -> None:
        self.keys: tuple[str, ...] = ()
        self.began_ms = began_ms
        self.leader = threading.get_ident()
        self.reads: Reads = {}
        self.has_landed = False
        self._told = 0
        # The last one is locked until more has landed. No Event: that is made of several steps, and a thread
        # interrupted between them leaves waiters behind, or stops at its lock for ever as it tries again. To release a
        # lock is one.
        self._latches = [_locked()]
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None

    def tell(self) -> None:
        """Wake those whose keys have been read meanwhile."""
        if len(self.reads) > self._told:
            self._told = len(self.reads)
            self._latches.append(_locked())
            self._latches[-2].release()

    def land(self, error: Exception | None = None) -> None:
        """Without an error, keys that have no read were left by a leader that was stopped (KeyboardInterrupt)."""
        self._error = error
        self._traceback = None if error is None else error.__traceback__
        self.has_landed = True
        self.let_go()

    def let_go(self) -> None:
        """Wake all who wait; once more does no harm."""
        for latch in self._latches:
            with suppress(RuntimeError):
                latch.release()

    def landed(self, key: str) -> Read | None:
        """Wait for the key. None: the leader has gone, and someone has to fly again."""
        thread = threading.get_ident()
        _WAITING[thread] = self
        try:
            self._wait(key, thread)
        finally:
            _WAITING.pop(thread, None)
        if key not in self.reads and self._error is not None:
            # From where it was: it is one error for all, and would grow by the frames of each reader that raises it.
            raise self._error.with_traceback(self._traceback)
        return self.reads.get(key)

    def _wait(self, key: str, thread: int) -> None:
        while True:
            # First: what lands behind the look at the reads opens this latch.
            latch = self._latches[-1]
            if key in self.reads or self.has_landed:
                return
            if self.waits_for(thread):
                _refuse_own(key)
            with suppress(RuntimeError), latch:  # the error: let go of once more meanwhile
                pass

    def waits_for(self, thread: int) -> bool:
        flight: Flight | None = self
        while flight is not None and not flight.has_landed:
            if flight.leader == thread:
                return True
            flight = _WAITING.get(flight.leader)
        return False


def _locked() -> threading.Lock:
    latch = threading.Lock()
    latch.acquire()
    return latch


class Flights:
    """The flights of all threads of a process."""

    def __init__(self) -> None:
        self._by_key: dict[str, Flight] = {}
        self._lock = threading.Lock()

    def has(self, key: str) -> bool:
        return key in self._by_key

    def fly(self, keys: Iterable[str], began_ms: int, run: Callable[[Flight], None]) -> tuple[Reads, dict[str, Flight]]:
        """Run the refill of the keys that have no flight; return its reads, and the others' flights by key.

        ``run`` puts what it has read into ``Flight.reads``, and calls ``land_some`` before it waits for others. The
        flight lands, and nobody is left waiting, wherever the caller's thread is interrupted: so it is boarded in here.
        """
        flight = Flight(began_ms)
        try:
            return self._fly(flight, keys, run)
        except BaseException:
            if flight.has_landed:
                flight.let_go()
            else:
                self._land(flight)
            raise

    def _fly(
        self, flight: Flight, keys: Iterable[str], run: Callable[[Flight], None]
    ) -> tuple[Reads, dict[str, Flight]]:
        try:
            joined = self.board(flight, keys)
            if flight.keys:
                run(flight)
        except Exception as error:
            self._land(flight, error)
            raise
        self._land(flight)
        return flight.reads, joined

    def board(self, flight: Flight, keys: Iterable[str]) -> dict[str, Flight]:
        """Give the flight those keys that have none; return the flights of the others."""
        with self._lock:
            joined = {key: found for key in keys if (found := self._by_key.get(key)) is not None}
            flight.keys = tuple(key for key in keys if key not in joined)
            self._by_key.update(dict.fromkeys(flight.keys, flight))
            return joined

    def land_some(self, flight: Flight) -> None:
        """Hand out what has been read so far."""
        self._forget(flight, tuple(flight.reads))
        flight.tell()

    def _land(self, flight: Flight, error: Exception | None = None) -> None:
        self._forget(flight, flight.keys)
        flight.land(error)

    def _forget(self, flight: Flight, keys: tuple[str, ...]) -> None:
        with self._lock:
            for key in keys:
                if self._by_key.get(key) is flight:
                    del self._by_key[key]
