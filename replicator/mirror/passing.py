"""Which heartbeat of the origin may enter the target stream, past the entries that wait at the gate (P7)."""

from replicator.mirror.beats import NO_BEAT
from replicator.mirror.board import GateBoard
from replicator.mirror.queue import MirrorQueue, Queued, Released
from replicator.mirror.state import MirrorState
from replicator.mirror.words import spreads_late_until
from versioning.entries import Body, Change, Gap, Generation, Heartbeat
from versioning.limits import CLOCK_ERROR_MS
from versioning.liveness import Now


def passing_beat(
    queue: MirrorQueue, board: GateBoard, released: Released, state: MirrorState, *, now: Now, source_late_ms: int
) -> Heartbeat:
    """Return the newest one that may; ``NO_BEAT`` for none. ``released``: what leaves the gate in the same append.

    It goes past entries at the gate only where every replica they wait for has said that it lacks them, and never
    had them: then they wait for the data's own lag, which ``applied_ms`` tells. A gate that has not answered proves
    nothing, nor does one of what was committed before this mirror began to ask; and of a replica that went back newer
    values have been served: a follower that was told "read up to now" would vouch for values which those entries
    supersede. Nor does it go past a gap: that stands for commits which every replica may have had long ago. And none
    enters while a generation spreads late, or while a replica shows that the source does not read what the replicas
    follow.
    """
    held = released.held
    silent_until_ms = max(map(spreads_late_until, (body for body, _ in released.bodies)), default=0)
    if released.is_cut or now.ms < max(silent_until_ms, state.silent_until_ms):
        return NO_BEAT
    if board.contradicts(queue.beats.newest, now.ms, source_late_ms):
        return NO_BEAT
    is_gap_held = queue.gaps_count > sum(isinstance(body, Gap) for body, _ in released.bodies)
    if (held is None or _is_unapplied(queue, board, held, released.taken, now)) and not is_gap_held:
        return queue.beats.newest
    return released.beat or NO_BEAT


def _is_unapplied(queue: MirrorQueue, board: GateBoard, held: Queued, taken: int, now: Now) -> bool:
    """Whether nothing of what is held is in all replicas.

    Each GTID domain has an order of its own: entries of one that a replica is behind in may hold up those of another,
    whose data is everywhere.
    """
    waiting = [held, *queue.fronts(taken)]
    return all(
        item.gtid and board.says_unapplied(item.gtid, came_ms=item.came_ms, committed_ms=_committed_ms(item.body, now))
        for item in waiting
    )


def _committed_ms(body: Body, now: Now) -> int:
    """Return a monotonic time before its commit; long ago for what tells of none."""
    unix_ms = body.committed_ms if isinstance(body, Change | Generation) else 0
    return now.monotonic_ms - (now.ms - unix_ms) - CLOCK_ERROR_MS
