"""Waiting in real time for what must come true. (The simulation has a clock of its own.)"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")
Errors = tuple[type[Exception], ...]

DEADLINE_S: Final = 60.0
"""Long: only what fails waits for it, and a busy machine is no failure."""

EVERY_S: Final = 0.005
"""For what is cheap to ask; give longer where the answer is work for a server."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def until(
    claim: Callable[[], T],
    what: str,
    deadline_s: float = DEADLINE_S,
    *,
    every_s: float = EVERY_S,
    despite: Errors = (),
    show: Callable[[], object] | None = None,
) -> T:
    """Ask again and again, and return the first answer that is true. Errors of the kinds ``despite`` are "not yet".

    Raises AssertionError after the deadline: ``what`` was awaited, and the last answer or error, or what ``show`` says.
    """
    give_up_at = time.monotonic() + deadline_s
    while True:
        last: object = None
        try:
            if answer := claim():
                return answer
            last = answer
        except despite as error:
            last = error
        if time.monotonic() >= give_up_at:
            raise AssertionError(_missed(what, deadline_s, show() if show else last))
        time.sleep(every_s)


async def until_async(
    claim: Callable[[], Any],
    what: str,
    deadline_s: float = DEADLINE_S,
    *,
    every_s: float = EVERY_S,
    despite: Errors = (),
    show: Callable[[], object] | None = None,
) -> Any:
    """The same while other tasks go on. ``claim`` may be a coroutine function; the deadline cuts its answer off."""
    last: object = None
    try:
        async with asyncio.timeout(deadline_s) as limit:
            while True:
                try:
                    asked = claim()
                    answer = await asked if inspect.isawaitable(asked) else asked
                    if answer:
                        return answer
                    last = answer
                except despite as error:
                    last = error
                await asyncio.sleep(every_s)
    except TimeoutError:
        if not limit.expired():
            raise
    raise AssertionError(_missed(what, deadline_s, show() if show else last))


def _missed(what: str, deadline_s: float, last: object) -> str:
    return f"not within {deadline_s:g} s: {what}; last: {last!r}"
