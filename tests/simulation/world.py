"""Two datacenters in one event loop. The world knows everything; its processes know what the wire tells them."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.fills import PossibleFills
from tests.simulation.history import History, LoadBegun, ReadDone
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import NOBODY, Cable, Server
from tests.simulation.primary import Commit, Primary
from tests.simulation.process import Process
from tests.simulation.replica import GATE_TIMEOUT_S, Replica
from tests.simulation.streams import StreamServer
from tests.simulation.values import ValueServer
from versioning.entries import Entry, kind_of

if TYPE_CHECKING:
    from tests.simulation.checkers.base import Checker

SKEW_MAX_MS = 500
"""Clocks of any two machines agree within a second."""

ITEMS = tuple(f"item:{number}" for number in range(8))
LISTS = tuple(f"list:{number}" for number in range(8, 12))
KEYS = ITEMS + LISTS
"""In two namespaces."""

SCAN_S = 1.0


class ViolationError(AssertionError):
    """An invariant does not hold."""

    def __init__(self, invariant: str, at_s: float, text: str) -> None:
        super().__init__(f"{invariant} at {at_s:.3f} s: {text}")
        self.invariant = invariant


class World:
    def __init__(
        self,
        seed: int,
        start: Callable[["World", Process], None],
        *,
        is_timed: bool = False,
        is_varied: bool = False,
        is_split: bool = False,
        stretch: float = 1.0,
    ) -> None:
        self.is_timed = is_timed
        self.is_varied = is_varied
        """Readers use all calls of a cache, not ``read`` alone."""
        self.domains = range(1 + is_split)
        """GTID domains: lists have one of their own where there are two."""
        self.stretch = stretch
        """How many times as long as usual outages last."""
        self.rng = random.Random(seed)
        self.loop = VirtualLoop()
        self.history = History()
        self.violation: ViolationError | None = None
        self.checkers: list[Checker] = []
        self.is_reading = True
        self.last_reads: set[tuple[str, str]] = set()
        """Reader and key of those still under way, once the faults are over."""
        self.is_calm = False
        """No fault is part of this run: the bounds are those of a healthy system."""
        self.wan = Cable()
        self._cables: dict[tuple[str, str], Cable] = {}
        self.stream_a = StreamServer(self, "stream-a")
        self.stream_b = StreamServer(self, "stream-b")
        self.values = ValueServer(self)
        self.replicas = (Replica(self, "replica-1"), Replica(self, "replica-2"))
        self.primary = Primary(self, self.skew_ms())
        self.fills = PossibleFills(self)
        self.load_extra_s = 0.0
        self.processes: dict[str, Process] = {}
        self.readers: dict[str, Any] = {}
        """Name to what ``reader.Reader`` runs there."""
        self.roles: dict[str, Any] = {}
        """Name of a source or a mirror to what runs there."""
        self._start = start
        self._skews: dict[str, int] = {}

    def domain_of(self, key: str) -> int:
        return len(self.domains) - 1 if key.startswith("list") else 0

    @property
    def read_replicas(self) -> list[Replica]:
        """Those that loads read from."""
        return [replica for replica in self.replicas if replica.is_read]

    def cable(self, process: str, server: str) -> Cable:
        """Return the one that connects these two, by their names; what crosses the WAN shares another."""
        is_far = process.startswith("mirror") and server == "stream-a"
        return self._cables.setdefault((process, server), Cable(self.wan if is_far else None))

    def mend_cables(self) -> None:
        now_s = self.loop.time()
        for cable in (self.wan, *self._cables.values()):
            cable.mend(now_s)
            cable.hasten(now_s)

    def skew_ms(self) -> int:
        return self.rng.randint(-SKEW_MAX_MS, SKEW_MAX_MS)

    def start(self, name: str) -> Process:
        process = Process(self, name, self._skews.setdefault(name, self.skew_ms()))
        self.processes[name] = process
        self.note("started", name)
        self._start(self, process)
        return process

    def step_clock(self, name: str) -> None:
        self._skews[name] = self.processes[name].skew_ms = self.skew_ms()

    def is_watched(self, *replicas: Replica, for_s: float = 0.0, writable_for_s: float = 0.0) -> bool:
        """Whether some mirror is there and reaches them, and has that long, and stream B too, to write what it sees."""
        now_s = self.loop.time()
        if not self.stream_b.takes_writes or now_s - self.stream_b.up_s < writable_for_s:
            return False
        since_s = now_s - for_s
        mirrors = (process for name, process in self.processes.items() if name.startswith("mirror"))
        awake = (mirror for mirror in mirrors if mirror.is_running and mirror.resumed_s <= since_s)
        awake = (mirror for mirror in awake if self._reaches(mirror.name, self.stream_b, now_s - writable_for_s))
        return any(all(self._reaches(mirror.name, replica, since_s) for replica in replicas) for mirror in awake)

    def is_cut_lately(self, replica: Replica, for_s: float) -> bool:
        """Whether some mirror has been cut off from it for less than that long, and still goes by what it was told."""
        cables = (cable for (_, name), cable in self._cables.items() if name == replica.name)
        return any(cable.is_cut and self.loop.time() - cable.cut_s < for_s for cable in cables)

    def _reaches(self, mirror: str, server: Server, since_s: float) -> bool:
        # What was asked just before it was mended must time out first.
        return self.cable(mirror, server.name).is_whole_since(since_s - GATE_TIMEOUT_S)

    def later(self, after_s: float, action: Callable[[], object]) -> None:
        self.loop.call_later(after_s, action, context=NOBODY)

    def note(self, *what: Any) -> None:
        self.history.trace.append((round(self.loop.time(), 6), *what))

    # What happens, told by those it happens to.

    def committed(self, commit: Commit) -> None:
        self.note("committed", commit.gtid, commit.keys, commit.namespaces)
        if self.primary.replicated is None:
            for replica in self.replicas:
                replica.replicate(commit)

    def applies(self, replica: Replica, domain: int, number: int) -> None:
        self.fills.before(replica, domain, number)

    def applied(self) -> None:
        everywhere = tuple(map(min, zip(*(replica.applied for replica in self.read_replicas), strict=True)))
        self.history.note_floor(self.loop.time(), everywhere)

    def lost(self, server: StreamServer, entries: list[Entry]) -> None:
        if server is self.stream_b:
            self.history.lost.update(entry.stamp for entry in entries)

    def emptied(self, server: StreamServer, last: int) -> None:
        if server is self.stream_b:
            self.history.forgotten = max(self.history.forgotten, last)

    def returned(self, server: StreamServer, entries: list[Entry]) -> None:
        if server is self.stream_b:
            self.history.returned = max([self.history.returned, *(entry.stamp for entry in entries)])

    def regained(self, server: StreamServer, entries: list[Entry]) -> None:
        """Take note of what a failover brought back that had been flushed."""
        if server is self.stream_b:
            self.history.lost.difference_update(entry.stamp for entry in entries)

    def appended(self, server: StreamServer, entries: list[Entry]) -> None:
        for entry in entries:
            self.note("appended", server.name, entry.stamp, kind_of(entry.body), entry.body)  # type: ignore[arg-type]
            if server is self.stream_b:
                self.history.take_entry(entry)
            else:
                self.history.take_origin(entry)
        for checker in self.checkers:
            checker.on_append(server, entries)

    def read(self, done: ReadDone) -> None:
        self.history.reads.append(done)
        self.last_reads.discard((done.reader, done.key))
        self.history.trace.append(tuple(done))
        for checker in self.checkers:
            checker.on_read(done)

    def load(self, begun: LoadBegun) -> None:
        self.history.loads.append(begun)
        self.history.trace.append(("load", *begun))
        for checker in self.checkers:
            checker.on_load(begun)

    def load_failed(self, begun: LoadBegun) -> None:
        for checker in self.checkers:
            checker.on_load_failed(begun)

    def read_failed(self, reader: str, key: str, error: Exception) -> None:
        for checker in self.checkers:
            checker.on_read_failed(reader, key, error)

    def scan(self) -> None:
        """Look at everything at rest, once a second."""
        self.fills.scan()
        for checker in self.checkers:
            checker.scan()
        self.later(SCAN_S, self.scan)

    def violate(self, invariant: str, text: str) -> None:
        """The first violation ends the run."""
        if self.violation is None:
            self.violation = ViolationError(invariant, self.loop.time(), text)
            if self.loop.is_running():
                self.loop.stop()

    def run_until(self, at_s: float) -> None:
        if self.violation is None:
            self.loop.call_at(at_s, self.loop.stop, context=NOBODY)
            self.loop.run_forever()
