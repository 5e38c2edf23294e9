"""Running a role until it is told to stop: SIGTERM or SIGINT set the event, the role ends by itself, and we exit 0."""

import asyncio
import importlib.util
import signal
from collections.abc import Awaitable, Callable
from typing import Any

Role = Callable[[asyncio.Event], Awaitable[None]]


def run_role(role: Role) -> None:
    """Run ``role(stop)`` on a loop of its own; what it raises is the caller's."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(role))


async def _until_stopped(role: Role) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await role(stop)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Any = importlib.import_module("uvloop").new_event_loop
    return factory  # type: ignore[no-any-return]
