"""When the replicas were further behind than a replay allows for (P3), as heartbeats of the target stream tell it.

A replay since T makes followers vouch for values filled after T + slack: those lack no commit before T, as long as the
replicas had all of those by then. The first heartbeat that says so proves it, for what is filled after it.
"""

from dataclasses import dataclass

from versioning.limits import REPLAY_SLACK_MS


def filled_safely_ms(since_ms: int) -> int:
    """Return from when on (Unix ms) a fill lacks no commit before ``since_ms``, as far as a replay allows for lag."""
    return since_ms + REPLAY_SLACK_MS


@dataclass(slots=True)
class Lags:
    """One interval around all such times, from ``since_ms`` to ``until_ms``. All are Unix times in ms."""

    window_ms: int
    applied_ms: int = 0
    """Up to when the replicas had applied, says the last heartbeat; 0 where none has told since one went back."""
    since_ms: int = 0
    until_ms: int = 0
    """The heartbeat of this time was the first to say that they had what was committed from ``since_ms`` on."""

    def take(self, applied_ms: int, written_ms: int) -> None:
        """Take in the next heartbeat."""
        self._join(self.applied_ms, written_ms)
        self.applied_ms = applied_ms

    @property
    def is_untold(self) -> bool:
        return not (self.applied_ms or self.until_ms)

    @property
    def is_rewound(self) -> bool:
        """Whether a replica has gone back, and no heartbeat has told since."""
        return not self.applied_ms and bool(self.until_ms)

    def rewind(self, written_ms: int) -> None:
        """Take in that a replica had gone back by then: what it has since is unknown until a heartbeat tells."""
        self.applied_ms = 0
        self._join(0, written_ms)

    def _join(self, applied_ms: int, written_ms: int) -> None:
        """Take in that a heartbeat followed one that said ``applied_ms``."""
        if written_ms - applied_ms <= REPLAY_SLACK_MS:
            return
        is_old = self.until_ms < written_ms - self.window_ms
        self.since_ms = applied_ms if is_old else min(self.since_ms, applied_ms)
        self.until_ms = max(self.until_ms, written_ms)

    def merge(self, before: "Lags") -> None:
        """Take in when they lagged before, as the stream does not tell any more."""
        if before.until_ms and before.until_ms >= self.until_ms - self.window_ms:
            self._join(before.since_ms, before.until_ms)

    def claimable_ms(self, since_ms: int, filled_ms: int) -> int:
        """Return since when a replay may be claimed; ``filled_ms``: no fill so far has a stamp above that time."""
        if since_ms > self.applied_ms:
            return max(since_ms, filled_ms + 1 - REPLAY_SLACK_MS)
        if since_ms > self.since_ms:
            return max(since_ms, self.until_ms + 1 - REPLAY_SLACK_MS)
        return since_ms
