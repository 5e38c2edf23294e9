"""``CacheInfo`` for Prometheus. The library itself does not need prometheus_client: import this where you have it.

REGISTRY.register(CacheCollector(cache.info, dc="b"))
"""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from versioning.client import exposition
from versioning.client.info import ByTier, CacheInfo

PREFIX: Final = "stampline_cache"

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
}
_GAUGES: Final = {
    "keys": ("index_keys", "Keys that changed within the window"),
    "pending": ("pending_keys", "Keys whose data some replica lacks"),
    "local_entries": ("local_entries", "Values in the process"),
}


class CacheCollector(Collector):
    def __init__(self, info: Callable[[], CacheInfo], *, dc: str) -> None:
        self._info = info
        self._labels = {"dc": dc}

    def collect(self) -> Iterator[Metric]:
        info = self._info()
        yield self._by_tier("served", "Values served, by tier and verdict", info.served)
        yield self._by_tier("refused", "Values found but not served, by tier and verdict", info.refused)
        for name, text in _COUNTERS.items():
            yield exposition.counter(f"{PREFIX}_{name}", text, self._labels, getattr(info, name))
        yield exposition.counter(f"{PREFIX}_poisoned_entries", "Entries not decoded", self._labels, info.poisoned)
        text = "Links of the follower lost, by reason"
        yield exposition.counter_by_reason(f"{PREFIX}_reconnects", text, self._labels, (), info.reconnects_by_reason)
        for name, (title, text) in _GAUGES.items():
            yield self._gauge(title, text, getattr(info, name))
        yield self._gauge("follower_connected", "1 while the follower reads the stream", int(info.is_connected))
        yield self._gauge("lagging", "1 while nothing is vouched for", int(info.is_lagging))
        # No number is better than a wrong one: a time nobody knows is absent.
        if info.read_ms:
            yield self._gauge(
                "read_timestamp_seconds", "Unix time up to which the source has read", info.read_ms / 1000
            )
        if info.applied_ms:
            text = "Unix time up to which every replica has applied"
            yield self._gauge("applied_timestamp_seconds", text, info.applied_ms / 1000)
        yield from self._latencies(info)

    def _latencies(self, info: CacheInfo) -> Iterator[Metric]:
        text = "From an entry's stamp until this process knew"
        yield exposition.histogram(f"{PREFIX}_stream_latency_seconds", text, self._labels, info.latencies.stream)
        text = "From a commit until this process knew"
        yield exposition.histogram(f"{PREFIX}_commit_latency_seconds", text, self._labels, info.latencies.commit)

    def _gauge(self, title: str, text: str, value: float) -> Metric:
        return exposition.gauge(f"{PREFIX}_{title}", text, self._labels, value)

    def _by_tier(self, title: str, text: str, counts: ByTier) -> CounterMetricFamily:
        counter = CounterMetricFamily(f"{PREFIX}_{title}", text, labels=[*self._labels, "tier", "result"])
        for tier, verdicts in counts.items():
            for verdict, count in verdicts.items():
                counter.add_metric([*self._labels.values(), tier, verdict], count)
        return counter
