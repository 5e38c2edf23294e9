"""When transactions committed, as far as their events tell.

The time in an event's header is that of the statement's start, and of a file's first event that of the statement which
made the server begin the file; `SET timestamp` sets both, and a replica writes the times of its primary. The order of a
binlog is that of the commits, so the latest time up to an event is the better one, and no commit behind it is earlier.
"""

from collections.abc import Callable
from typing import Final

HEADER_LAG_MS: Final = 3_600_000
"""A header's time may lie this far before the commit. What is further back is a limit: README."""

AHEAD_MAX_MS: Final = 60_000
"""A time further ahead than this is no clock's: it was set for the statement."""


class CommitTimes:
    """Of one connection. ``now_ms``: Unix time in ms."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._latest_ms = 0

    def take(self, header_ms: int) -> int:
        """Take the next commit's time; return a Unix time in ms that no later commit is before, 0 for unknown."""
        if self._latest_ms < header_ms <= self._now_ms() + AHEAD_MAX_MS:
            self._latest_ms = header_ms
        return self._latest_ms
