"""The limits of the simulated world: about a fiftieth of the real ones, in the same proportions where it matters.

300 s of promise are 25 s here, 240 s of degraded life 20 s, the window 52 s. What the protocol assumes of the world is
not scaled: clocks within a second, the lead of two seconds after a reconnect, binlog times in whole seconds.
"""

from typing import Final

from replicator.mirror.options import MirrorOptions
from versioning.options import CacheOptions

PROMISE_MS: Final = 25_000
"""I1: the bound on staleness under any fault."""

REPLAY_SLACK_MS: Final = 8_000
HEARTBEAT_MS: Final = 1_000
READ_TIMEOUT_MS: Final = 3_000
WINDOW_MS: Final = 52_000
HEADER_LAG_MS: Final = 2_000
GATE_LIMIT_MS: Final = 2_500
KEYS_MAX: Final = 100
GENERATION_SPREAD_MS: Final = 4_000
CLOCK_ERROR_MS: Final = 1_000

CACHE: Final = CacheOptions(
    local_ttl_ms=25_000,
    redis_ttl_ms=40_000,
    degraded_ttl_ms=20_000,
    max_lag_ms=4_000,
    window_ms=WINDOW_MS,
    provisional_ttl_ms=1_000,
    lease_ttl_ms=1_000,
    lease_wait_ms=1_500,
)

SPREAD_LATE_MS: Final = 22_000

MIRROR: Final = MirrorOptions(
    gate_limit_ms=GATE_LIMIT_MS,
    heartbeat_ms=int(HEARTBEAT_MS * 0.8),
    settle_delays_ms=(500, 2_000),
    window_ms=WINDOW_MS,
    silence_ms=3_000,
    check_ms=3_000,
    source_late_ms=1_500,
)

BACKOFF_MAX_S: Final = 2.0
SETTLE_MS: Final = PROMISE_MS
"""After the last fault and the last write: everyone has the truth again, and every change its stamp (I3, I5).

A degraded life is not enough: the gap for entries that were deleted waits at the gate, and heartbeats go past what
waits there."""
