"""The primary in A and its binlog: one dense counter per row, one GTID per commit, files that can be purged."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicator.position import MariaDbPosition, Position
from replicator.source.transaction import Transaction
from tests.simulation.process import BASE_MS

if TYPE_CHECKING:
    from tests.simulation.binlog import SimulatedReader
    from tests.simulation.world import World

FILE_S = 12.0
"""Length of a binlog file."""


@dataclass(frozen=True, slots=True)
class Commit:
    number: int
    at_s: float
    committed_ms: int
    keys: tuple[str, ...]
    """Keys whose rows changed."""
    namespaces: tuple[str, ...]
    """Aged out instead of naming the keys (TRUNCATE, DDL, a huge transaction)."""

    @property
    def transaction(self) -> Transaction:
        generations = (("statement: TRUNCATE", self.namespaces),) if self.namespaces else ()
        named = () if self.namespaces else self.keys
        return Transaction(f"0-1-{self.number}", position_at(self.number), self.committed_ms, named, generations)


@dataclass(frozen=True, slots=True)
class BinlogFile:
    began_ms: int
    after: int
    """Number of the last commit before it."""


def position_at(number: int) -> MariaDbPosition:
    return MariaDbPosition(((0, 1, number),) if number else ())


def number_of(position: Position) -> int:
    assert isinstance(position, MariaDbPosition)
    return position.domains[0][2] if position.domains else 0


class Primary:
    def __init__(self, world: "World", skew_ms: int) -> None:
        self._world = world
        self._skew_ms = skew_ms
        self.commits: list[Commit] = []
        self.changes: dict[str, list[int]] = {}
        """Key to the numbers of the commits that changed its row."""
        self.files = [BinlogFile(self._second_ms(), 0)]
        self.is_cut = False
        self.left: int | None = None
        """Number of the last commit of the server that sources read, where that is the primary no more."""
        self.readers: list[SimulatedReader] = []

    def _second_ms(self) -> int:
        return (BASE_MS + int(self._world.loop.time() * 1000) + self._skew_ms) // 1000 * 1000

    @property
    def last(self) -> int:
        return len(self.commits)

    @property
    def told(self) -> int:
        """Number of the last commit that sources can read."""
        return self.last if self.left is None else self.left

    @property
    def purged(self) -> int:
        """Number of the last commit that is in no file any more."""
        return self.files[0].after

    def commit(self, keys: tuple[str, ...], namespaces: tuple[str, ...] = ()) -> Commit:
        now_ms = self._second_ms()
        if now_ms - self.files[-1].began_ms >= FILE_S * 1000:
            self.files.append(BinlogFile(now_ms, self.last))
        commit = Commit(self.last + 1, self._world.loop.time(), now_ms, keys, namespaces)
        self.commits.append(commit)
        for key in keys:
            self.changes.setdefault(key, []).append(commit.number)
        self._world.committed(commit)
        for reader in self.readers:
            reader.hear()
        return commit

    def purge(self) -> None:
        self.files.append(BinlogFile(self._second_ms(), self.last))
        del self.files[:-1]

    def value_at(self, key: str, number: int) -> int:
        """Return the row's counter as of a commit."""
        return bisect_right(self.changes.get(key, ()), number)

    def number_of_value(self, key: str, value: int) -> int:
        """Return the commit that wrote this counter; 0 for the row's first state."""
        return self.changes[key][value - 1] if value else 0
