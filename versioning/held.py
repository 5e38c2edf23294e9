"""A cached value in memory: what it is, how new it is, and until when it may be used (P5).

Time is kept on both clocks and the worse one counts, as in ``liveness``: a wall clock set back must not make a value
younger, and a monotonic clock that stood still while the machine slept must not either.
"""

from dataclasses import dataclass
from typing import Any

from versioning.limits import CLOCK_ERROR_MS
from versioning.liveness import Now
from versioning.options import CacheOptions


@dataclass(slots=True)
class Held:
    # Shared by all readers and never changed; not frozen, because that makes it three times as dear to make.
    value: Any
    """None: not found."""
    fill_stamp: int
    fill_ms: int
    fill_monotonic_ms: int | None
    """The fill time on this process's own clock; None where the header lies in the future: the age is unknown."""
    expires_ms: int
    """Unix time from which it may not be used any more."""
    expires_monotonic_s: float
    """The same on the process's own clock, in seconds, as that gives them to the hit."""

    def is_expired(self, now: Now) -> bool:
        return now.ms >= self.expires_ms or now.monotonic_ms / 1000 >= self.expires_monotonic_s

    def age_ms(self, now: Now) -> int | None:
        if self.fill_monotonic_ms is None:
            return None
        return max(now.ms - self.fill_ms, now.monotonic_ms - self.fill_monotonic_ms, 0)

    def is_younger(self, limit_ms: int, now: Now) -> bool:
        age_ms = self.age_ms(now)
        return age_ms is not None and age_ms <= limit_ms


def is_known(age_ms: int) -> bool:
    """Whether a value is as old as the two wall clocks say; a fill time in the future says nothing of its age."""
    return age_ms >= -CLOCK_ERROR_MS


def hold(
    value: Any, fill_stamp: int, fill_ms: int, now: Now, options: CacheOptions, *, is_provisional: bool = False
) -> Held | None:
    """Take a value in, with the fill stamp and fill time it came with. None: its own life is over."""
    now_ms, now_monotonic_ms = now
    age_ms = now_ms - fill_ms
    life_ms = options.life_ms(is_provisional=is_provisional)
    if age_ms >= life_ms or (is_provisional and not is_known(age_ms)):
        return None
    left_ms = min(options.local_ttl_ms, life_ms - age_ms)
    return Held(
        value,
        fill_stamp,
        fill_ms,
        now_monotonic_ms - age_ms if is_known(age_ms) else None,
        now_ms + left_ms,
        (now_monotonic_ms + left_ms) / 1000,
    )
