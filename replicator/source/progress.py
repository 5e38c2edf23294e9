"""What a source's checkpoint says: how far the binlog is stamped, and whether a replay (P3) is under way.

A replay that dies half-way must be ended by whoever goes on, so it is part of the checkpoint's text: the position, then
` last=<gtid>~<before>@<changed_ms>` (its anchor), and during a replay ` replay=<since_ms>..<until_ms>`. The replay is
over when everything committed before `until_ms` (the moment of its gap entry) has been read.
"""

import re
from dataclasses import dataclass

from replicator.position import Flavor, Position, PositionFormatError, parse
from replicator.source.anchor import Anchor

_FORM = re.compile(r"(\S*)(?: last=([^\s~]+)~([^\s~]*)@(\d{1,15}))?(?: replay=(\d{1,15})\.\.(\d{1,15}))?")


@dataclass(frozen=True, slots=True)
class Replay:
    since_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    position: Position
    replay: Replay | None = None
    anchor: Anchor | None = None

    @classmethod
    def decode(cls, text: str, flavor: Flavor) -> "Progress":
        """Reads a checkpoint's text; raises PositionFormatError when it is another server's notation."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise PositionFormatError(text, "a source's checkpoint")
        position, gtid, before, changed_ms, since_ms, until_ms = found.groups()
        replay = Replay(int(since_ms), int(until_ms)) if since_ms else None
        return cls(parse(position, flavor), replay, Anchor(gtid, before, int(changed_ms)) if gtid else None)

    def encode(self) -> str:
        text = str(self.position)
        if self.anchor is not None:
            text += f" last={self.anchor.gtid}~{self.anchor.before}@{self.anchor.changed_ms}"
        if self.replay is not None:
            text += f" replay={self.replay.since_ms}..{self.replay.until_ms}"
        return text

    @property
    def resume_from(self) -> Position:
        """Where a connection begins: the anchor's transaction is read once more."""
        return self.position if self.anchor is None else self.anchor.resume_from(self.position)

    def at(self, position: Position, anchor: Anchor | None) -> "Progress":
        return Progress(position, self.replay, anchor)

    def replayed(self) -> "Progress":
        return Progress(self.position, None, self.anchor)
