"""The origin's heartbeats on their way: how far its source has read, and how much of that the replicas have applied."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from replicator.mirror.gate import IsApplied
from versioning.entries import Heartbeat

KEPT_MAX: Final = 512

NO_BEAT: Final = Heartbeat(0)


class Place(NamedTuple):
    """What a heartbeat of the origin tells: whoever has applied ``gtid`` has what all entries before it tell."""

    stamp: int
    """Of the heartbeat, in the origin's stream."""
    gtid: str


@dataclass(slots=True)
class Beats:
    newest: Heartbeat = field(default_factory=lambda: Heartbeat(0))
    applied: Heartbeat = field(default_factory=lambda: Heartbeat(0))
    _unapplied: deque[Heartbeat] = field(default_factory=deque)

    def take(self, beat: Heartbeat) -> None:
        self.newest = beat
        self._unapplied.append(beat)
        if len(self._unapplied) > KEPT_MAX:
            self._unapplied = deque(list(self._unapplied)[1::2])

    def advance(self, is_applied: IsApplied) -> None:
        if not is_applied(self.applied.gtid):
            self.rewind()  # Another mirror has seen it: what was told here before says nothing any more.
        while self._unapplied and is_applied(self._unapplied[0].gtid):
            self.applied = self._unapplied.popleft()

    def rewind(self) -> None:
        """Some replica has less than it had: only a later answer says again how far all have applied."""
        if self.newest.read_ms:
            self._unapplied.append(self.newest)
        self.applied = Heartbeat(0)

    @property
    def awaited(self) -> str:
        return self._unapplied[0].gtid if self._unapplied else ""
