"""Proof that a server still has the history we have read: the last transaction is read once more at every connection.

A GTID or an offset is a number, and a server that was set back (a crash with sync_binlog=0, a restored copy, a promoted
replica that lacked the last commits) hands the same numbers out again. It would go on behind our position as if nothing
had happened, and what it wrote below would never be stamped. So a checkpoint keeps its last transaction, an **anchor**:
its GTID, what was before it, and when its rows were changed. A connection starts before the anchor, and nothing is
claimed until the anchor has come again, unchanged. Anything else in its place means that the position is lost (P3), and
so does the end of the binlog before it. (MySQL sends heartbeats before the end too, and says truly what it has.)

Sources take each other's checkpoints over. Nothing is claimed on top of one either before its anchor has come by here:
a connection has a **trail** of what it has read, unwatched transactions too. Until then a checkpoint keeps the anchor
it was taken over with beside our own last transaction.

A replay begins with a binlog file, and without an anchor until it has read a transaction. As long as there is none,
that file is the proof: its server still has it, under the same name and begun at the same time, or has purged it and
nothing was committed between it and the oldest that is left.

Row times are whole seconds and the same on every server that replicated the transaction; a server set back and writing
the same number again within the same second would pass.
"""

import re
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from replicator.errors import PositionLostError
from replicator.position import MariaDbPosition, Position

RUNS_MAX: Final = 20_000
"""Of a trail: 5 MB. With GTIDs it is about one a second, and hours of them may wait for a Redis that is away."""

_ANY_MS: Final = -1
_DIGITS_AT_END: Final = re.compile(r"\d+$")


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


class BinlogFile(NamedTuple):
    server_id: int
    name: str
    began_ms: int
    """Unix time of its first event, by the clock of its server."""


class Trail:
    """What one connection has read: written by its reader, asked by who appends.

    GTIDs that follow each other and were changed in the same second are one run.
    """

    def __init__(self, begins: Position) -> None:
        """``begins``: what was before the first transaction of the connection."""
        self._begins = begins
        self._runs: dict[str, list[tuple[int, int, int]]] = {}
        """By what numbers them, as they were read: first, last, and when they were changed."""
        self._order: deque[str] = deque()
        """Of each run what numbers it, as they were read."""
        self._forgotten: dict[str, int] = {}

    def add(self, gtid: str, changed_ms: int) -> None:
        series, number = _split(gtid)
        runs = self._runs.setdefault(series, [])
        if runs and runs[-1][1:] == (number - 1, changed_ms):
            runs[-1] = (runs[-1][0], number, changed_ms)
            return
        runs.append((number, number, changed_ms))
        self._order.append(series)
        if len(self._order) > RUNS_MAX:
            self._forget_oldest()

    def missed(self, position: Position, anchors: Iterable[Anchor], ours: Position) -> str:
        """Return what this connection, having come to `ours`, ought to have read of a checkpoint, and has not.

        Its anchors, and of MariaDB the last transaction of each domain: a replica may have lost some of one domain and
        have later ones of another.
        """
        for gtid, changed_ms in [*((anchor.gtid, anchor.changed_ms) for anchor in anchors), *_last_ones(position)]:
            if ours.includes(gtid) and not self._has(gtid, changed_ms):
                return gtid
        return ""

    def _has(self, gtid: str, changed_ms: int) -> bool:
        """True also where that was before the connection began, or too long ago to know."""
        series, number = _split(gtid)
        times = (ms for first, last, ms in reversed(self._runs.get(series, [])) if first <= number <= last)
        if any(changed_ms in {_ANY_MS, ms} for ms in times) or number <= self._forgotten.get(series, 0):
            return True
        return changed_ms == _ANY_MS and self._begins.includes(gtid)

    def _forget_oldest(self) -> None:
        series = self._order.popleft()
        runs = self._runs[series]
        # Before it is gone: who asks meanwhile finds one of the two.
        self._forgotten[series] = max(self._forgotten.get(series, 0), runs[0][1])
        del runs[0]


def _last_ones(position: Position) -> list[tuple[str, int]]:
    if not isinstance(position, MariaDbPosition):
        return []
    return [(f"{domain}-{server}-{number}", _ANY_MS) for domain, server, number in position.domains]


def _split(gtid: str) -> tuple[str, int]:
    """What numbers it, a server or a file, and its number there."""
    number = _DIGITS_AT_END.search(gtid)
    assert number is not None  # noqa: S101
    return gtid[: number.start()], int(number[0])


class Proof:
    """One per connection. Whatever it raises is PositionLostError."""

    def __init__(self, position: Position, anchors: Iterable[Anchor]) -> None:
        self._position = position
        self._wanted = {anchor.gtid: anchor for anchor in anchors}

    @property
    def is_given(self) -> bool:
        """Everything of `position` is in this server's binlog, or there is nothing that could prove it."""
        return not self._wanted

    def look_at(self, gtid: str, changed_ms: int, reached: Position) -> None:
        """Called behind every transaction; `reached` includes it."""
        if not self._wanted:
            return
        anchor = self._wanted.pop(gtid, None)
        if anchor is not None:
            if changed_ms != anchor.changed_ms:
                raise PositionLostError(
                    f"the server has another transaction {gtid}: its rows are of {changed_ms // 1000} s (Unix time),"
                    f" ours were of {anchor.changed_ms // 1000} s"
                )
        elif reached.covers(self._position):
            raise PositionLostError(f"the server has {gtid} in the place of transaction {next(iter(self._wanted))}")

    def end(self) -> None:
        """Called when the server has nothing more to send."""
        if self._wanted and isinstance(self._position, MariaDbPosition):
            raise PositionLostError(f"the server's binlog ends without transaction {next(iter(self._wanted))}")
