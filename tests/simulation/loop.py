"""Virtual time: an event loop whose clock is its own heap of timers. Nothing ever sleeps, no socket, no thread.

Law: the same tasks, the same seed, the same order. So tasks hash by their number (sets of them keep one order), and
time jumps to the next timer only when nothing is ready to run.

Every call belongs to the process whose context it was made in. The calls of a process that is halted (SIGSTOP, or
kill -9) are kept back: its timers go off, and nothing of it runs.
"""

import asyncio
import contextvars
import heapq
from collections.abc import Coroutine
from typing import Any, Protocol

EVENTS_MAX = 5_000_000
"""Calls done before the run counts as one that never ends."""


class Halting(Protocol):
    """What the loop knows of a process."""

    is_halted: bool
    held: list[Any]


OWNER: "contextvars.ContextVar[Halting]" = contextvars.ContextVar("owner")


class NothingLeftError(AssertionError):
    """Every task waits for another one: a deadlock of the simulated world."""


class Call:
    """What asyncio calls a handle, without its debugging: a run makes thousands."""

    __slots__ = ("arguments", "callback", "context", "is_cancelled")

    def __init__(self, callback: Any, arguments: tuple[Any, ...], context: "contextvars.Context | None") -> None:
        self.callback = callback
        self.arguments = arguments
        self.context = contextvars.copy_context() if context is None else context
        self.is_cancelled = False

    def cancel(self) -> None:
        """It is skipped when its time comes."""
        self.is_cancelled = True


class NumberedTask(asyncio.Task[Any]):
    """Hashes by number: iteration over a set of tasks does not depend on where they lie in memory."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **arguments: Any) -> None:
        self._number = number
        super().__init__(coroutine, **arguments)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


_Loop: Any = asyncio.BaseEventLoop  # its stubs lack what is overridden here


class VirtualLoop(_Loop):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        self._timers = 0
        self.events = 0
        self.tasks: list[NumberedTask] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._keep)
        self.halted: list[Halting] = []
        """Every process that was halted once."""
        self.errors: list[str] = []
        """What tasks raised that nobody looked at: a test fails on any."""

    def time(self) -> float:
        return self._now_s

    def _make_task(self, loop: Any, coroutine: Coroutine[Any, Any, Any], **arguments: Any) -> NumberedTask:
        task = NumberedTask(len(self.tasks), coroutine, loop=loop, **arguments)
        self.tasks.append(task)
        return task

    def _keep(self, loop: Any, context: dict[str, Any]) -> None:
        self.errors.append(f"{context['message']}: {context.get('exception')!r}")

    def call_soon_threadsafe(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self.call_soon(callback, *arguments, context=context)

    def call_later(self, delay_s: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        return self.call_at(self._now_s + delay_s, callback, *arguments, context=context)

    def call_at(self, when_s: float, callback: Any, *arguments: Any, context: Any = None) -> Any:
        # Tuples compare in C, and the number keeps timers of one moment in order.
        timer = Call(callback, arguments, context)
        self._timers += 1
        heapq.heappush(self._scheduled, (when_s, self._timers, timer))
        return timer

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> Any:
        call = Call(callback, arguments, context)
        self._ready.append(call)
        return call

    def _run_once(self) -> None:
        ready, scheduled = self._ready, self._scheduled
        if not ready:
            self._jump(scheduled)
        now_s = self._now_s
        while scheduled and scheduled[0][0] <= now_s:
            ready.append(heapq.heappop(scheduled)[2])
        for _ in range(len(ready)):
            call = ready.popleft()
            if call.is_cancelled:
                continue
            owner = call.context.get(OWNER)
            if owner is not None and owner.is_halted:
                owner.held.append(call)
            else:
                self.events += 1
                try:
                    call.context.run(call.callback, *call.arguments)
                except Exception as error:
                    self.errors.append(f"{call.callback}: {error!r}")
        if self.events > EVENTS_MAX:
            raise NothingLeftError(f"more than {EVENTS_MAX} events: the world does not come to rest")

    def _jump(self, scheduled: list[Any]) -> None:
        while scheduled and scheduled[0][2].is_cancelled:
            heapq.heappop(scheduled)
        if not scheduled:
            raise NothingLeftError("nothing is ready and no timer is set")
        self._now_s = max(self._now_s, scheduled[0][0])

    def let_all_go(self) -> None:
        """Nobody is halted any more: the run is over."""
        for owner in self.halted:
            owner.is_halted = False
            self.release(owner.held)
            owner.held = []

    def release(self, held: list[Any]) -> None:
        """Let the calls of a process that goes on run, in the order they came up in."""
        self._ready.extend(held)

    def abandon(self) -> None:
        """End every task, so that none is left to the garbage collector half-way."""
        for _ in range(100):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            self.run_until_complete(asyncio.wait(left, timeout=10))
        self.close()
