"""What one cell measured, and which invariants it broke. Pure: the verdict can be tested without a world.

I1: no certain staleness of the cache above the promise (what the replica lags is reported beside it)
I3: every commit covered by a stamp in stream B, or a gap
I5: after the last write, every ToC returns the database's value for all keys in time, and nobody is unwell
I6: loads <= 1.5 * processes * (updates + keys * (1 + watched / (0.7 * degraded_ttl))); `processes` is 1 where Redis B
    holds what one of them has filled, else all; keys are all rows. Where the replica may fall behind the stamps, a key
    may be pending: each of its reads may be a load besides, once per provisional_ttl
I7: every read is answered, but those of a process that is itself the victim, or that has to load from a MySQL B that
    is away
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.simulation.chaos.readers import Meter
from deploy.simulation.chaos.stamps import Coverage
from deploy.simulation.chaos.world import VICTIM
from deploy.simulation.chaos.writers import ROWS
from deploy.simulation.configs import TOCS
from versioning.limits import DEGRADED_JITTER_MIN

LOADS_SLACK = 1.5
"""Leases that time out, loads that a fault makes twice."""

LOSES_VALUES = ("redis-b",)
DELAYS_REPLICA = ("replica", "mysql-a", "mysql-b", "wan")
LOSES_DATABASE = ("mysql-b",)


@dataclass(frozen=True)
class Cell:
    component: str
    fault: str
    load: str

    def __str__(self) -> str:
        return f"{self.component} {self.fault} {self.load}"


@dataclass(frozen=True)
class CellResult:
    cell: Cell
    promise_s: float
    degraded_ttl_s: float
    provisional_ttl_s: float
    fault_s: float
    watched_s: float
    """From the fault to the end of the load: what the counts below cover."""
    meters: dict[str, Meter]
    reads_of: Mapping[int, int]
    """Row -> reads."""
    loads: int
    detected_s: float | None
    """After the fault; None when nobody noticed anything."""
    detected_by: str
    recovered_s: float | None
    """After the heal; None: not in time."""
    converged_s: float | None
    """After the last write; None: not in time."""
    stamps: Coverage

    @property
    def reads(self) -> int:
        return sum(meter.reads for meter in self.meters.values())

    @property
    def certain_s(self) -> float:
        return max(meter.own.certain_max_s for meter in self.meters.values())

    @property
    def worst_s(self) -> float:
        return max(meter.own.worst_max_s for meter in self.meters.values())

    @property
    def whole_s(self) -> float:
        """For certain, with the replica's lag."""
        return max(meter.whole.certain_max_s for meter in self.meters.values())

    @property
    def errors(self) -> int:
        """Of reads that the fault does not excuse."""
        return sum(meter.errors for name, meter in self.meters.items() if not self._is_excused(name))

    @property
    def excused(self) -> int:
        return sum(meter.errors for name, meter in self.meters.items() if self._is_excused(name))

    @property
    def p99_ms(self) -> float:
        """Of the slowest ToC that is not the victim."""
        names = [name for name in TOCS if self.cell.component != "toc" or name != VICTIM]
        return max(self.meters[name].percentile_ms(0.99) for name in names)

    @property
    def loads_max(self) -> float:
        processes = len(TOCS) if self.cell.component in LOSES_VALUES else 1
        rounds = 1 + self.watched_s / (DEGRADED_JITTER_MIN * self.degraded_ttl_s)
        settled = LOADS_SLACK * processes * (self.stamps.commits + ROWS * rounds)
        return settled + (self._pending_loads_max if self.cell.component in DELAYS_REPLICA else 0)

    @property
    def _pending_loads_max(self) -> float:
        lives = self.watched_s / self.provisional_ttl_s
        return sum(min(reads, lives) for reads in self.reads_of.values())

    @property
    def violations(self) -> list[str]:
        found = []
        if count := sum(meter.own.violations for meter in self.meters.values()):
            found.append(f"I1: {count} reads staler than {self.promise_s:g} s, up to {self.certain_s:.1f} s")
        if self.stamps.lost:
            found.append(f"I3: {self.stamps.lost} of {self.stamps.commits} commits without a stamp")
        if self.converged_s is None:
            found.append("I5: not converged in time")
        elif self.recovered_s is None:
            found.append("I5: somebody is still unwell")
        if self.loads > self.loads_max:
            found.append(f"I6: {self.loads} loads, the bound is {self.loads_max:.0f}")
        if self.errors:
            found.append(f"I7: {self.errors} of {self.reads} reads failed")
        return found

    def _is_excused(self, toc: str) -> bool:
        component = self.cell.component
        return component in LOSES_DATABASE or (component == "toc" and toc == VICTIM)

    def as_json(self) -> dict[str, Any]:
        return {
            "component": self.cell.component,
            "fault": self.cell.fault,
            "load": self.cell.load,
            "fault_s": _rounded(self.fault_s),
            "reads": self.reads,
            "staleness_certain_s": _rounded(self.certain_s),
            "staleness_worst_s": _rounded(self.worst_s),
            "staleness_with_replica_lag_s": _rounded(self.whole_s),
            "stalest_read": max(self.meters.values(), key=lambda meter: meter.own.certain_max_s).stalest,
            "stale_reads": sum(meter.own.stale for meter in self.meters.values()),
            "inconclusive_reads": sum(meter.own.inconclusive for meter in self.meters.values()),
            "read_errors": self.errors,
            "read_errors_excused": self.excused,
            "read_p99_ms": self.p99_ms,
            "loads": self.loads,
            "loads_max": round(self.loads_max),
            "detected_s": _rounded(self.detected_s),
            "detected_by": self.detected_by,
            "recovered_s": _rounded(self.recovered_s),
            "converged_s": _rounded(self.converged_s),
            "commits": self.stamps.commits,
            "stamps_lost": self.stamps.lost,
            "stamps_by_gap": self.stamps.by_gap,
            "stamps_duplicate": self.stamps.duplicates,
            "violations": self.violations,
        }


def _rounded(value_s: float | None) -> float | None:
    return None if value_s is None else round(value_s, 2)
