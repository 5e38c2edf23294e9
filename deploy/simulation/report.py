"""The demo's result: as JSON for machines, as a table for people, and whether it kept the promise."""

from dataclasses import dataclass
from typing import Any

from deploy.simulation.configs import TOCS, TTL_ONLY
from deploy.simulation.counters import CacheCounts
from deploy.simulation.load import Load, Update
from deploy.simulation.staleness import percentile

SLOWEST_SHOWN = 5
FIRST_SHOWN = 10


@dataclass(frozen=True)
class Measured:
    load: Load
    counts: CacheCounts
    redis_commands_per_read: float
    bound_ms: float
    seconds: float

    @property
    def all_ms(self) -> list[float]:
        """Propagation of every update to every ToC that showed it."""
        return [ms for update in self.load.updates for ms in update.fresh_after_ms.values()]

    @property
    def unseen(self) -> list[Update]:
        return [update for update in self.load.updates if len(update.fresh_after_ms) < len(TOCS)]

    @property
    def staleness_ms(self) -> list[float]:
        return [ms for name in TOCS for ms in self.load.reads[name].staleness_ms]

    @property
    def bound_violations(self) -> int:
        return sum(ms > self.bound_ms for ms in self.staleness_ms)

    @property
    def errors(self) -> int:
        return sum(self.load.reads[name].errors for name in TOCS)

    @property
    def is_kept(self) -> bool:
        return bool(self.load.updates) and not self.unseen and not self.bound_violations and not self.errors


def as_json(measured: Measured) -> dict[str, Any]:
    """Times in ms. A read is stale when it was served a value superseded for longer than the pipeline's p99."""
    load, all_ms = measured.load, measured.all_ms
    p99 = percentile(all_ms, 0.99)
    ttl_only = load.reads[TTL_ONLY]
    return {
        "seconds": measured.seconds,
        "wan_one_way_ms": load.world.wan_ms,
        "updates": len(load.updates),
        "updates_unseen": len(measured.unseen),
        "reads": sum(load.reads[name].count for name in TOCS),
        "read_errors": measured.errors,
        "propagation_ms": _summary(all_ms),
        "stale_reads": sum(ms > p99 for ms in measured.staleness_ms),
        "max_staleness_ms": round(max(measured.staleness_ms, default=0.0), 1),
        "bound_ms": measured.bound_ms,
        "bound_violations": measured.bound_violations,
        "hit_rate": round(measured.counts.hit_rate, 4),
        "db_loads_per_update": round(measured.counts.loads / max(len(load.updates), 1), 3),
        "redis_commands_per_redis_read": round(measured.redis_commands_per_read, 4),
        "ttl_only": {
            "reads": ttl_only.count,
            "stale_reads": sum(ms > p99 for ms in ttl_only.staleness_ms),
            "max_staleness_ms": round(max(ttl_only.staleness_ms, default=0.0), 1),
        },
        "per_update": [
            {"tracker": u.tracker, "version": u.version, **{n: round(ms, 1) for n, ms in u.fresh_after_ms.items()}}
            for u in load.updates
        ],
    }


def as_text(measured: Measured) -> str:
    report = as_json(measured)
    slowest = sorted(measured.load.updates, key=_slowest_ms, reverse=True)[:SLOWEST_SHOWN]
    lines = ["", "Milliseconds from commit in A to the first fresh read in B", "", _row("update", *TOCS)]
    lines += [_update_row(update) for update in measured.load.updates[:FIRST_SHOWN]]
    lines += [
        f"  ... {len(measured.load.updates)} updates in all; the slowest:",
        *(_update_row(u) for u in slowest),
        "",
    ]
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        lines.append(_row(name, *(f"{percentile(_of(measured, toc), share):.1f}" for toc in TOCS)))
    lines += ["", _row("", "stampline", "TTL only")]
    ttl_only = report["ttl_only"]
    lines += [
        _row("reads checked", report["reads"], ttl_only["reads"]),
        _row("stale reads", report["stale_reads"], ttl_only["stale_reads"]),
        _row("max staleness, ms", report["max_staleness_ms"], f"{ttl_only['max_staleness_ms']:.0f} *"),
        _row("hit rate", f"{report['hit_rate']:.1%}", ""),
        _row("loads per update", report["db_loads_per_update"], ""),
        _row("Redis commands per Redis read", report["redis_commands_per_redis_read"], ""),
        "",
        f"* in a run of {measured.seconds:.0f} s; with a TTL of 15 + 30 minutes it goes on growing",
        f"A read is stale when its value had been superseded longer than p99, {report['propagation_ms']['p99']} ms.",
        "Deleted from any cache: nothing.",
        "",
        _verdict(measured),
    ]
    return "\n".join(lines)


def _verdict(measured: Measured) -> str:
    updates = len(measured.load.updates)
    if measured.is_kept:
        return f"KEPT: all {updates} updates seen by every ToC, no read staler than {measured.bound_ms:.0f} ms."
    return (
        f"BROKEN: {len(measured.unseen)} of {updates} updates not seen by every ToC, {measured.bound_violations} reads"
        f" staler than {measured.bound_ms:.0f} ms, {measured.errors} reads failed."
    )


def _summary(values: list[float]) -> dict[str, float]:
    return {name: round(percentile(values, share), 1) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def _of(measured: Measured, toc: str) -> list[float]:
    return [u.fresh_after_ms[toc] for u in measured.load.updates if toc in u.fresh_after_ms]


def _slowest_ms(update: Update) -> float:
    return max(update.fresh_after_ms.values()) if len(update.fresh_after_ms) == len(TOCS) else float("inf")


def _update_row(update: Update) -> str:
    cells = (f"{update.fresh_after_ms[toc]:.1f}" if toc in update.fresh_after_ms else "never" for toc in TOCS)
    return _row(f"tracker {update.tracker} v{update.version}", *cells)


def _row(name: str, *cells: object) -> str:
    return f"  {name:<30}" + "".join(f"{cell!s:>14}" for cell in cells)
