"""Lines between processes and servers: delay both ways, cuts, refusals, answers that get lost.

A request that has left its process goes on without it: it is carried out at the server in nobody's context, so a
process that is paused or killed meanwhile has still asked.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.simulation.loop import VirtualLoop
from versioning.backends.base import UnavailableError
from versioning.errors import StamplineError

NOBODY = contextvars.Context()


class Server:
    """Something with an address: up or down, and with requests that wait in it."""

    def __init__(self, name: str, loop: VirtualLoop, rng: random.Random) -> None:
        self.name = name
        self.loop = loop
        self.rng = rng
        self.is_down = self.is_paused = False
        self.up_s = 0.0
        """Since when it answers, and takes writes."""
        self.loses_answers = False
        self._held: list[Callable[[], None]] = []
        self.waiting: list[asyncio.Future[Any]] = []

    def wait_here(self) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self.loop.create_future()
        self.waiting = [other for other in self.waiting if not other.done()]
        self.waiting.append(future)
        return future

    @property
    def is_away(self) -> bool:
        return self.is_down or self.is_paused

    def come_up(self) -> None:
        if self.is_down:
            self.is_down, self.up_s = False, self.loop.time()

    def pause(self) -> None:
        """Stand still, as by SIGSTOP: what arrives meanwhile is done later, whoever has given up on it."""
        self.is_paused = True

    def hold(self, work: Callable[[], None]) -> None:
        self._held.append(work)

    def resume(self) -> None:
        if not self.is_paused:
            return
        self.is_paused, self.up_s = False, self.loop.time()
        held, self._held = self._held, []
        for work in held:
            work()

    def hang_up(self) -> None:
        """End all that waits, as a restart would."""
        self.is_paused, self._held = False, []
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(UnavailableError(f"{self.name} closed the connection"))


class Cable:
    """What may be cut, for all lines that share it. It may be a strand of another one."""

    def __init__(self, of: "Cable | None" = None) -> None:
        self._of = of
        self._is_cut = False
        self._extra_s = 0.0
        self.whole_s = self.cut_s = 0.0
        """Since when it is neither cut nor slow, or is cut: it alone."""

    @property
    def is_cut(self) -> bool:
        return self._is_cut or (self._of is not None and self._of.is_cut)

    @property
    def extra_s(self) -> float:
        return self._extra_s + (self._of.extra_s if self._of is not None else 0.0)

    def is_whole_since(self, since_s: float) -> bool:
        return not (self.is_cut or self.extra_s) and self.whole_s <= since_s

    def cut(self, now_s: float) -> None:
        if not self._is_cut:
            self._is_cut, self.cut_s = True, now_s

    def mend(self, now_s: float) -> None:
        if self._is_cut:
            self._is_cut, self.whole_s = False, now_s

    def slow(self, extra_s: float) -> None:
        self._extra_s = extra_s

    def hasten(self, now_s: float) -> None:
        if self._extra_s:
            self._extra_s, self.whole_s = 0.0, now_s


class Line:
    """One process's connection to one server."""

    def __init__(
        self, server: Server, *, delay_s: tuple[float, float], timeout_s: float, cable: Cable | None = None
    ) -> None:
        self.server = server
        self.cable = cable or Cable()
        self._delay_s = delay_s
        self._timeout_s = timeout_s
        self._loop = server.loop
        self._rng = server.rng

    def delay_s(self) -> float:
        least, most = self._delay_s
        return least + (most - least) * self._rng.random() + self.cable.extra_s

    async def ask(self, operation: Callable[[], Any]) -> Any:
        """Carry ``operation`` out at the server. A future as its result is waited for there."""
        future: asyncio.Future[Any] = self._loop.create_future()
        delay_s = self.delay_s()
        self._loop.call_later(delay_s, self._arrive, future, operation, context=NOBODY)
        if delay_s > self._timeout_s:
            self._give_up(future)
        return await future

    def _give_up(self, future: "asyncio.Future[Any]") -> None:
        """What was asked may be carried out all the same."""
        self._later(self._timeout_s, future, None, UnavailableError(f"{self.server.name}: no answer"))

    def _arrive(self, future: "asyncio.Future[Any]", operation: Callable[[], Any]) -> None:
        if self.cable.is_cut:
            self._give_up(future)
        elif self.server.is_paused:
            self._give_up(future)
            self.server.hold(partial(self._arrive, future, operation))
        elif self.server.is_down:
            self._later(self.delay_s(), future, None, UnavailableError(f"{self.server.name}: refused"))
        else:
            self._carry_out(future, operation)

    def _carry_out(self, future: "asyncio.Future[Any]", operation: Callable[[], Any]) -> None:
        result, error = None, None
        try:
            result = operation()
        except StamplineError as refused:
            error = refused
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: self._answer_waited(future, done), context=NOBODY)
        else:
            self._answer(future, result, error)

    def _answer_waited(self, future: "asyncio.Future[Any]", done: "asyncio.Future[Any]") -> None:
        error = done.exception()
        self._answer(future, None if error else done.result(), error)

    def _answer(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        if self.server.is_paused:
            self._give_up(future)
            self.server.hold(partial(self._answer, future, result, error))
        elif self.cable.is_cut or (self.server.loses_answers and self._rng.random() < 1 / 3):
            self._give_up(future)
        else:
            self._later(self.delay_s(), future, result, error)

    def _later(self, after_s: float, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        self._loop.call_later(after_s, _settle, future, result, error, context=NOBODY)


def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
