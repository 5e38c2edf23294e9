"""Counters that only grow, as rates over a short past. One that shrinks was restarted: its past does not count."""

from collections import deque
from collections.abc import Mapping


class Rates:
    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._seen: deque[tuple[int, Mapping[str, int]]] = deque()

    def add(self, at_ms: int, counts: Mapping[str, int]) -> None:
        """Take a look at the counters; ``at_ms`` from a clock that is never set back."""
        if self._seen and any(counts.get(name, 0) < count for name, count in self._seen[-1][1].items()):
            self._seen.clear()
        self._seen.append((at_ms, counts))
        while len(self._seen) > 2 and self._seen[1][0] <= at_ms - self._span_ms:
            self._seen.popleft()

    def per_s(self) -> dict[str, float] | None:
        """Return the rate of each counter; None before there are two looks."""
        if len(self._seen) < 2 or self._seen[0][0] == self._seen[-1][0]:
            return None
        (first_ms, first), (last_ms, last) = self._seen[0], self._seen[-1]
        return {name: (count - first.get(name, 0)) * 1000 / (last_ms - first_ms) for name, count in last.items()}
