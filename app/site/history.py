"""The last quarter of an hour of this service's follower, one point per 5 s, in memory only.

A point holds the worst of its interval: a lag that came and went within 5 s must still be seen.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

STEP_MS: Final = 5_000
SPAN_MS: Final = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the follower. A lag that nobody knows is None."""

    time_ms: int
    lag_ms: int | None
    replica_lag_ms: int | None
    changes_per_s: float
    keys_per_s: float
    pending: int

    def worse(self, other: "Sample") -> "Sample":
        """Return the worst of two looks within one interval, at the later time."""
        return Sample(
            other.time_ms,
            _worse(self.lag_ms, other.lag_ms),
            _worse(self.replica_lag_ms, other.replica_lag_ms),
            max(self.changes_per_s, other.changes_per_s),
            max(self.keys_per_s, other.keys_per_s),
            max(self.pending, other.pending),
        )


class History:
    def __init__(self) -> None:
        self._points: deque[Sample] = deque(maxlen=SPAN_MS // STEP_MS)

    def add(self, sample: Sample) -> None:
        while self._points and self._points[-1].time_ms // STEP_MS > sample.time_ms // STEP_MS:
            self._points.pop()  # The clock was set back: these times come once more.
        if self._points and self._points[-1].time_ms // STEP_MS == sample.time_ms // STEP_MS:
            self._points[-1] = self._points[-1].worse(sample)
        else:
            self._points.append(sample)

    def since(self, time_ms: int) -> list[Sample]:
        """Return the points from then on, oldest first."""
        return [point for point in self._points if point.time_ms >= time_ms]


def _worse(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
