"""What a cache says of itself: for status pages, metrics and tests. Numbers only, and never a key."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from versioning.client.follower import FollowerStats
from versioning.index import Index
from versioning.latency import Latencies
from versioning.liveness import Now
from versioning.read import Counters, Tier
from versioning.verdict import Verdict

ByTier = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class CacheInfo:
    is_connected: bool
    is_lagging: bool
    """True: nothing is vouched for, and values are served for a while only."""
    lag_ms: int | None
    """None: no heartbeat was ever seen."""
    replica_lag_ms: int | None
    read_ms: int
    """Unix time up to which the source has read; 0: no heartbeat was ever seen."""
    applied_ms: int
    """Unix time up to which every replica has applied; 0: not known."""
    watermark: int
    horizon: int
    """Stamps, as integers (``versioning.stamp.text`` shows them as Redis does)."""
    keys: int
    """Keys in the index: those that changed within the window."""
    pending: int
    breaks: int
    reconnects: int
    reconnects_by_reason: dict[str, int]
    latencies: Latencies
    """How long changes were on their way to this process."""
    poisoned: int
    last_error: str
    local_entries: int
    served: ByTier
    """Tier to verdict to count."""
    refused: ByTier
    """The same for values that were found, but superseded, or unknown and too old."""
    misses: int
    loads: int
    load_errors: int
    coalesced: int
    lease_waits: int
    unleased_loads: int
    budget_waits: int
    foreign_headers: int
    unreadable_values: int
    newer_kept: int
    redis_errors: int


_COPIED = {field.name for field in fields(Counters)} & {field.name for field in fields(CacheInfo)} - {
    "served",
    "refused",
}


def info_of(index: Index, counters: Counters, local_entries: int, now: Now, follower: FollowerStats) -> CacheInfo:
    served = by_tier(counters.served)
    local = served.setdefault(Tier.LOCAL.value, {})
    local[Verdict.FRESH.value] = local.get(Verdict.FRESH.value, 0) + counters.local_fresh
    return CacheInfo(
        is_connected=follower.is_connected,
        is_lagging=index.is_lagging(now),
        lag_ms=index.liveness.lag_ms(now),
        replica_lag_ms=index.liveness.replica_lag_ms(now),
        read_ms=index.liveness.read_ms,
        applied_ms=index.liveness.applied_ms,
        watermark=index.watermark,
        horizon=index.horizon,
        keys=len(index),
        pending=index.pending_count,
        breaks=follower.breaks,
        reconnects=follower.reconnects,
        reconnects_by_reason=follower.reconnects_by_reason,
        latencies=follower.latencies.copy(),
        poisoned=follower.poisoned,
        last_error=follower.last_error,
        local_entries=local_entries,
        served=served,
        refused=by_tier(counters.refused),
        **{name: getattr(counters, name) for name in _COPIED},
    )


def by_tier(counts: Mapping[tuple[Tier, Verdict], int]) -> ByTier:
    result: ByTier = {}
    # A copy: another thread may count a pair for the first time meanwhile.
    for (tier, verdict), count in dict(counts).items():
        result.setdefault(tier.value, {})[verdict.value] = count
    return result
