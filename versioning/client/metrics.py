"""``CacheInfo`` for Prometheus. The library itself does not need prometheus_client; only this module imports it.

REGISTRY.register(CacheCollector(cache.info, dc="b"))
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from versioning.client.info import ByTier, CacheInfo

_COUNTERS: Final = {
    "misses": "Reads that neither the process nor Redis could serve",
    "loads": "Calls of loaders that returned",
    "load_errors": "Calls of loaders that raised, or whose value could not be serialised",
    "coalesced": "Reads that joined a refill under way in the process",
    "lease_waits": "Reads that waited for a refill by another process, or for the load budget",
    "unleased_loads": "Loads without a lease: it came too late, or Redis was not there",
    "budget_waits": "Waits for the load budget",
    "foreign_headers": "Values in Redis without our header, taken as misses",
    "unreadable_values": "Values in Redis that the serializer could not read, taken as misses",
    "newer_kept": "Fills that found a newer value in Redis, which stayed",
    "redis_errors": "Commands for cached values that failed",
    "breaks": "Breaks in the continuity of the stream",
    "reconnects": "Lost connections of the follower",
    "poisoned": "Entries that could not be decoded",
}
_GAUGES: Final = {
    "keys": ("index_keys", "Keys that changed within the window"),
    "pending": ("pending_keys", "Keys whose data some replica lacks"),
    "local_entries": ("local_entries", "Values in the process"),
}


class CacheCollector(Collector):
    def __init__(self, info: Callable[[], CacheInfo], *, dc: str) -> None:
        self._info = info
        self._dc = dc

    def collect(self) -> Iterator[Metric]:
        info = self._info()
        yield self._by_tier("served", "Values served, by tier and verdict", info.served)
        yield self._by_tier("refused", "Values found but not served, by tier and verdict", info.refused)
        for name, text in _COUNTERS.items():
            counter = CounterMetricFamily(f"stampline_cache_{name}", text, labels=["dc"])
            counter.add_metric([self._dc], getattr(info, name))
            yield counter
        for name, (title, text) in _GAUGES.items():
            yield self._gauge(title, text, getattr(info, name))
        yield self._gauge("connected", "1 while the follower reads the stream", int(info.is_connected))
        yield self._gauge("lagging", "1 while nothing is vouched for", int(info.is_lagging))
        if info.lag_ms is not None:
            yield self._gauge("lag_seconds", "How far the follower is behind the source", info.lag_ms / 1000)
        if info.replica_lag_ms is not None:
            yield self._gauge(
                "replica_lag_seconds", "How far the slowest replica is behind", info.replica_lag_ms / 1000
            )

    def _gauge(self, title: str, text: str, value: float) -> GaugeMetricFamily:
        gauge = GaugeMetricFamily(f"stampline_cache_{title}", text, labels=["dc"])
        gauge.add_metric([self._dc], value)
        return gauge

    def _by_tier(self, title: str, text: str, counts: ByTier) -> CounterMetricFamily:
        counter = CounterMetricFamily(f"stampline_cache_{title}", text, labels=["dc", "tier", "result"])
        for tier, verdicts in counts.items():
            for verdict, count in verdicts.items():
                counter.add_metric([self._dc, tier, verdict], count)
        return counter
