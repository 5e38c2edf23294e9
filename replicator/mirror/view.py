"""What a mirror knows of one database: what it has by its own word, and what it must have by others'."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from functools import reduce

from replicator.mirror.answers import Answers
from replicator.mirror.gate import LATELY_MS, Gate
from replicator.mirror.gtids import includes, is_beyond, joined, lacks, position_at, reaches
from replicator.mirror.options import PROMISED_MAX, GateStats
from replicator.position import Position
from versioning.entries import Heartbeat


@dataclass(slots=True)
class View:
    gate: Gate
    stats: GateStats
    position: Position | None = None
    lows: list[Position] = field(default_factory=list)
    """The least it has had since it went back, until that is said in the stream (``GateBoard.said_again``). Several,
    where it was further in one GTID domain when it was less far in another."""
    had: Position | None = None
    """What it had before it went back, or may have had by another mirror's word, until it has that again."""
    answers: Answers = field(default_factory=Answers)
    asked_ms: int = -LATELY_MS
    """Monotonic: when the last question that was answered was asked."""
    watched_ms: int = 0
    """Monotonic: since when it has been asked again and again, and answered."""
    promised: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=PROMISED_MAX))
    """What it has by another mirror's word, and since when (monotonic): a later answer must include it."""
    doubted_ms: int | None = None
    """Monotonic: what was asked before that does not count (``GateBoard.doubt``)."""
    expected: Position | None = None
    """What it had at ``expected_ms`` (Unix ms): the origin's source is to read that too."""
    expected_ms: int = 0
    is_followed: bool = False
    """The source has read as far once, since this mirror's start."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def answered(self, asked_ms: int, position: Position) -> None:
        if asked_ms - self.asked_ms > LATELY_MS:
            self.watched_ms = asked_ms
        self.asked_ms = asked_ms
        self.answers.take(asked_ms, position)

    def has(self, gtid: str) -> bool:
        return not gtid or (self.doubted_ms is None and _has(self.position, gtid))

    def lacked(self, gtid: str, told_ms: int) -> Position | None:
        """Return what it had instead by its first answer after that; None where it had it, or was not asked."""
        position = self.answers.after(told_ms)
        return position if position is not None and lacks(position, gtid) else None

    def promise(self, gtid: str, since_ms: int) -> None:
        if not _has(self.position, gtid):
            self.promised.append((gtid, since_ms))

    def take_lacked(self, position: Position) -> str:
        """Return the GTIDs that the answer lacks and must not, as one position; empty for none."""
        due = [gtid for gtid, ms in self.promised if ms <= self.asked_ms]
        if due:
            self.promised = deque(
                (promised for promised in self.promised if promised[1] > self.asked_ms), maxlen=PROMISED_MAX
            )
        return reduce(joined, [gtid for gtid in due if lacks(position, gtid)], "")

    def has_less(self, position: Position) -> bool:
        """Whether this is less than it had by its last answer."""
        before = self.position
        if before is None or (str(position) and type(position) is not type(before)):
            return False
        return not position.covers(before)

    def contradicts(self, beat: Heartbeat, now_ms: int, late_ms: int) -> bool:
        """Whether a heartbeat of the origin says to have read all, up to a time when this had more.

        Then the source reads another primary than this database follows, or one that lags. ``late_ms``: how much later
        it may say so. A mirror that has just started does not know since when: it waits for an answer, or none, and
        until the two have met.
        """
        if not beat.gtid:
            return False
        if self.position is None:
            return not self.stats.errors
        if self.expected is None:
            self.expected, self.expected_ms = self.position, now_ms
        is_ahead = is_beyond(self.position, beat.gtid) and is_beyond(self.expected, beat.gtid)
        if not is_ahead:
            self.is_followed, self.expected, self.expected_ms = True, self.position, now_ms
        self.stats.is_ahead = int(is_ahead and beat.read_ms > self.expected_ms + late_ms)
        return bool(self.stats.is_ahead) or not self.is_followed

    def doubt(self, gtid: str, now_ms: int) -> None:
        if gtid and _has(self.position, gtid):
            self.doubt_all(now_ms)

    def doubt_all(self, now_ms: int) -> None:
        self.doubted_ms = now_ms
        self.wake.set()

    def end_doubt(self) -> bool:
        """Return whether the answer that just came ends one."""
        if self.doubted_ms is None or self.asked_ms < self.doubted_ms:
            return False
        self.doubted_ms = None
        return True

    def kept(self, gtid: str) -> bool:
        """Whether it had this all the time, however far it has caught up meanwhile."""
        # Whether it went back unseen, the answer to a doubt will tell.
        return all(_has(position, gtid) for position in self.lows) if self.lows else _has(self.position, gtid)

    def go_back(self, position: Position, lacked: str) -> None:
        """``position``: what it has; ``lacked``: what it had by other words than its own last one."""
        if not any(position.covers(low) for low in self.lows):
            self.lows.append(position)
        self._note_had(self.position)
        self._note_had(position_at(lacked) if lacked else None)

    def note_lost(self, gtid: str) -> None:
        """Take note that a database, perhaps this one, had this by another mirror's word, and lost it."""
        if not _has(self.position, gtid):
            self._note_had(position_at(gtid))

    def _note_had(self, position: Position | None) -> None:
        if position is None or self.had is None:
            self.had = self.had or position
        else:
            self.had = position_at(joined(str(self.had), str(position)))

    def note_caught_up(self) -> None:
        if self.had is not None and self.position is not None and self.position.covers(self.had):
            self.had = None

    def never_had(self, gtid: str) -> bool:
        """Whether it is without this, and what is behind it, by its last answer, and was before.

        Of what it lost values have been served.
        """
        known = (position for position in (self.position, self.had) if position is not None)
        return self.doubted_ms is None and not any(reaches(position, gtid) for position in known)


def _has(position: Position | None, gtid: str) -> bool:
    return not gtid or (position is not None and includes(position, gtid))
