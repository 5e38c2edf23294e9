"""Waiting for an event no longer than there is time."""

import asyncio
import contextlib


async def wait(event: asyncio.Event, most_s: float) -> bool:
    """Return whether ``event`` is set: as soon as it is, else after ``most_s``."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(most_s):
            await event.wait()
    return event.is_set()
