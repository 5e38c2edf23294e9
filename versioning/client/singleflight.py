"""Single-flight: one refill of a key at a time in a process; readers that come meanwhile join it (P10).

A flight carries the keys of one read plan. It lands with the reads of all of them, or with the loader's exception, for
its leader and for everyone who joined. A loader that would wait for its own flight is told so: it would wait for ever.
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

Reads = dict[str, Read]
Refill = Callable[[], Coroutine[Any, Any, Reads]]


def _refuse_own(key: str) -> None:
    raise LoadFailedError(f"the loader of {key!r} waits for that key itself", hint="a loader must go to the database")


_INSIDE: Final[ContextVar[frozenset["AsyncFlight"]]] = ContextVar("stampline_inside", default=frozenset())
"""The flights whose loaders run here, in whatever task they have started."""


class AsyncFlight:
    """Runs in a task of its own: a reader that is cancelled takes nobody else down, and the value still arrives."""

    def __init__(self, keys: tuple[str, ...], began_ms: int, run: Refill) -> None:
        self.keys = keys
        self.began_ms = began_ms
        self.is_known = False
        """Whether readers find it. An eager task (Python 3.12) begins before it is."""
        self.awaited: list[AsyncFlight] = []
        """Those that its loader waits for."""
        context = copy_context()
        context.run(_INSIDE.set, frozenset({self, *(flight for flight in _INSIDE.get() if not flight.task.done())}))
        self.task: asyncio.Task[Reads] = asyncio.create_task(self._fly(run), name="stampline-refill", context=context)

    async def _fly(self, run: Refill) -> Reads:
        if not self.is_known:
            await asyncio.sleep(0)
        return await run()

    async def landed(self, key: str) -> Reads:
        if not self.task.done():
            await self._wait(key)
        if self.task.cancelled():
            raise LoadFailedError(f"the load of {key!r} was cancelled", hint="by its loader, or by a close")
        return self.task.result()

    async def _wait(self, key: str) -> None:
        waiting = _INSIDE.get()
        if waiting and self.waits_for(waiting):
            _refuse_own(key)
        for flight in waiting:
            flight.awaited.append(self)
        try:
            await asyncio.wait((self.task,))
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
        return None if flight is None or flight.task.done() else flight

    def take_off(self, keys: tuple[str, ...], began_ms: int, run: Refill) -> AsyncFlight:
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

    def _land(self, flight: AsyncFlight, task: "asyncio.Task[Reads]") -> None:
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
    """Runs in the leader's thread."""

    def __init__(self, began_ms: int) -> None:
        self.keys: tuple[str, ...] = ()
        self.began_ms = began_ms
        self.leader = threading.get_ident()
        self.has_landed = False
        # Locked until it has landed. No Event: that is made of several steps, and a thread interrupted between them
        # leaves waiters behind, or stops at its lock for ever as it tries again. To release a lock is one.
        self._latch = threading.Lock()
        self._latch.acquire()
        self._reads: Reads | None = None
        self._error: Exception | None = None
        self._traceback: TracebackType | None = None

    def land(self, reads: Reads | None, error: Exception | None = None) -> None:
        """``None`` twice: the leader was stopped by something that is no error of the load (KeyboardInterrupt)."""
        self._reads, self._error = reads, error
        self._traceback = None if error is None else error.__traceback__
        self.has_landed = True
        self.let_go()

    def let_go(self) -> None:
        """Wake all who wait; once more does no harm."""
        with suppress(RuntimeError):
            self._latch.release()

    def landed(self, key: str) -> Reads | None:
        """Wait for the flight. None: its leader has gone, and someone has to fly again."""
        thread = threading.get_ident()
        _WAITING[thread] = self
        try:
            if self.waits_for(thread):
                _refuse_own(key)
            with suppress(RuntimeError), self._latch:  # the error: let go of once more meanwhile
                pass
        finally:
            _WAITING.pop(thread, None)
        if self._error is not None:
            # From where it was: it is one error for all, and would grow by the frames of each reader that raises it.
            raise self._error.with_traceback(self._traceback)
        return self._reads

    def waits_for(self, thread: int) -> bool:
        flight: Flight | None = self
        while flight is not None and not flight.has_landed:
            if flight.leader == thread:
                return True
            flight = _WAITING.get(flight.leader)
        return False


class Flights:
    """The flights of all threads of a process."""

    def __init__(self) -> None:
        self._by_key: dict[str, Flight] = {}
        self._lock = threading.Lock()

    def has(self, key: str) -> bool:
        return key in self._by_key

    def fly(
        self, keys: Iterable[str], began_ms: int, run: Callable[[tuple[str, ...]], Reads]
    ) -> tuple[Reads, dict[str, Flight]]:
        """Run the refill of the keys that have no flight; return its reads, and the others' flights by key.

        It lands, and nobody is left waiting, wherever the caller's thread is interrupted: so it is boarded in here.
        """
        flight = Flight(began_ms)
        try:
            return self._fly(flight, keys, run)
        except BaseException:
            if flight.has_landed:
                flight.let_go()
            else:
                self._land(flight, None)
            raise

    def _fly(
        self, flight: Flight, keys: Iterable[str], run: Callable[[tuple[str, ...]], Reads]
    ) -> tuple[Reads, dict[str, Flight]]:
        try:
            joined = self.board(flight, keys)
            reads = run(flight.keys) if flight.keys else {}
        except Exception as error:
            self._land(flight, None, error)
            raise
        self._land(flight, reads)
        return reads, joined

    def board(self, flight: Flight, keys: Iterable[str]) -> dict[str, Flight]:
        """Give the flight those keys that have none; return the flights of the others."""
        with self._lock:
            joined = {key: found for key in keys if (found := self._by_key.get(key)) is not None}
            flight.keys = tuple(key for key in keys if key not in joined)
            self._by_key.update(dict.fromkeys(flight.keys, flight))
            return joined

    def _land(self, flight: Flight, reads: Reads | None, error: Exception | None = None) -> None:
        with self._lock:
            for key in flight.keys:
                if self._by_key.get(key) is flight:
                    del self._by_key[key]
        flight.land(reads, error)
