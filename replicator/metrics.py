"""Counts of a source or a mirror as Prometheus metrics, read at the scrape. Labels: dc, reason, gate; never a key."""

from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from replicator.mirror.options import MirrorStats
from replicator.source.stats import SourceStats

GAUGES: Final = frozenset({"held", "pending", "is_connected", "is_up"})
TIMES: Final = {"read_ms": "read_timestamp_seconds", "applied_ms": "applied_timestamp_seconds"}
"""Unix times: their age is the lag, and Prometheus has the better clock for that."""

BY_REASON: Final = {"breaks_by_reason": "breaks_by_reason", "reconnects_by_reason": "reconnects"}
NOT_NUMBERS: Final = frozenset({"last_error", "gates", "applied"})


class StatsCollector(Collector):
    def __init__(self, role: str, stats: SourceStats | MirrorStats, dc: str) -> None:
        self._prefix = f"stampline_{role}"
        self._stats = stats
        self._dc = dc

    def collect(self) -> Iterable[Metric]:
        yield from self._families(self._prefix, [({"dc": self._dc}, self._stats)])
        yield from self._by_reason()
        gates = getattr(self._stats, "gates", {})
        yield from self._families(f"{self._prefix}_gate", [({"dc": self._dc, "gate": n}, g) for n, g in gates.items()])

    def _families(self, prefix: str, labelled: list[tuple[dict[str, str], Any]]) -> Iterator[Metric]:
        if not labelled:
            return
        labels, first = labelled[0]
        for name in (field.name for field in fields(first)):
            if name in BY_REASON or name in NOT_NUMBERS:
                continue
            family = _family(prefix, name, list(labels))
            for values, stats in labelled:
                value = getattr(stats, name)
                family.add_metric(list(values.values()), value / 1000 if name in TIMES else value)
            yield family

    def _by_reason(self) -> Iterator[Metric]:
        for name, shown in BY_REASON.items():
            counts: dict[str, int] = getattr(self._stats, name, {})
            if not counts:
                continue
            family = CounterMetricFamily(f"{self._prefix}_{shown}", _words(shown), labels=["dc", "reason"])
            for reason, count in counts.items():
                family.add_metric([self._dc, reason], count)
            yield family


def _family(prefix: str, name: str, labels: list[str]) -> GaugeMetricFamily | CounterMetricFamily:
    if name in TIMES:
        return GaugeMetricFamily(f"{prefix}_{TIMES[name]}", f"Unix time: {_words(name)}", labels=labels)
    if name in GAUGES:
        return GaugeMetricFamily(f"{prefix}_{name.removeprefix('is_')}", _words(name), labels=labels)
    return CounterMetricFamily(f"{prefix}_{name}", _words(name), labels=labels)


def _words(name: str) -> str:
    return name.removesuffix("_ms").replace("_", " ")


def registry(role: str, stats: SourceStats | MirrorStats, dc: str) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(StatsCollector(role, stats, dc))
    return made
