"""A MySQL in memory: its binlog, and what a connection from a position is sent."""

import random
from dataclasses import dataclass, field

from replicator.errors import PositionLostError
from replicator.position import FilePosition, Flavor, MariaDbPosition, Position, parse


@dataclass(frozen=True, slots=True)
class Commit:
    gtid: str
    changed_ms: int
    """By its events: whole seconds."""
    committed_ms: int
    key: str
    """Empty: of a table that nobody watches."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What runs on a schedule."""

    flavor: Flavor
    domains: int = 1


@dataclass
class Server:
    number: int
    kind: Kind
    log: list[Commit] = field(default_factory=list)
    is_up: bool = True
    file: int = 1
    offset: int = 4

    @property
    def uuid(self) -> str:
        return f"{self.number:08x}-71ca-11e1-9e33-c80aa9429562"

    def next_gtid(self, chance: random.Random) -> str:
        match self.kind.flavor:
            case Flavor.MARIADB:
                domain = min(chance.randrange(2 * self.kind.domains), self.kind.domains - 1)
                return f"{domain}-{self.number}-{self._last(f'{domain}-', '-') + 1}"
            case Flavor.MYSQL:
                return f"{self.uuid}:{self._last(self.uuid, ':') + 1}"
        if chance.random() < 0.05:
            self.file, self.offset = self.file + 1, 4
        self.offset += chance.randint(50, 300)
        return f"b.{self.file:06d}/{self.offset}"

    def _last(self, series: str, separator: str) -> int:
        gtids = (commit.gtid for commit in self.log)
        return max((int(gtid.rpartition(separator)[2]) for gtid in gtids if gtid.startswith(series)), default=0)

    def position(self, upto: int | None = None) -> Position:
        position = self.beginning()
        for commit in self.log[:upto]:
            position = position.after(commit.gtid)
        return position

    def place(self, count: int) -> str:
        """Return the file/offset behind so many commits."""
        if self.kind.flavor is Flavor.FILE:
            return self.log[count - 1].gtid if count else "b.000001/4"
        return f"b.000001/{count}"

    def beginning(self) -> Position:
        if self.kind.flavor is Flavor.FILE:
            return FilePosition(self.number, "b.000001", 4)
        return parse("", self.kind.flavor)

    def sends(self, position: Position) -> list[int]:
        """Indices into the log of what a connection from this position is sent. Raises PositionLostError."""
        if not isinstance(position, MariaDbPosition):
            return [index for index, commit in enumerate(self.log) if not position.includes(commit.gtid)]
        wanted = {domain: f"{domain}-{server}-{number}" for domain, server, number in position.domains}
        gtids = [commit.gtid for commit in self.log]
        for domain, gtid in wanted.items():
            if gtid not in gtids and any(one.startswith(f"{domain}-") for one in gtids):
                raise PositionLostError(f"{gtid} is not in the binlog")
        begins = {domain: gtids.index(gtid) for domain, gtid in wanted.items() if gtid in gtids}
        return [index for index, gtid in enumerate(gtids) if index > begins.get(int(gtid.partition("-")[0]), -1)]
