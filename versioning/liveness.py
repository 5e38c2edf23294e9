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
    max_lag_ms: int
    read_ms: int = 0
    applied_ms: int = 0
    vouches_until_s: float = 0.0
    """On the monotonic clock: from then on the lag is above the limit, if no heartbeat comes. For the hit."""
    _came_monotonic_ms: int = 0

    def beat(self, read_ms: int, applied_ms: int, now: Now) -> None:
        self.read_ms, self.applied_ms, self._came_monotonic_ms = read_ms, applied_ms, now.monotonic_ms
        # A lag of exactly the limit is none yet.
        left_ms = self.max_lag_ms + 1 - max(now.ms - read_ms, 0)
        self.vouches_until_s = (now.monotonic_ms + left_ms) / 1000

    def forget(self) -> None:
        """Know of no heartbeat: what another history had been read up to says nothing of this one."""
        self.vouches_until_s = 0.0
        self.read_ms = self.applied_ms = self._came_monotonic_ms = 0

    def unix_ms(self, now_ms: int) -> int:
        """Return the time a spread has come to: the last heartbeat's, where this machine's clock is behind that."""
        return max(now_ms, self.read_ms)

    def lag_ms(self, now: Now) -> int | None:
        """Return None where no heartbeat was ever seen: the lag is then unknown, which is worse than any number."""
        if not self.read_ms:
            return None
        return max(now.ms - self.read_ms, now.monotonic_ms - self._came_monotonic_ms, 0)

    def replica_lag_ms(self, now: Now) -> int | None:
        return max(now.ms - self.applied_ms, 0) if self.applied_ms else None

    def is_lagging(self, now: Now) -> bool:
        lag_ms = self.lag_ms(now)
        return lag_ms is None or lag_ms > self.max_lag_ms
