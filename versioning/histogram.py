"""Durations counted into buckets: plain integers, raised by one thread, read by a scraper without a lock.

Observed once per entry, never per read (a hit may not pay for its own measurement).
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

BOUNDS_MS: Final = (
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 240_000, 300_000,
)  # fmt: skip
"""Upper bounds, inclusive. A WAN lies between 10 and 500 ms; 15 s is ``MAX_LAG_MS``, 240 s ``DEGRADED_TTL_MS``, 300 s
the promise (I1)."""


@dataclass(slots=True)
class Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    """One per bound, each for itself, and one for what lies beyond them all."""
    sum_ms: int = 0

    def observe(self, ms: int) -> None:
        """Count one duration; clocks that disagree make it negative, which is none."""
        ms = max(ms, 0)
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum_ms += ms

    def copy(self) -> "Histogram":
        return Histogram(list(self.counts), self.sum_ms)
