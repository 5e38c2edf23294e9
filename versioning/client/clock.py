"""The clocks of this machine. Everything below takes time as an argument; this is what the shells hand in.

The monotonic one counts the time a machine sleeps, where the system has such a clock (Linux): a process that wakes up
must not vouch for what it knew before.
"""

import time
from collections.abc import Callable
from typing import Final

from versioning.liveness import Now

AWAKE_OR_NOT: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

Ticks = tuple[Callable[[int], float], int]
"""A function and its argument that together read a monotonic clock in seconds: one call, and no lambda between."""

SYSTEM_TICKS: Final[Ticks] = (time.clock_gettime, AWAKE_OR_NOT)


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


def system_clock() -> Now:
    return Now(unix_ms(), time.clock_gettime_ns(AWAKE_OR_NOT) // 1_000_000)


def ticks_of(clock: Callable[[], Now]) -> Ticks:
    """The monotonic half of ``clock``, with the same zero."""
    if clock is system_clock:
        return SYSTEM_TICKS
    return lambda _: clock().monotonic_ms / 1000, AWAKE_OR_NOT
