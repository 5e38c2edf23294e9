"""The limits of a world that lives `scale` times faster, and what it promises then.

Divided by the scale: TTLs, window, degraded_ttl, max_lag, provisional_ttl, the gate's limit, the spread of generations,
and with them the promise (300 s), the time to converge (60 s) and the length of the faults. Three stop where they
would fall below what two busy cores can hold: max_lag at 750 ms, heartbeats at 50 ms, and the window, which keeps room
for the gate's default limit. Fixed in the product, and therefore not scaled: the source's read timeout (10 s), the
mirror's silence limit (5 s), back-offs (5 s at most), the cover time of a start (5 s), the slack of a replay (60 s).
They lengthen the recovery, hence the slack of I5; they never lengthen staleness.
"""

import math
from dataclasses import dataclass

from versioning import limits
from versioning.limits import PROMISE_MS

MAX_LAG_MS_MIN = 750
HEARTBEAT_MS = 500
HEARTBEAT_MS_MIN = 50
CONVERGENCE_S = 60.0
FAULT_S = 120.0
LONG_FAULT_S = 360.0  # Longer than the promise: whoever serves a value of before the fault breaks it.
FIXED_TIMEOUTS_S = 20.0
"""Slack of I5: a read timeout of 10 s, two back-offs of 5 s."""


@dataclass(frozen=True)
class Limits:
    scale: float = 20.0

    def _ms(self, value_ms: float, least_ms: int = 1) -> int:
        return max(round(value_ms / self.scale), least_ms)

    @property
    def promise_s(self) -> float:
        """I1: no value served lacks a commit older than this."""
        return PROMISE_MS / 1000 / self.scale

    @property
    def convergence_s(self) -> float:
        return CONVERGENCE_S / self.scale + FIXED_TIMEOUTS_S

    @property
    def fault_s(self) -> float:
        return FAULT_S / self.scale

    @property
    def long_fault_s(self) -> float:
        return LONG_FAULT_S / self.scale

    @property
    def max_lag_ms(self) -> int:
        return self._ms(limits.MAX_LAG_MS, MAX_LAG_MS_MIN)

    @property
    def degraded_ttl_ms(self) -> int:
        return self._ms(limits.DEGRADED_TTL_MS)

    @property
    def provisional_ttl_ms(self) -> int:
        return self._ms(limits.PROVISIONAL_TTL_MS)

    @property
    def redis_ttl_ms(self) -> int:
        return self._ms(limits.REDIS_TTL_MS)

    @property
    def window_s(self) -> int:
        least_ms = self.redis_ttl_ms + limits.GATE_LIMIT_MS + limits.CLOCK_ERROR_MS
        return math.ceil(max(limits.WINDOW_MS / self.scale, least_ms) / 1000)

    def settings(self, command: str) -> dict[str, int]:
        """Return what a role's file must say, as `section.key`."""
        heartbeat_ms = self._ms(HEARTBEAT_MS, HEARTBEAT_MS_MIN)
        roles = {
            "source": {
                "source.heartbeat_ms": heartbeat_ms,
                "source.generation_spread_ms": self._ms(limits.GENERATION_SPREAD_MS),
            },
            "mirror": {"mirror.heartbeat_ms": heartbeat_ms, "mirror.gate_limit_ms": self._ms(limits.GATE_LIMIT_MS)},
            "serve": {"serve.max_lag_ms": self.max_lag_ms},
            "toc": {
                "toc.local_ttl_ms": self._ms(limits.LOCAL_TTL_MS),
                "toc.redis_ttl_ms": self.redis_ttl_ms,
                "toc.degraded_ttl_ms": self.degraded_ttl_ms,
                "toc.provisional_ttl_ms": self.provisional_ttl_ms,
                "toc.max_lag_ms": self.max_lag_ms,
            },
        }
        return {"stream.window_s": self.window_s, **roles[command]}
