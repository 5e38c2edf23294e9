"""Reads by the hundred million, in bounded memory: of all reads of one version of a row, only the last matters.

The staleness of a version grows with time, so its last read is its stalest: if that one keeps the bound, all do. A
reader keeps one record per row and hands it on when it sees another version; who knows the history judges it later.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class Seen:
    """Consecutive reads of one version of a row."""

    row: int
    version: int
    reads: int
    sent_s: float
    """Of the last of them, as is `answered_s`."""
    answered_s: float


class Tally:
    def __init__(self, hand_on: Callable[[Seen], None]) -> None:
        self._hand_on = hand_on
        self._seen: dict[int, Seen] = {}

    def take(self, versions: Iterable[tuple[int, int]], sent_s: float, answered_s: float) -> None:
        """Take in (row, version) of reads that all lie between these two moments."""
        seen = self._seen
        for row, version in versions:
            last = seen.get(row)
            if last is None or last.version != version:
                if last is not None:
                    self._hand_on(last)
                seen[row] = Seen(row, version, 1, sent_s, answered_s)
                continue
            last.reads += 1
            last.sent_s = sent_s
            last.answered_s = answered_s

    def close(self) -> None:
        """Hand on what is left."""
        for last in self._seen.values():
            self._hand_on(last)
        self._seen.clear()
