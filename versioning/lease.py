"""Waiting for the lease of another process (P10): short first, since most loads are, then longer, never in step."""

from collections.abc import Callable, Iterator
from typing import Final

FIRST_WAIT_MS: Final = 2.0
LONGEST_WAIT_MS: Final = 160.0
GROWTH: Final = 1.5
"""Each wait is 1.5 x the last: a reader notices a fill at most half a load late."""


def waits_ms(jitter: Callable[[], float]) -> Iterator[int]:
    """Yield how long to wait before each next look. ``jitter`` returns a number in [0, 1)."""
    wait_ms = FIRST_WAIT_MS
    while True:
        yield max(1, round(wait_ms * (0.5 + jitter() / 2)))
        wait_ms = min(wait_ms * GROWTH, LONGEST_WAIT_MS)
