"""The primary in A and its binlog: one dense counter per row, one GTID per commit, files that can be purged.

After a failover that lost commits another server gives their numbers to its own. Nothing else of them is left, but in
what sources have read: no replica had them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from replicator.errors import MySqlUnavailableError
from replicator.position import MariaDbPosition, Position
from replicator.source.anchor import Anchor
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
    """Of all commits, whatever their domain: so the sequence numbers of a domain have holes, as MariaDB allows."""
    domain: int
    server: int
    """Id of the primary that wrote it."""
    at_s: float
    committed_ms: int
    keys: tuple[str, ...]
    """Keys whose rows changed."""
    namespaces: tuple[str, ...]
    """Aged out instead of naming the keys (TRUNCATE, DDL, a huge transaction)."""

    @property
    def gtid(self) -> str:
        return f"{self.domain}-{self.server}-{self.number}"

    def read(self, position: Position, anchor: Anchor, read_ms: int) -> Transaction:
        """Return it as the binlog tells it to who comes to this position, and has read up to then, by it."""
        generations = (("statement: TRUNCATE", self.namespaces),) if self.namespaces else ()
        named = () if self.namespaces else self.keys
        return Transaction(self.gtid, position, self.committed_ms, named, generations, anchor, read_ms)


@dataclass(frozen=True, slots=True)
class BinlogFile:
    began_ms: int
    after: int
    """Number of the last commit before it."""

    @property
    def name(self) -> str:
        return f"{self.after}.{self.began_ms}"


def number_of(position: Position) -> int:
    assert isinstance(position, MariaDbPosition)
    return max((number for _, _, number in position.domains), default=0)


class Primary:
    def __init__(self, world: "World", skew_ms: int) -> None:
        self._world = world
        self._skew_ms = skew_ms
        self.server = 1
        self.commits: list[Commit] = []
        self.changes: dict[str, list[int]] = {}
        """Key to the numbers of the commits that changed its row."""
        self._numbers: list[list[int]] = [[] for _ in world.domains]
        """Of the commits of each domain."""
        self.files = [BinlogFile(self._second_ms(), 0)]
        self.is_cut = False
        self.replicated: int | None = None
        """Number of the last commit that any replica will ever get; None: they get all."""
        self.left: int | None = None
        """Number of the last commit of the server that sources read, where that is the primary no more."""
        self.readers: list[SimulatedReader] = []

    def _second_ms(self) -> int:
        return (BASE_MS + int(self._world.loop.time() * 1000) + self._skew_ms) // 1000 * 1000

    @property
    def last(self) -> int:
        return len(self.commits)

    @property
    def last_replicated(self) -> int:
        """Number of the last commit that replicas get."""
        return self.last if self.replicated is None else self.replicated

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
        domain = self._world.domain_of(keys[0])
        commit = Commit(self.last + 1, domain, self.server, self._world.loop.time(), now_ms, keys, namespaces)
        self.commits.append(commit)
        self._numbers[domain].append(commit.number)
        for key in keys:
            self.changes.setdefault(key, []).append(commit.number)
        self._world.committed(commit)
        for reader in self.readers:
            reader.hear()
        return commit

    def purge(self) -> None:
        self.files.append(BinlogFile(self._second_ms(), self.last))
        del self.files[:-1]

    def fail_over(self, skew_ms: int) -> None:
        """Go on at a server that has what the replicas got, and a clock of its own."""
        kept = self.last_replicated
        self._world.history.lose(self.server, kept)
        del self.commits[kept:]
        self.changes = {key: [number for number in numbers if number <= kept] for key, numbers in self.changes.items()}
        self._numbers = [[number for number in numbers if number <= kept] for numbers in self._numbers]
        self.server, self.replicated, self._skew_ms = self.server + 1, None, skew_ms
        # What it has not purged, or what it begins with.
        self.files = [file for file in self.files if file.after <= kept] or [BinlogFile(self._second_ms(), kept)]
        for reader in tuple(self.readers):
            reader.fail(MySqlUnavailableError("the primary has closed the connection"))

    def common(self, position: Position) -> int:
        """Number of the last commit before which a position has them all."""
        return next((one.number - 1 for one in self.commits if not position.includes(one.gtid)), self.last)

    def has(self, position: Position) -> bool:
        number = number_of(position)
        return number <= self.last and position == self.position_at(number)

    def position_at(self, number: int) -> MariaDbPosition:
        return self.position_of([number] * len(self._numbers))

    def position_of(self, applied: Sequence[int]) -> MariaDbPosition:
        """``applied``: of each domain, all of its commits up to that number."""
        found = []
        for domain, numbers in enumerate(self._numbers):
            place = bisect_right(numbers, applied[domain])
            if place:
                last = self.commits[numbers[place - 1] - 1]
                found.append((domain, last.server, last.number))
        return MariaDbPosition(tuple(found))

    def next_of(self, domain: int, number: int) -> int:
        """Return the number of the first commit of a domain behind that one."""
        numbers = self._numbers[domain]
        return numbers[bisect_right(numbers, number)]

    def value_at(self, key: str, number: int) -> int:
        """Return the row's counter as of a commit."""
        return bisect_right(self.changes.get(key, ()), number)

    def number_of_value(self, key: str, value: int) -> int:
        """Return the commit that wrote this counter; 0 for the row's first state."""
        return self.changes[key][value - 1] if value else 0
