"""Lines between processes and servers: delay both ways, cuts, refusals, answers that get lost.

A request that has left its process goes on without it: it is carried out at the server in nobody's context, so a
process that is paused or killed meanwhile has still asked.
"""

import asyncio
import contextvars
import random
from collections.abc import Callable
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
        self.is_down = False
        self.up_s = 0.0
        """Since when it is up."""
        self.loses_answers = False
        self.waiting: list[asyncio.Future[Any]] = []

    def wait_here(self) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = self.loop.create_future()
        self.waiting = [other for other in self.waiting if not other.done()]
        self.waiting.append(future)
        return future

    def come_up(self) -> None:
        if self.is_down:
            self.is_down, self.up_s = False, self.loop.time()

    def hang_up(self) -> None:
        """End all that waits, as a restart would."""
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
        """Since when it is not cut, or is: it alone."""

    @property
    def is_cut(self) -> bool:
        return self._is_cut or (self._of is not None and self._of.is_cut)

    @property
    def extra_s(self) -> float:
        return self._extra_s + (self._of.extra_s if self._of is not None else 0.0)

    def cut(self, now_s: float) -> None:
        if not self._is_cut:
            self._is_cut, self.cut_s = True, now_s

    def slow(self, extra_s: float) -> None:
        self._extra_s = extra_s

    def mend(self, now_s: float) -> None:
        if self._is_cut:
            self._is_cut, self.whole_s = False, now_s


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
        self._loop.call_later(self.delay_s(), self._arrive, future, operation, context=NOBODY)
        return await future

    def _arrive(self, future: "asyncio.Future[Any]", operation: Callable[[], Any]) -> None:
        if self.cable.is_cut:
            self._later(self._timeout_s, future, None, UnavailableError(f"{self.server.name}: no answer"))
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
        if self.cable.is_cut or (self.server.loses_answers and self._rng.random() < 1 / 3):
            self._later(self._timeout_s, future, None, UnavailableError(f"{self.server.name}: the answer was lost"))
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
