"""Each rule of the protocol, taken out of the real code: the checkers must notice.

A removal says which rule it takes out, how, and under which faults that hurts. ``faults`` make it likely, not certain:
so a test plays some seeds until one shows it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest import mock

from replicator.mirror import due, passing
from replicator.mirror.board import GateBoard
from replicator.mirror.reader import OriginReader
from replicator.source.anchor import BinlogFile, Proof, Trail
from replicator.source.history import ReplayStart
from tests.simulation import actors, binlog
from tests.simulation.faults import CALM, Faults
from tests.simulation.streams import Store
from tests.simulation.versions import VersionKeys
from versioning import generations, header, held, reading, readplan
from versioning import stamp as stamps
from versioning.backends import memory
from versioning.client.singleflight import AsyncFlights
from versioning.entries import Change, Gap
from versioning.follow import Follow
from versioning.index import Index
from versioning.past import Past
from versioning.pending import word_of
from versioning.verdict import Verdict

Patches = Callable[[], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Removal:
    name: str
    rule: str
    patches: Patches
    faults: Faults
    active_s: float = 25.0
    first: int = 0
    """A seed near which it shows."""
    seeds: int = 60
    """Within how many it must show."""
    is_timed: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for patch in self.patches():
                stack.enter_context(patch)
            yield


def _of(target: Any, name: str, replacement: Any) -> Any:
    return mock.patch.object(target, name, replacement)


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _yes(*_: Any, **__: Any) -> bool:
    return True


def _no(*_: Any, **__: Any) -> bool:
    return False


def _take_without_proof() -> Sequence[Any]:
    take = Follow.take

    def blind(self: Any, entries: Any, now: Any) -> None:
        for entry in entries:
            take(self, [replace(entry, previous=self._history.nonce)], now)

    return [_of(Follow, "take", blind), _of(Follow, "joins", _yes), _of(Follow, "check_tail", _nothing)]


def _claim_without_replay() -> Sequence[Any]:
    def find(client: Any, facts: Any, options: Any, *, wanted_ms: int, damaged_file: str) -> ReplayStart:
        primary = client.primary
        return ReplayStart(primary.position_at(primary.last), BinlogFile(primary.server, "", 0), wanted_ms)

    return [_of(binlog, "find_replay_start", find)]


def _gap_says_nothing() -> Sequence[Any]:
    apply = Index.apply

    def deaf(self: Any, entry: Any, now: Any) -> None:
        horizon = self.horizon
        apply(self, entry, now)
        if isinstance(entry.body, Gap):
            self.horizon = horizon

    return [_of(Index, "apply", deaf)]


def _gate_on_one() -> Sequence[Any]:
    gates = actors.gates
    return [_of(actors, "gates", lambda process: gates(process)[:1])]


def _stamp_after_the_load() -> Sequence[Any]:
    fill = readplan._Refill._fill

    def late(self: Any, fills: Any, leased: tuple[str, ...]) -> Any:
        watermark = self._reading.index.watermark
        again = []
        for key, head, data, value in fills:
            late_head = head._replace(fill_stamp=watermark)
            again.append((key, late_head, header.pack(late_head, data[header.SIZE :]), value))
        return fill(self, again, leased)

    return [_of(readplan._Refill, "_fill", late)]


def _copy_outlives_its_fill() -> Sequence[Any]:
    hold = held.hold

    def hold_longer(value: Any, fill_stamp: int, fill_ms: int, now: Any, options: Any, **flags: bool) -> Any:
        kept = hold(value, fill_stamp, fill_ms, now, options, **flags)
        if kept is None:
            return None
        wall_ms, monotonic_ms = (clock_ms + options.local_ttl_ms for clock_ms in now)
        return replace(kept, expires_ms=wall_ms, expires_monotonic_s=monotonic_ms / 1000)

    return [_of(reading, "hold", hold_longer), _of(readplan, "hold", hold_longer)]


def _unproven(is_proven: Callable[[Any, str, int, Any], bool]) -> Sequence[Any]:
    """Say FRESH unless ``is_proven`` says otherwise."""
    verdict = Index.verdict

    def judge(self: Any, key: str, fill_stamp: int, now: Any) -> Verdict:
        found = verdict(self, key, fill_stamp, now)
        return found if is_proven(self, key, fill_stamp, now) else Verdict.FRESH

    return [_of(Index, "verdict", judge)]


def _no_stale() -> Sequence[Any]:
    return _unproven(lambda index, key, stamp, now: stamp >= index.last_stamp(key))


def _no_horizon() -> Sequence[Any]:
    return _unproven(
        lambda index, key, stamp, now: stamp < index.last_stamp(key) or stamp >= index.horizon or index.is_lagging(now)
    )


def _proofs_last() -> Sequence[Any]:
    judge = Index.judge

    def believing(self: Any, key: str, fill_stamp: int, now: Any) -> tuple[Verdict, int | None]:
        verdict, proven_ago_ms = judge(self, key, fill_stamp, now)
        return verdict, None if proven_ago_ms is None else 0

    return [_of(Index, "judge", believing)]


def _past_proves_all() -> Sequence[Any]:
    def prove(self: Any, key: str, fill_stamp: int, now: Any) -> int | None:
        return self.liveness.lag_ms(now) if fill_stamp <= self.ceiling else None

    return [_of(Past, "proven_ago_ms", prove)]


def _no_delays() -> Sequence[Any]:
    return [_of(due, "judge_by_time", lambda now_ms, delays_ms: lambda mark: True)]


def _bumps_are_skipped() -> Sequence[Any]:
    apply = Index.apply

    def deaf(self: Any, entry: Any, now: Any) -> None:
        body = entry.body
        if isinstance(body, Change) and word_of(body) is None:
            entry = replace(entry, body=replace(body, keys=("nobody",)))
        apply(self, entry, now)

    return [_of(Index, "apply", deaf)]


def _beginnings_are_forgotten() -> Sequence[Any]:
    end = Follow._end_coverage
    return [_of(Follow, "_end_coverage", lambda self, begins: end(self, stamps.ZERO))]


def _vouch_before_covered() -> Sequence[Any]:
    take_older = Follow._take_one_older

    def bold(self: Any, entry: Any, now: Any) -> None:
        take_older(self, entry, now)
        if self.wants_older:
            self.index.horizon = 0

    return [_of(Follow, "_take_one_older", bold)]


def _at_once(key: str, start_ms: int, spread_ms: int) -> int:
    return start_ms


_LOSSES: Final = Faults(binlog_cut=12, binlog_purge=20, source_crash=4)
_REPLICAS: Final = Faults(replica_stop=10, replica_lag=10)

REMOVALS: Final = (
    Removal("append without compare", "P1", lambda: [_of(Store, "_check", _nothing)], CALM, 15.0),
    Removal(
        "no lead after a loss",
        "P1",
        lambda: [_of(memory, "LOSS_LEAD_MS", 0)],
        Faults(redis_a_failover=10, redis_b_failover=10, clock_step=30),
        first=303,
    ),
    Removal("no continuity check in the follower", "P2", _take_without_proof, Faults(push_lost=20), 40.0),
    Removal(
        "no continuity check in the mirror",
        "P2",
        lambda: [_of(OriginReader, "_joins", _yes)],
        Faults(push_lost=20),
    ),
    Removal("a replay is claimed, not done", "P3", _claim_without_replay, Faults(redis_a_flush=6, wan_cut=10)),
    Removal(
        "another history of MySQL is taken for ours",
        "P3",
        lambda: [
            _of(Proof, "look_at", _nothing),
            _of(Proof, "end", _nothing),
            _of(Trail, "missed", lambda *_: ""),
        ],
        Faults(primary_failover=8),
    ),
    Removal("a gap does not raise the horizon", "P3", _gap_says_nothing, _LOSSES, 40.0),
    Removal("no gate", "P4", lambda: [_of(GateBoard, "has_applied", _yes)], _REPLICAS),
    Removal("gate on one of two replicas", "P4", _gate_on_one, _REPLICAS),
    Removal("pending keys are kept for long", "P4", lambda: [_of(Index, "is_key_pending", _no)], _REPLICAS),
    Removal(
        "a pending namespace is vouched for",
        "P4",
        lambda: [_of(generations.Generations, "doubts", _no)],
        Faults(truncate=6, replica_stop=10, replica_lag=10),
    ),
    Removal(
        "fill stamp read after the load", "P5", _stamp_after_the_load, Faults(load_slow=20, replica_lag=10), first=82
    ),
    Removal("where time stands in for the replicas it is not waited for", "P4", _no_delays, CALM, is_timed=True),
    Removal("a local copy outlives its fill", "P5", _copy_outlives_its_fill, _REPLICAS),
    Removal("nothing is ever STALE", "P6", _no_stale, CALM),
    Removal("the horizon is not looked at", "P6", _no_horizon, _LOSSES, 40.0),
    Removal("what was proven once stays proven", "P6", _proofs_last, Faults(wan_cut=6), 70.0, first=48),
    Removal(
        "a past proves what it knows to be superseded", "P6", _past_proves_all, Faults(redis_b_flush=6, wan_cut=6), 70.0
    ),
    Removal("no lag check at the read", "P7", lambda: [_of(Index, "is_lagging", _no)], Faults(wan_cut=6), 70.0),
    Removal(
        "a heartbeat passes a gate that has not answered",
        "P7",
        lambda: [_of(passing, "_is_unapplied", _yes)],
        Faults(replica_down=60, mirror_crash=60, mirror_pause=10),
        40.0,
    ),
    Removal(
        "a heartbeat passes though a replica has more than its source says there is",
        "P7",
        lambda: [_of(GateBoard, "contradicts", _no)],
        Faults(source_left=6),
        70.0,
    ),
    Removal("vouching before the window is read", "P8", _vouch_before_covered, Faults(readers_away=3), 70.0, 270),
    Removal("a generation is not spread", "P9", lambda: [_of(generations, "moment_ms", _at_once)], Faults(truncate=6)),
    Removal(
        "generations are not looked at",
        "P9",
        lambda: [_of(generations.Generations, "is_stale", _no)],
        Faults(truncate=3),
    ),
    Removal(
        "no lease",
        "P10",
        lambda: [_of(memory.MemoryValues, "_try_lease", _yes)],
        CALM,
    ),
    Removal(
        "no single-flight",
        "P10",
        lambda: [_of(AsyncFlights, "find", _nothing)],
        Faults(values_outage=15, load_slow=20),
    ),
    Removal("a bump is not looked at", "P11", _bumps_are_skipped, Faults(bump=30)),
    Removal(
        "a replay makes known what lies below the beginning of a trimmed stream",
        "P11",
        _beginnings_are_forgotten,
        Faults(bump=30, redis_a_flush=8, redis_b_trim=30),
    ),
    Removal("version keys are not marked pending", "P12", lambda: [_of(VersionKeys, "is_key_pending", _no)], _REPLICAS),
    Removal("the index is never swept", "I8", lambda: [_of(Index, "_prune", _nothing)], CALM, 70.0),
)
