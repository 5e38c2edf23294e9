"""The tally as Prometheus metrics, read at the scrape. Labels: dc, namespace, after_s, result; never a key."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from replicator.audit.judge import Result
from replicator.audit.tally import Tally
from versioning.client.exposition import new_registry


class TallyCollector(Collector):
    def __init__(self, tally: Tally, dc: str) -> None:
        self._tally = tally
        self._dc = dc

    def collect(self) -> Iterator[Metric]:
        looks = CounterMetricFamily(
            "stampline_audit_looks", "Looks at changed keys, by delay and result",
            labels=["dc", "namespace", "after_s", "result"],
        )  # fmt: skip
        fraction = GaugeMetricFamily(
            "stampline_audit_consistent_ratio", "Fraction of the compared values that were consistent",
            labels=["dc", "namespace", "after_s"],
        )  # fmt: skip
        for row in self._tally.rows():
            place = [self._dc, row.namespace, f"{row.after_s:g}"]
            for result in Result:
                looks.add_metric([*place, result], getattr(row, result))
            if row.fraction is not None:
                fraction.add_metric(place, row.fraction)
        yield looks
        yield fraction


def registry(tally: Tally, dc: str) -> CollectorRegistry:
    return new_registry(TallyCollector(tally, dc))
