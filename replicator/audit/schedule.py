"""Which changes are looked at, and when. Pure: time and chance are arguments.

A change is taken when the rate allows one, at random among the keys of its entry. What waits is bounded by the rate
times the longest delay.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    key: str
    stamp: int
    """Of the change that is looked at."""
    after_s: float


class Schedule:
    def __init__(self, after_s: Sequence[float], samples_per_s: float, choose: Callable[[Sequence[str]], str]) -> None:
        self._after_s = tuple(after_s)
        self._interval_ms = 1000 / samples_per_s
        self._choose = choose
        self._next_ms = 0.0
        self._waiting: list[tuple[float, int, Look]] = []
        self._order = itertools.count()

    def is_open(self, now_ms: float) -> bool:
        """Whether the rate allows another change."""
        return now_ms >= self._next_ms

    def take(self, keys: Sequence[str], stamp: int, now_ms: float) -> None:
        """Plan the looks at one of these keys."""
        self._next_ms = now_ms + self._interval_ms
        key = self._choose(keys)
        for after_s in self._after_s:
            heapq.heappush(self._waiting, (now_ms + after_s * 1000, next(self._order), Look(key, stamp, after_s)))

    def due(self, now_ms: float) -> list[Look]:
        found = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            found.append(heapq.heappop(self._waiting)[2])
        return found
