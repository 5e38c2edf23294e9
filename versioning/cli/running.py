"""Running a role: SIGTERM, SIGINT or a time limit set its stop event, the role ends by itself, and we exit 0.

The first signal asks, the second one ends the process at once, by that signal: its handler is the kernel's own then, so
that it works whatever hangs. A role that was asked and does not end is ended, since nothing of it is worth waiting for
any longer: what was not flushed is read again from the checkpoint.
"""

import asyncio
import importlib.util
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from versioning.cli.notify import Notifier
from versioning.client.pulse import Pulse

Role = Callable[[asyncio.Event], Awaitable[None]]

STOP_MAX_S: Final = 25.0
"""Under the 30 s that Kubernetes waits before it kills; a flush and the longest wait for a server fit in."""

_log = structlog.get_logger()


def _nothing() -> str | None:
    return None


def run_role(
    role: Role,
    *,
    pulse: Pulse | None = None,
    readiness: Callable[[], str | None] = _nothing,
    on_reload: Callable[[], None] | None = None,
    for_s: float | None = None,
) -> None:
    """Run ``role(stop)`` on a loop of its own; what it raises is the caller's.

    ``pulse`` is that of the role's working loop (None: there is only the event loop). SIGHUP calls ``on_reload``;
    without one it is another SIGTERM. After ``for_s`` the role is asked to stop.
    """
    overdue = threading.Timer(STOP_MAX_S, _give_up)
    overdue.daemon = True
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            helped = _run(role, overdue, pulse=pulse, readiness=readiness, on_reload=on_reload, for_s=for_s)
            runner.run(helped)
    finally:
        overdue.cancel()


async def _run(
    role: Role,
    overdue: threading.Timer,
    *,
    pulse: Pulse | None,
    readiness: Callable[[], str | None],
    on_reload: Callable[[], None] | None,
    for_s: float | None,
) -> None:
    stop, notifier, own = asyncio.Event(), Notifier.from_environment(), pulse or Pulse()

    def end(by: str) -> None:
        if not stop.is_set():
            _log.info("role_asked_to_stop", by=by)
            overdue.start()
            notifier.say("STOPPING=1")
            stop.set()

    _listen(end, on_reload)
    helpers = [notifier.run(own, readiness)]
    if pulse is None:
        helpers.append(_beat(own))
    tasks = [asyncio.create_task(helper) for helper in helpers]
    limit = None if for_s is None else asyncio.get_running_loop().call_later(for_s, end, "its time")
    try:
        await role(stop)
    finally:
        if limit is not None:
            limit.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listen(end: Callable[[str], None], on_reload: Callable[[], None] | None) -> None:
    loop = asyncio.get_running_loop()
    endings = [signal.SIGTERM, signal.SIGINT, *([] if on_reload else [signal.SIGHUP])]

    def end_by(number: signal.Signals) -> None:
        for ending in endings:
            loop.remove_signal_handler(ending)
            signal.signal(ending, signal.SIG_DFL)
        end(number.name)

    for number in endings:
        loop.add_signal_handler(number, end_by, number)
    if on_reload is not None:
        loop.add_signal_handler(signal.SIGHUP, on_reload)


async def _beat(pulse: Pulse) -> None:
    while True:
        pulse.beat()
        await asyncio.sleep(1.0)


def _give_up() -> None:
    _log.error("role_ended_by_force", hint=f"it did not end within {STOP_MAX_S:g} s of being asked; nothing is lost")
    os._exit(1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Any = importlib.import_module("uvloop").new_event_loop
    return factory  # type: ignore[no-any-return]
