"""Which heartbeat of the origin may enter the target stream, past the entries that wait at the gate (P7)."""

from typing import Final

from replicator.mirror.beats import NO_BEAT
from replicator.mirror.board import GateBoard
from replicator.mirror.options import MirrorOptions
from replicator.mirror.queue import MirrorQueue, Queued, Released
from replicator.mirror.state import MirrorState
from replicator.mirror.words import spreads_late_until
from versioning.entries import Change, Gap, Generation, Heartbeat
from versioning.limits import CLOCK_ERROR_MS
from versioning.liveness import Now

ON_ITS_WAY_MS: Final = 5_000
"""From the commit to the gate, clocks included: what takes longer comes behind a fault."""


def passing_beat(
    queue: MirrorQueue, board: GateBoard, released: Released, state: MirrorState, *, options: MirrorOptions, now: Now
) -> Heartbeat:
    """Return the newest one that may; ``NO_BEAT`` for none. ``released``: what leaves the gate in the same append.

    It goes past entries at the gate only where every replica they wait for has said that it lacks them, and never
    had them: then they wait for the data's own lag, which ``applied_ms`` tells. A gate that has not answered proves
    nothing, nor does one of what was committed before this mirror began to ask; and of a replica that went back newer
    values have been served: a follower that was told "read up to now" would vouch for values which those entries
    supersede. Nor past one that took long to come here: a replica that lacks it need not be one that is read by now,
    and those that are may have had it for as long. Nor past a gap: that stands for commits which every replica may
    have had long ago. And none enters while a generation spreads late, or while a replica shows that the source does
    not read what the replicas follow.
    """
    held = released.held
    silent_until_ms = max(map(spreads_late_until, (body for body, _ in released.bodies)), default=0)
    if released.is_cut or now.ms < max(silent_until_ms, state.silent_until_ms):
        return NO_BEAT
    if board.contradicts(queue.beats.newest, now.ms, options.source_late_ms):
        return NO_BEAT
    is_gap_held = queue.gaps_count > sum(isinstance(body, Gap) for body, _ in released.bodies)
    # Each GTID domain has an order of its own: entries of one that a replica is behind in may hold up those of
    # another, whose data is everywhere.
    waiting = [held, *queue.fronts(released.taken)] if held is not None else []
    if not is_gap_held and all(_is_unapplied(item, board, now, options.gate_limit_ms) for item in waiting):
        return queue.beats.newest
    return released.beat or NO_BEAT


def _is_unapplied(item: Queued, board: GateBoard, now: Now, gate_limit_ms: int) -> bool:
    """Whether some replica lacks it, never had it, and says so; and it waits for that alone."""
    unix_ms = item.body.committed_ms if isinstance(item.body, Change | Generation) else 0
    age_ms = now.ms - unix_ms + CLOCK_ERROR_MS
    if not item.gtid or age_ms > gate_limit_ms + ON_ITS_WAY_MS:
        return False
    return board.says_unapplied(item.gtid, came_ms=item.came_ms, committed_ms=now.monotonic_ms - age_ms)
