"""P11: what a person has forced through supersedes all that was filled before, for whoever has read so far.

Where it is trimmed, too: what lies below the beginning of a stream no replay makes known. One that a failover took is
lost, as is one trimmed before a flush took the rest, unless stream A has it still: then it is copied once more,
and counts from then on.
"""

from typing import TYPE_CHECKING, TypeGuard

from tests.simulation import limits
from tests.simulation.checkers.base import Checker
from tests.simulation.fills import Kept, judges, kept_values
from tests.simulation.world import World
from versioning.entries import Change, Entry, Generation, ReadBody
from versioning.pending import word_of
from versioning.verdict import Verdict

if TYPE_CHECKING:
    from tests.simulation.streams import StreamServer


class ForcedBump(Checker):
    name = "P11"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._bumps: list[tuple[int, Change | Generation]] = []

    def on_append(self, server: "StreamServer", entries: list[Entry]) -> None:
        if server is self.world.stream_b:
            self._bumps += [(entry.stamp, entry.body) for entry in entries if _is_bump(entry.body)]

    def scan(self) -> None:
        history = self.world.history
        bumps = [
            (stamp, body) for stamp, body in self._bumps if stamp > history.forgotten and stamp not in history.lost
        ]
        if not bumps:
            return
        for kept in kept_values(self.world):
            newer = [(stamp, body) for stamp, body in bumps if stamp > kept.fill_stamp and _names(body, kept.key)]
            if newer:
                self._check(kept, newer)

    def _check(self, kept: Kept, newer: list[tuple[int, Change | Generation]]) -> None:
        for name, index, now in judges(self.world):
            stamp = next((stamp for stamp, body in newer if stamp <= index.watermark and _is_over(body, now.ms)), 0)
            if stamp and index.verdict(kept.key, kept.fill_stamp, now) is Verdict.FRESH:
                self.violate(
                    f"{name} vouches for {kept.key} = {kept.value} under fill stamp {kept.fill_stamp}, kept in "
                    f"{kept.where}, though it was bumped at {stamp}"
                )


def _is_bump(body: ReadBody) -> TypeGuard[Change | Generation]:
    return isinstance(body, Change | Generation) and word_of(body) is None


def _names(body: Change | Generation, key: str) -> bool:
    return key in body.keys if isinstance(body, Change) else key.partition(":")[0] in body.namespaces


def _is_over(body: Change | Generation, now_ms: int) -> bool:
    """Whether the moment of each key has come (P9)."""
    return isinstance(body, Change) or now_ms > body.start_ms + body.spread_ms + limits.CLOCK_ERROR_MS
