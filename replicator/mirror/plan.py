"""Which entries a mirror appends next. Pure: the state, the queue and the gate's answers in, one append out.

The order inside an append is the rule: first what settles older entries, then what leaves the gate, then the
heartbeat. A settled entry behind a newer pending one of the same key would end the wrong wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from replicator.mirror import reasons
from replicator.mirror.gtids import answer_includes, joined
from replicator.mirror.position import MirrorPosition
from replicator.mirror.queue import Released
from replicator.mirror.settle import Again
from replicator.mirror.state import MirrorState
from versioning import stamp as stamps
from versioning.entries import Body, Gap, Heartbeat, Origin, Replayed

CLOCK_JUMP_MS: Final = 60_000
"""An origin heartbeat this far below the last one is a clock put right, not one another mirror has passed."""


@dataclass(frozen=True, slots=True)
class Plan:
    bodies: tuple[tuple[Body, Origin | None], ...]
    position: MirrorPosition | None
    taken: int
    heartbeat: Heartbeat | None
    agains: tuple[Again, ...]
    released: tuple[Body, ...]
    not_claimed: int
    """Replays left out: an unreadable entry, or a pending gap that the stream has lost, lies in what they vouch for."""


def make_plan(
    agains: list[Again], released: Released, heartbeat: Heartbeat | None, state: MirrorState, now_ms: int
) -> Plan | None:
    """Return None where there is nothing to append."""
    if _has_gap(again.body for again in agains) and not _has_gap(body for body, _ in released.bodies):
        # Alone: a replay behind it is claimed from its stamp on only (``MirrorState.unclaimed_ms``).
        released, heartbeat = Released(), None
    left, not_claimed = _entering(released.bodies, state, now_ms)
    bodies: list[tuple[Body, Origin | None]] = [(again.body, again.origin) for again in agains]
    bodies += left
    if heartbeat is not None:
        position = released.position
        is_at_position = position is not None and released.ends_with_heartbeat
        bodies.append((heartbeat, position.origin(state.dc) if position is not None and is_at_position else None))
    if not bodies:
        return None
    return Plan(
        tuple(bodies),
        released.position,
        released.taken,
        heartbeat,
        tuple(agains),
        tuple(body for body, _ in left),
        not_claimed,
    )


def _has_gap(bodies: Iterable[Body]) -> bool:
    return any(isinstance(body, Gap) for body in bodies)


def _entering(
    bodies: tuple[tuple[Body, Origin], ...], state: MirrorState, now_ms: int
) -> tuple[list[tuple[Body, Origin]], int]:
    left: list[tuple[Body, Origin]] = []
    is_poisoned = state.is_poisoned
    awaited, gap_ms = (state.gap.body.gtid, stamps.ms_of(state.gap.stamp)) if state.gap else ("", 0)
    for body, origin in bodies:
        match body:
            case Gap():
                is_poisoned = reasons.is_unreadable(body.reason)
                gap = _awaiting(body, awaited)
                if gap.pending:
                    awaited, gap_ms = gap.gtid or awaited, now_ms
                elif gap.gtid or not awaited:  # One without position says nothing of one that has.
                    awaited, gap_ms = "", 0
                left.append((gap, origin))
            case Replayed() if is_poisoned or state.is_gap_lost:
                pass
            case Replayed():
                replayed = state.claimed(body, gap_ms, stamps.parse(origin.id), now_ms)
                awaited, gap_ms = ("", 0) if replayed.settled else (awaited, gap_ms)
                left.append((replayed, origin))
            case _:
                left.append((body, origin))
    return left, len(bodies) - len(left)


def _awaiting(gap: Gap, awaited: str) -> Gap:
    """Return it as it may enter while a gap is pending until the replicas have ``awaited``.

    That one may stand for later commits (``Resume.until``), and the last gap is the one that counts.
    """
    if not awaited or not gap.gtid or answer_includes(gap.gtid, awaited):
        return gap
    return replace(gap, gtid=joined(gap.gtid, awaited), pending=True)


def next_heartbeat(beat: Heartbeat, applied: Heartbeat | None, state: MirrorState, read_ms: int) -> Heartbeat | None:
    """Return what a heartbeat of the origin says that the target stream does not yet; None for nothing new.

    ``applied``: the last one whose GTID every replica has; None with no database listed.
    """
    if not beat.read_ms or read_ms - CLOCK_JUMP_MS <= beat.read_ms <= read_ms:
        return None
    if applied is None:
        return Heartbeat(beat.read_ms)
    applied_ms = max(applied.read_ms, state.applied_ms)
    if applied.gtid != beat.gtid:
        # A source in a backlog repeats its time further on: read back, the GTID would be taken for this one's place.
        applied_ms = min(applied_ms, beat.read_ms - 1)
    return Heartbeat(beat.read_ms, applied_ms, applied.gtid)
