"""Plain numbers as Prometheus families: the one form in which all roles export theirs. Read at the scrape."""

import platform
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from versioning.client.installed import installed_version
from versioning.histogram import BOUNDS_MS, Histogram

Labels = Mapping[str, str]

_BOUNDS = (*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf")


def gauge(name: str, text: str, labels: Labels, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counter(name: str, text: str, labels: Labels, value: float) -> Metric:
    family = CounterMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def counter_by_reason(name: str, text: str, labels: Labels, known: Iterable[str], counts: Mapping[str, int]) -> Metric:
    """Known reasons begin at zero: Prometheus sees no increase in a series that appears with its first count."""
    family = CounterMetricFamily(name, text, labels=[*labels, "reason"])
    for reason, count in (dict.fromkeys(known, 0) | dict(counts)).items():
        family.add_metric([*labels.values(), reason], count)
    return family


def histogram(name: str, text: str, labels: Labels, found: Histogram) -> Metric:
    family = HistogramMetricFamily(name, text, labels=list(labels))
    # Taken together: another thread may count meanwhile.
    taken = found.copy()
    buckets = list(zip(_BOUNDS, accumulate(taken.counts), strict=True))
    family.add_metric(list(labels.values()), buckets, taken.sum_ms / 1000)
    return family


class BuildCollector(Collector):
    """``stampline_build_info``: once per process, whatever it does."""

    def collect(self) -> Iterator[Metric]:
        info = {"version": installed_version(), "python": platform.python_version()}
        yield InfoMetricFamily("stampline_build", "1; which stampline runs on which Python", value=info)


def new_registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of its own: several roles in one process (tests) do not meet."""
    made = CollectorRegistry()
    ProcessCollector(registry=made)
    for collector in (BuildCollector(), *collectors):
        made.register(collector)
    return made
