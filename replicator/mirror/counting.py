"""What a mirror counts of its appends."""

from collections.abc import Sequence

import structlog

from replicator.mirror.options import MirrorStats
from replicator.mirror.plan import Plan
from replicator.mirror.queue import Queued
from replicator.mirror.words import is_unapplied
from versioning import stamp as stamps
from versioning.entries import Change, Gap, Generation
from versioning.liveness import Now

log = structlog.get_logger()


def count_plan(stats: MirrorStats, plan: Plan) -> None:
    for body in plan.released:
        stats.entries += 1
        stats.keys += len(body.keys) if isinstance(body, Change) else 0
        stats.gaps += isinstance(body, Gap)
        stats.entries_pending += is_unapplied(body)
    stats.heartbeats += plan.heartbeat is not None
    stats.entries_settled += sum(again.is_settled for again in plan.agains)
    stats.entries_renewed += sum(not again.is_settled for again in plan.agains)
    stats.replays_not_claimed += plan.not_claimed
    if plan.not_claimed:
        log.warning("replay_not_claimed", hint="an unreadable entry or a lost gap lies in what it would vouch for")


def count_latencies(stats: MirrorStats, appended: Sequence[Queued], now: Now) -> None:
    for item in appended:
        if isinstance(item.body, Change | Generation):
            stats.stream_latency.observe(now.ms - stamps.ms_of(item.position.stamp))
            stats.gate_hold.observe(now.monotonic_ms - item.came_ms)
