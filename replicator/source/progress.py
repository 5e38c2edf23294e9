"""What a source's checkpoint says: how far the binlog is stamped, and whether a replay (P3) is under way.

A replay that dies half-way must be ended by whoever goes on, so it is part of the checkpoint's text: the position, then
` last=<gtid>~<before>@<changed_ms>` for each of its anchors, or while there is none the file that a replay began with,
` file=<server_id>:<name>@<began_ms>`, and during a replay ` replay=<since_ms>..<until_ms>`. The replay is over when
everything committed before `until_ms` (the moment of its gap entry) has been read.
"""

import re
from dataclasses import dataclass, replace

from replicator.position import Flavor, MariaDbPosition, Position, PositionFormatError, parse
from replicator.source.anchor import Anchor, BinlogFile

_ANCHOR = r" last=([^\s~]+)~([^\s~]*)@(\d{1,15})"
_ANCHORS = re.compile(_ANCHOR)
_FILE = r" file=(\d{1,10}):(.+)@(\d{1,15})"
_REPLAY = r" replay=(\d{1,15})\.\.(\d{1,15})"
_FORM = re.compile(rf"(\S*)((?:{_ANCHOR})*)(?:{_FILE})?(?:{_REPLAY})?")


@dataclass(frozen=True, slots=True)
class Replay:
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    position: Position
    replay: Replay | None = None
    anchors: tuple[Anchor, ...] = ()
    """Our last transaction, and behind it those that a checkpoint was taken over with and that have not come by yet."""
    file: BinlogFile | None = None
    """What a replay began with, until there is an anchor."""

    @classmethod
    def decode(cls, text: str, flavor: Flavor) -> "Progress":
        """Reads a checkpoint's text; raises PositionFormatError when it is another server's notation."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise PositionFormatError(text, "a source's checkpoint")
        file = BinlogFile(int(found[6]), found[7], int(found[8])) if found[7] else None
        replay = Replay(int(found[9]), int(found[10])) if found[9] else None
        anchors = tuple(Anchor(one[1], one[2], int(one[3])) for one in _ANCHORS.finditer(found[2]))
        return cls(parse(found[1], flavor), replay, anchors, file)

    def encode(self) -> str:
        text = str(self.position)
        for anchor in self.anchors:
            text += f" last={anchor.gtid}~{anchor.before}@{anchor.changed_ms}"
        if self.file is not None:
            text += f" file={self.file.server_id}:{self.file.name}@{self.file.began_ms}"
        if self.replay is not None:
            text += f" replay={self.replay.since_ms}..{self.replay.until_ms}"
        return text

    @property
    def resume_from(self) -> Position:
        """Where a connection begins: the anchors' transactions are read once more."""
        position = self.position
        for anchor in self.anchors:
            position = anchor.resume_from(position)
        return position

    def may_be_of(self, end: Position) -> bool:
        """Whether a server with this end of its binlog may have all of it; the anchors then prove that.

        A MariaDB that was rebuilt may have nothing in its binlog of a domain that was not written since.
        """
        if self.anchors and isinstance(end, MariaDbPosition):
            return all(end.includes(anchor.gtid) for anchor in self.anchors)
        return end.covers(self.position)

    def come_to(self, position: Position, anchors: tuple[Anchor, ...]) -> "Progress":
        return replace(self, position=position, anchors=anchors, file=None if anchors else self.file)

    def replayed(self) -> "Progress":
        return replace(self, replay=None)
