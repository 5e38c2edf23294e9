"""What a mirror knows of one database: what it has by its own word, and what it must have by others'."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from replicator.mirror.gate import LATELY_MS, Gate
from replicator.mirror.gtids import includes, lacks, position_at
from replicator.mirror.options import PROMISED_MAX, GateStats
from replicator.position import Position


@dataclass(slots=True)
class View:
    gate: Gate
    stats: GateStats
    position: Position | None = None
    lowest: Position | None = None
    """The least it has had since it went back, until that is said in the stream (``GateBoard.said_again``)."""
    had: Position | None = None
    """What it had before it went back, until it has that again."""
    first: tuple[int, Position] | None = None
    """When the first question was asked that was answered (monotonic), and the answer; of those before the stream was
    read."""
    asked_ms: int = -LATELY_MS
    """Monotonic: when the last question that was answered was asked."""
    promised: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=PROMISED_MAX))
    """What it has by another mirror's word, and since when (monotonic): a later answer must include it."""
    doubted_ms: int | None = None
    """Monotonic: what was asked before that does not count (``GateBoard.doubt``)."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def has(self, gtid: str) -> bool:
        return not gtid or (self.doubted_ms is None and _has(self.position, gtid))

    def promise(self, gtid: str, since_ms: int) -> None:
        if not _has(self.position, gtid):
            self.promised.append((gtid, since_ms))

    def take_lacked(self, position: Position) -> str:
        """Return the last GTID that the answer lacks and must not; empty for none."""
        due = [gtid for gtid, ms in self.promised if ms <= self.asked_ms]
        if due:
            self.promised = deque(
                (promised for promised in self.promised if promised[1] > self.asked_ms), maxlen=PROMISED_MAX
            )
        return next((gtid for gtid in reversed(due) if lacks(position, gtid)), "")

    def has_less(self, position: Position) -> bool:
        """Whether this is less than it had by its last answer."""
        before = self.position
        if before is None or (str(position) and type(position) is not type(before)):
            return False
        return not position.covers(before)

    def doubt(self, gtid: str, now_ms: int) -> None:
        if gtid and _has(self.position, gtid):
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
        return _has(self.position if self.lowest is None else self.lowest, gtid)

    def go_back(self, position: Position, lacked: str) -> None:
        if self.lowest is None or not position.covers(self.lowest):
            self.lowest = position
        if self.had is None:
            self.had = position_at(lacked) if lacked else self.position

    def note_caught_up(self) -> None:
        if self.had is not None and self.position is not None and self.position.covers(self.had):
            self.had = None

    def has_lost(self, gtid: str) -> bool:
        """Whether it had this before it went back: values with it have been served."""
        return _has(self.had, gtid)


def _has(position: Position | None, gtid: str) -> bool:
    return not gtid or (position is not None and includes(position, gtid))
