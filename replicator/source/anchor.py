"""Proof that a server still has the history we have read: the last transaction is read once more at every connection.

A GTID or an offset is a number, and a server that was set back (a crash with sync_binlog=0, a restored copy, a promoted
replica that lacked the last commits) hands the same numbers out again. It would go on behind our position as if nothing
had happened, and what it wrote below would never be stamped. So a checkpoint keeps its last transaction, an **anchor**:
its GTID, what was before it, and when its rows were changed. A connection starts before the anchor, and nothing is
claimed until the anchor has come again, unchanged. Anything else in its place means that the position is lost (P3), and
so does the end of the binlog before it. (MySQL sends heartbeats before the end too, and says truly what it has.)

Row times are whole seconds and the same on every server that replicated the transaction; a server set back and writing
the same number again within the same second would pass.
"""

from typing import NamedTuple

from replicator.errors import PositionLostError
from replicator.position import MariaDbPosition, Position


class Anchor(NamedTuple):
    gtid: str
    """The last transaction of a position."""
    before: str
    """The position's `before` of it."""
    changed_ms: int
    """Unix time of its first row event, or of its end where it has no rows."""

    def resume_from(self, position: Position) -> Position:
        """`position` without the anchor's transaction."""
        return position.back_to(self.before, self.gtid)

    def contradicts(self, other: "Anchor") -> bool:
        """Another transaction in the same place: they are of two histories."""
        is_same = (self.gtid, self.changed_ms) == (other.gtid, other.changed_ms)
        return not is_same and _place(self.gtid) == _place(other.gtid)


def _place(gtid: str) -> tuple[str, ...]:
    """MariaDB's domain and sequence number, whichever server wrote it; else all there is."""
    parts = gtid.split("-")
    return (parts[0], parts[2]) if len(parts) == 3 else (gtid,)


class Proof:
    """One per connection. Whatever it raises is PositionLostError."""

    def __init__(self, position: Position, anchor: Anchor | None) -> None:
        self._position = position
        self._anchor = anchor

    @property
    def is_given(self) -> bool:
        """Everything of `position` is in this server's binlog, or there is nothing that could prove it."""
        return self._anchor is None

    def look_at(self, gtid: str, changed_ms: int, reached: Position) -> None:
        """Called behind every transaction; `reached` includes it."""
        anchor = self._anchor
        if anchor is None:
            return
        if gtid == anchor.gtid:
            if changed_ms != anchor.changed_ms:
                raise PositionLostError(
                    f"the server has another transaction {gtid}: its rows are of {changed_ms // 1000} s (Unix time),"
                    f" ours were of {anchor.changed_ms // 1000} s"
                )
            self._anchor = None
        elif reached.covers(self._position):
            raise PositionLostError(f"the server has {gtid} in the place of transaction {anchor.gtid}")

    def end(self) -> None:
        """Called when the server has nothing more to send."""
        if self._anchor is not None and isinstance(self._position, MariaDbPosition):
            raise PositionLostError(f"the server's binlog ends without transaction {self._anchor.gtid}")
