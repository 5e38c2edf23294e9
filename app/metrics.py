"""What the version service knows, as Prometheus metrics: read at the scrape, nothing is counted twice."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from app.knowledge import Knowledge


class KnowledgeCollector(Collector):
    def __init__(self, knowledge: Knowledge, dc: str) -> None:
        self._knowledge = knowledge
        self._dc = dc

    def collect(self) -> Iterable[Metric]:
        knowledge, now = self._knowledge, self._knowledge.clock()
        index, stats = knowledge.index, knowledge.follower.stats
        lag_ms, replica_lag_ms = index.liveness.lag_ms(now), index.liveness.replica_lag_ms(now)
        # No number is better than a wrong one: a lag nobody knows is absent.
        if lag_ms is not None:
            yield self._gauge("lag_seconds", "Age of the source's last proof of life", lag_ms / 1000)
        if replica_lag_ms is not None:
            yield self._gauge(
                "replica_lag_seconds", "Age of what every listed replica has applied", replica_lag_ms / 1000
            )
        yield self._gauge("vouches", "1: lookups can be trusted", int(knowledge.doubt(now) is None))
        yield self._gauge("follower_connected", "1: the stream answers", int(stats.is_connected))
        yield self._gauge("index_keys", "Keys changed within the window", len(index))
        yield self._gauge("pending_keys", "Keys and namespaces some replica has not applied", index.pending_count)
        yield self._gauge("listeners", "Clients of /v1/stream", len(knowledge.fanout))
        yield self._counter("entries", "Entries followed", stats.entries)
        yield self._counter("breaks", "Breaks of the stream's continuity", stats.breaks)
        yield self._counter("poisoned_entries", "Entries that could not be decoded", stats.poisoned)
        yield self._counter("reconnects", "Links to the stream lost", stats.reconnects)
        yield self._counter(
            "slow_listeners", "Clients of /v1/stream let go because they did not keep up", knowledge.fanout.slow_count
        )

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"stampline_service_{name}", text, labels=["dc"])
        family.add_metric([self._dc], value)
        return family

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(f"stampline_service_{name}", text, labels=["dc"])
        family.add_metric([self._dc], value)
        return family


def registry(*collectors: Collector) -> CollectorRegistry:
    """A registry of its own: several services in one process (tests) do not meet."""
    made = CollectorRegistry()
    for collector in collectors:
        made.register(collector)
    return made
