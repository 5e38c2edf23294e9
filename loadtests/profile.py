"""How long, how fast and how far scaled down a run is. Every limit of time is divided by one scale, which is stated."""

from dataclasses import dataclass

from deploy.simulation.chaos.limits import Limits
from versioning.limits import SPREAD_MAX_MS

WAN_ONE_WAY_MS = 100.0
PLAN_SHARE, TENANT_SHARE = 0.03, 0.02
"""Of the reads: rows of a small table, lists of a tenant's trackers. The others read one tracker."""

PLANS = 200
"""Rows of the small table, which is truncated and filled again."""


@dataclass(frozen=True)
class Profile:
    name: str
    scale: float
    """TTLs, window, promise, spread and the length of faults are divided by this."""
    trackers: int
    reads_per_s: float
    warm_s: float
    hot_changes: int
    steady_s: float
    rapid_s: float
    rapid_updates_per_s: float
    burst_s: float
    truncate_s: float
    bulk_s: float
    delete_all_s: float
    recovery_s: float
    paired_s: float
    gate_s: int
    followers: tuple[int, ...]
    helper_s: float
    steady_updates_per_s: float = 2.0
    burst_updates: int = 1_000
    tenant_rows: int = 20

    @property
    def limits(self) -> Limits:
        return Limits(self.scale)

    @property
    def bump_spread_s(self) -> float:
        return SPREAD_MAX_MS / 1000 / self.scale

    @property
    def reads_per_ttl(self) -> float:
        return self.reads_per_s * self.limits.redis_ttl_ms / 1000

    @property
    def tenants(self) -> int:
        return -(-self.trackers // self.tenant_rows)

    @property
    def wan_cut_s(self) -> float:
        return 60.0 / self.scale

    @property
    def replica_lag_s(self) -> int:
        """MASTER_DELAY takes whole seconds."""
        return max(round(10.0 / self.scale), 1)


FULL = Profile(
    name="full",
    scale=1.5,
    trackers=100_000,
    reads_per_s=700.0,
    warm_s=12.0,
    hot_changes=10,
    steady_s=40.0,
    rapid_s=12.0,
    rapid_updates_per_s=500.0,
    burst_s=8.0,
    truncate_s=6.0,
    bulk_s=24.0,
    delete_all_s=18.0,
    recovery_s=5.0,
    paired_s=24.0,
    gate_s=24,
    followers=(10, 100, 1_000),
    helper_s=8.0,
)

QUICK = Profile(
    name="quick",
    scale=20.0,
    trackers=20_000,
    reads_per_s=200.0,
    warm_s=1.0,
    hot_changes=3,
    steady_s=4.0,
    rapid_s=2.0,
    rapid_updates_per_s=500.0,
    burst_s=2.0,
    truncate_s=2.0,
    bulk_s=4.0,
    delete_all_s=3.0,
    recovery_s=1.0,
    paired_s=4.0,
    gate_s=6,
    followers=(10, 40),
    helper_s=1.0,
)

PROFILES = {profile.name: profile for profile in (FULL, QUICK)}
