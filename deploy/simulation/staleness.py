"""How stale a read was: pure arithmetic over one dense counter per row.

The writer counts every row up by one per commit and is the only one who writes it. So a reader that sees version v was
served a value that commit v + 1 had superseded. Neither moment is known exactly, only brackets: the commit happened
between `sent` and `acknowledged`, the value was taken between the read's `sent` and `answered`. Hence two figures:

- certain: the read was sent this long after commit v + 1 was acknowledged; overlapping brackets prove nothing: 0
- worst: the read was answered this long after commit v + 1 was sent; no true staleness is above it

A read is a violation when `certain` is above the bound, and inconclusive when only `worst` is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Bounds(NamedTuple):
    """The true staleness of a read lies between these, in seconds."""

    certain_s: float
    worst_s: float


CURRENT = Bounds(0.0, 0.0)


@dataclass(slots=True)
class _Row:
    brackets: deque[tuple[float, float]] = field(default_factory=deque)
    """(sent, acknowledged) of the newest versions."""
    forgotten: int = 0
    """How many versions before these are no longer held."""
    first_sent_s: float = 0.0
    begun_s: float | None = None
    """When the next version was sent, while its commit is not acknowledged."""

    @property
    def version(self) -> int:
        return self.forgotten + len(self.brackets) - 1


class History:
    """Versions of every row and when they were committed, in seconds of the caller's clock.

    `versions_max` bounds the memory per row, however long the run: about a read of a version older than those kept,
    less is certain and more is possible, but what is said stays true. Keep more versions than are written within the
    bound that is checked, else a violation may look inconclusive.
    """

    def __init__(self, versions_max: int | None = None) -> None:
        self._versions_max = versions_max
        self._rows: dict[int, _Row] = {}

    def begin(self, row: int, sent_s: float) -> None:
        """Note that the commit of the row's next version is on its way; of several tries, the first counts."""
        held = self._rows.setdefault(row, _Row())
        if held.begun_s is None:
            held.begun_s = sent_s

    def commit(self, row: int, version: int, acknowledged_s: float) -> None:
        """Without a `begin` before it, a commit is taken to have happened when it was acknowledged."""
        held = self._rows.setdefault(row, _Row())
        if version != held.version + 1:
            raise ValueError(f"row {row}: version {version} does not follow {held.version}")
        sent_s = acknowledged_s if held.begun_s is None else held.begun_s
        held.begun_s = None
        if version == 0:
            held.first_sent_s = sent_s
        held.brackets.append((sent_s, acknowledged_s))
        if self._versions_max is not None and len(held.brackets) > self._versions_max:
            held.brackets.popleft()
            held.forgotten += 1

    def version(self, row: int) -> int:
        """Return the newest version whose commit was acknowledged, -1 before the first."""
        return self._rows[row].version if row in self._rows else -1

    def begun_s(self, row: int, version: int) -> float | None:
        """Return when the version was sent, at the earliest; None when it was not."""
        held = self._rows.get(row, _Row())
        if version > held.version:
            return held.begun_s if version == held.version + 1 else None
        return held.first_sent_s if version < held.forgotten else held.brackets[version - held.forgotten][0]

    def judge(self, row: int, version: int, sent_s: float, answered_s: float) -> Bounds:
        """Say how stale `version` was to a read that was sent and answered at these times."""
        begun_s = self.begun_s(row, version + 1)
        if begun_s is None:
            return CURRENT
        return Bounds(self.staleness_s(row, version, sent_s), max(answered_s - begun_s, 0.0))

    def staleness_s(self, row: int, version: int, sent_s: float) -> float:
        """Return for how long, at least, the value read had been superseded when the read was sent."""
        held = self._rows.get(row, _Row())
        if version >= held.version:
            return 0.0
        return max(sent_s - held.brackets[max(version + 1 - held.forgotten, 0)][1], 0.0)


@dataclass(slots=True)
class Audit:
    """What many reads came to. A few numbers, whatever their count."""

    bound_s: float
    reads: int = 0
    stale: int = 0
    """For certain."""
    violations: int = 0
    inconclusive: int = 0
    certain_max_s: float = 0.0
    worst_max_s: float = 0.0

    def take(self, bounds: Bounds) -> None:
        self.reads += 1
        if bounds is CURRENT:
            return
        certain_s, worst_s = bounds
        self.stale += certain_s > 0
        self.violations += certain_s > self.bound_s
        self.inconclusive += certain_s <= self.bound_s < worst_s
        self.certain_max_s = max(self.certain_max_s, certain_s)
        self.worst_max_s = max(self.worst_max_s, worst_s)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
