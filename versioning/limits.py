"""The protocol's limits, and why each has its value (DESIGN.md, Rules).

Lives of values, the window, the limits of lag and gate, and the size and spread of what a source appends can be set:
these are the defaults. The rest is fixed, for all processes must agree on it.
"""

from typing import Final

PROMISE_MS: Final = 300_000
"""No value is served that lacks a commit older than this, whatever is broken (invariant I1)."""

LOCAL_TTL_MS: Final = 15 * 60_000
REDIS_TTL_MS: Final = 30 * 60_000

WINDOW_MS: Final = 35 * 60_000
"""How long a change must be remembered: Redis TTL (30 min) + the gate's limit + clock error, rounded up to minutes."""

MAX_LAG_MS: Final = 15_000
"""Above this lag a follower vouches for nothing: thirty missed heartbeats, longer than a healthy process pauses."""

DEGRADED_TTL_MS: Final = 240_000
"""An UNKNOWN value is served for so long since it was last proven current; what else adds to that stays below 60 s."""

DEGRADED_JITTER_MIN: Final = 0.7
"""The times at which UNKNOWN values end spread over [0.7, 1] of the limit, so that a fault makes no storm."""

FOUND_MS: Final = (PROMISE_MS - DEGRADED_TTL_MS) // 2
"""What was found is handed out within this time, while other keys are loaded, or is looked at once more."""

PROVISIONAL_TTL_MS: Final = 2_000
"""Life of a value loaded while its key is pending: the load may have read a replica that lags."""

GATE_LIMIT_MS: Final = 10_000
"""Longest time an entry waits for replicas before it goes on as pending."""

CLOCK_ERROR_MS: Final = 1_000
"""Clocks of all machines agree within this (DESIGN.md, Invariants)."""

LOSS_LEAD_MS: Final = 2_000
"""After a failover, restart or flush the next stamps begin this far ahead, above every stamp that may have been lost,
even with clocks 1 s apart."""

REPLAY_SLACK_MS: Final = 60_000
"""Largest replica lag a replay allows for: a value filled at f may lack commits back to f - replica lag."""

CLOCK_LEAD_MAX_MS: Final = 60_000
"""A writer's clock further ahead of Redis's than this is wrong, and must not drag the stamps along."""

OVERTAKEN_MAX_MS: Final = 60_000
"""A fill leaves a value with a newer fill stamp alone (with the same: a later fill time), unless that is further ahead:
of a lost or foreign history, or a wrong clock."""

FUTURE_MS: Final = 60_000
"""A fill stamp this far above a follower's watermark does not come from the follower's stream."""

MAX_KEYS: Final = 100_000
"""A transaction with more keys than this becomes generations: bounded memory in the source and in every index."""

KEYS_PER_ENTRY: Final = 500
"""Keys in one entry: keeps an entry near 32 KiB, so that one append blocks Redis for well under a millisecond."""

KEY_BYTES_MAX: Final = 512

GENERATION_SPREAD_MS: Final = 30_000
"""Spread of a generation the source makes by itself (DDL, TRUNCATE, a huge transaction)."""

SPREAD_MAX_MS: Final = DEGRADED_TTL_MS
"""A spread delays staleness detection by itself, so it counts against the promise."""

SPREAD_LATE_MS: Final = SPREAD_MAX_MS + MAX_LAG_MS
"""A generation that ends this long after its commit came behind an outage: longer than the longest spread and the lag
up to which readers vouch, so that they had ceased to."""

COLD_MS: Final = 30_000
"""A key that a process has not read for this long, and that did not change, is loaded without a lease: of 300 processes
with a load of 20 ms, another one loads it at the same time once in five loads at most."""
