"""At its start a role waits for its servers, as it does later: a failover restarts it in just that moment."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from replicator.errors import MySqlUnavailableError, UnreachedError
from versioning.backends.base import UnavailableError
from versioning.backoff import Backoff
from versioning.client.pulse import Pulse
from versioning.client.waiting import wait
from versioning.errors import StamplineError

_PASSING: Final = (MySqlUnavailableError, UnavailableError)

log = structlog.get_logger()


async def reach(
    check: Callable[[], Awaitable[None]],
    *,
    stop: asyncio.Event,
    note: Callable[[StamplineError], None],
    pulse: Pulse | None = None,
) -> None:
    """Return once ``check`` has passed: it is tried again while a server is not available.

    Raises UnreachedError when told to stop before that. ``note`` hears of every failure, the log of each new one.
    """
    backoff, last, pulse = Backoff(random.random), "", pulse or Pulse()
    while True:
        pulse.beat()
        try:
            return await check()
        except _PASSING as error:
            note(error)
            if str(error) != last:
                log.warning("start_put_off", error=str(error), hint="it is tried again until the server answers")
            last, pause_s = str(error), backoff.next_s()
            pulse.beat(pause_s)
            if await wait(stop, pause_s):
                raise UnreachedError(error.message, hint=error.hint) from error
