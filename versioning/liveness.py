"""Lag (P7): how far a follower's knowledge is behind the source, judged at every read.

Two clocks, and the worse one counts: the wall clock against the time the source had read up to, and the monotonic clock
since that heartbeat came (a wall clock may be set back; a stopped process must not vouch with its first read).
"""

from dataclasses import dataclass
from typing import NamedTuple


class Now(NamedTuple):
    """One reading of both clocks, taken once per operation."""

    ms: int
    """Unix time in ms."""
    monotonic_ms: int


@dataclass(slots=True)
class Liveness:
    read_ms: int = 0
    applied_ms: int = 0
    _came_monotonic_ms: int = 0

    def beat(self, read_ms: int, applied_ms: int, now: Now) -> None:
        self.read_ms, self.applied_ms, self._came_monotonic_ms = read_ms, applied_ms, now.monotonic_ms

    def lag_ms(self, now: Now) -> int | None:
        """Return None where no heartbeat was ever seen: the lag is then unknown, which is worse than any number."""
        if not self.read_ms:
            return None
        return max(now.ms - self.read_ms, now.monotonic_ms - self._came_monotonic_ms, 0)

    def replica_lag_ms(self, now: Now) -> int | None:
        return max(now.ms - self.applied_ms, 0) if self.applied_ms else None

    def is_lagging(self, now: Now, max_lag_ms: int) -> bool:
        return now.ms - self.read_ms > max_lag_ms or now.monotonic_ms - self._came_monotonic_ms > max_lag_ms
