"""What really happened: the truth that checkers compare with. Nobody inside the world can see it."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from replicator.mirror.words import is_lost_word
from versioning.entries import Change, Entry, Gap, Generation, Replayed
from versioning.pending import PendingGap, word_of


class ReadDone(NamedTuple):
    reader: str
    key: str
    asked_s: float
    answered_s: float
    value: int
    tier: str
    verdict: str
    stamp: int


class LoadBegun(NamedTuple):
    reader: str
    incarnation: int
    key: str
    at_s: float
    watermark: int
    fill_stamp: int
    has_forgotten: bool
    """The follower has begun again since the read began."""
    is_cold: bool
    """No lease was taken for it (P10)."""
    is_forced: bool
    """Whatever is cached."""


class Naming(NamedTuple):
    """An entry of stream B that names a key, and the commit it stands for (0: none)."""

    stamp: int
    number: int
    is_pending: bool


@dataclass
class History:
    floors: list[tuple[float, tuple[int, ...]]] = field(default_factory=lambda: [(0.0, (0, 0))])
    """When the number up to which ALL replicas have applied each domain became what: it falls when one goes back."""
    namings: dict[str, list[Naming]] = field(default_factory=dict)
    """Key to all that stream B ever said of it, lost entries included."""
    origins: dict[int, int] = field(default_factory=dict)
    """Number of a commit to the newest stamp that stream A gave it."""
    agings: list[tuple[int, Generation]] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    """Stamps of entries of stream B that a failover or a flush took, not a trim."""
    returned: int = 0
    """Highest stamp of an entry that somebody had deleted, and a failover brought back. Who began to read meanwhile
    knows of nothing up to there, and mirrors that start later do not learn of it."""
    forgotten: int = 0
    """The last stamp of stream B when a flush took what was left of it, and with that how far it had been trimmed."""
    pending_gap: PendingGap = field(default_factory=PendingGap)
    """As long as there is one, nothing that was loaded since is vouched for."""
    kept: dict[int, int] = field(default_factory=dict)
    """Id of a primary that failed to the number of its last commit that is left."""
    reads: list[ReadDone] = field(default_factory=list)
    loads: list[LoadBegun] = field(default_factory=list)
    trace: list[tuple[Any, ...]] = field(default_factory=list)
    """All that happened, in order: equal for equal seeds."""

    def lose(self, server: int, kept: int) -> None:
        """The primary failed, and only commits up to that number are left."""
        self.kept[server] = kept
        self.origins = {number: stamp for number, stamp in self.origins.items() if number <= kept}
        for key, namings in self.namings.items():
            self.namings[key] = [naming._replace(number=self._left(naming.number, server)) for naming in namings]

    def _left(self, number: int, server: int) -> int:
        return number if number <= self.kept.get(server, number) else 0

    def number_of(self, gtid: str) -> int:
        """Return the number of the commit that a GTID stands for, or the last of several; 0 for none that is left."""
        parts = (part.split("-") for part in gtid.split(",") if part)
        return max((self._left(int(number), int(server)) for _, server, number in parts), default=0)

    def note_floor(self, at_s: float, numbers: tuple[int, ...]) -> None:
        if self.floors[-1][1] != numbers:
            self.floors.append((at_s, numbers))

    def floor_since(self, at_s: float) -> tuple[int, ...]:
        """Return of each domain the lowest number that was applied everywhere at ``at_s`` or later."""
        first = max(bisect_right(self.floors, at_s, key=lambda floor: floor[0]) - 1, 0)
        return tuple(map(min, zip(*(numbers for _, numbers in self.floors[first:]), strict=False)))

    def take_entry(self, entry: Entry) -> None:
        match entry.body:
            case Change() as body if is_lost_word(body):
                """Of the replicas alone: it stamps no commit."""
            case Change() as body:
                number, word = self.number_of(body.gtid), word_of(body)
                for key in body.keys:
                    said = self.namings.setdefault(key, [])
                    # A bump leaves it pending, if it is.
                    is_pending = body.pending if word is not None else bool(said) and said[-1].is_pending
                    said.append(Naming(entry.stamp, number, is_pending))
            case Generation() as body:
                self.agings.append((entry.stamp, body))
            case Gap() as body:
                self.gaps.append(entry.stamp)
                self.pending_gap.newer(entry.stamp, body)
            case Replayed() as body:
                self.pending_gap.newer(entry.stamp, body)

    def take_origin(self, entry: Entry) -> None:
        if isinstance(entry.body, Change | Generation):
            self.origins[self.number_of(entry.body.gtid)] = entry.stamp

    def stamps_of(self, number: int) -> list[int]:
        """Return every stamp that stream B ever gave to a commit."""
        named = [naming.stamp for namings in self.namings.values() for naming in namings if naming.number == number]
        return named + [stamp for stamp, body in self.agings if self.number_of(body.gtid) == number]

    def namings_until(self, key: str, stamp: int) -> int:
        return bisect_right(self.namings.get(key, ()), stamp, key=lambda naming: naming.stamp)

    def missed(self, key: str, written: int, fill_stamp: int) -> Iterator[Naming]:
        """Yield what stream B said of the key up to a fill stamp, of a commit behind the one that wrote the value."""
        namespace = key.partition(":")[0]
        aged = (
            Naming(stamp, self.number_of(body.gtid), body.pending)
            for stamp, body in self.agings
            if namespace in body.namespaces
        )
        for naming in (*self.namings.get(key, ()), *aged):
            if naming.number > written and naming.stamp <= fill_stamp:
                yield naming

    def doubt_of(self, key: str, fill_stamp: int) -> int:
        """Return the stamp of the generation that was pending when a value was loaded; 0 for none."""
        namespace = key.partition(":")[0]
        words = (
            stamp * body.pending
            for stamp, body in reversed(self.agings)
            if stamp <= fill_stamp and namespace in body.namespaces and body.gtid and stamp not in self.lost
        )
        return next(words, 0)

    def last_word(self, key: str) -> int:
        """Return the highest stamp in stream B that speaks of the key, its namespace, or everything."""
        named = self.namings.get(key)
        namespace = key.partition(":")[0]
        aged = max((stamp for stamp, body in self.agings if namespace in body.namespaces), default=0)
        return max(named[-1].stamp if named else 0, aged, self.gaps[-1] if self.gaps else 0)
