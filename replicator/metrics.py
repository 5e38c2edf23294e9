"""Counts of a source or a mirror as Prometheus metrics, read at the scrape. Labels: dc, reason, gate; never a key.

Every field of the stats is in a table of ``replicator.metric_names``, or in ``NOT_EXPORTED`` with its reason; a test
holds that.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from replicator.metric_names import BY_REASON, COUNTERS, GATE, GAUGES, HISTOGRAMS, RENAMED, TIMES
from replicator.mirror.options import GateStats, MirrorStats
from replicator.source.stats import SourceStats
from versioning.client import exposition
from versioning.client.exposition import new_registry

NOT_EXPORTED: Final = {
    "last_error": "text: it is in the log, and may name servers",
    "last_reason": "text: the counters by reason have it",
    "gates": "exported one by one",
    "applied": "a position is no number",
    "breaks": "the sum of breaks_by_reason",
}


class StatsCollector(Collector):
    def __init__(self, role: str, stats: SourceStats | MirrorStats, dc: str) -> None:
        self._prefix = f"stampline_{role}"
        self._stats = stats
        self._labels = {"dc": dc}

    def collect(self) -> Iterable[Metric]:
        for field, text in COUNTERS.items():
            yield from self._one(exposition.counter, field, RENAMED.get(field, field), text)
        for field, (shown, text) in GAUGES.items():
            yield from self._one(exposition.gauge, field, shown, text)
        for field, (shown, text) in HISTOGRAMS.items():
            yield from self._one(exposition.histogram, field, shown, text)
        for field, (shown, text) in TIMES.items():
            if hasattr(self._stats, field):
                yield exposition.gauge(
                    f"{self._prefix}_{shown}", text, self._labels, getattr(self._stats, field) / 1000
                )
        for field, (shown, text, known) in BY_REASON.items():
            if hasattr(self._stats, field):
                name, counts = f"{self._prefix}_{shown}", getattr(self._stats, field)
                yield exposition.counter_by_reason(name, text, self._labels, known, counts)
        yield from self._gates(getattr(self._stats, "gates", {}))

    def _one(self, make: Any, field: str, shown: str, text: str) -> Iterator[Metric]:
        if hasattr(self._stats, field):
            yield make(f"{self._prefix}_{shown}", text, self._labels, getattr(self._stats, field))

    def _gates(self, gates: Mapping[str, GateStats]) -> Iterator[Metric]:
        for field, (shown, text) in GATE.items() if gates else ():
            make = GaugeMetricFamily if field.startswith("is_") else CounterMetricFamily
            family = make(f"{self._prefix}_gate_{shown}", text, labels=[*self._labels, "gate"])
            for name, stats in gates.items():
                family.add_metric([*self._labels.values(), name], getattr(stats, field))
            yield family


def registry(role: str, stats: SourceStats | MirrorStats, dc: str) -> CollectorRegistry:
    return new_registry(StatsCollector(role, stats, dc))
