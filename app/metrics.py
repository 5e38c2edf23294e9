"""What the version service knows, as Prometheus metrics: read at the scrape, nothing is counted twice."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from app.knowledge import Knowledge
from versioning.client import exposition
from versioning.client.exposition import histogram

PREFIX = "stampline_service"


class KnowledgeCollector(Collector):
    def __init__(self, knowledge: Knowledge, dc: str) -> None:
        self._knowledge = knowledge
        self._labels = {"dc": dc}

    def collect(self) -> Iterable[Metric]:
        knowledge, now = self._knowledge, self._knowledge.clock()
        index, stats, live = knowledge.index, knowledge.follower.stats, knowledge.index.liveness
        # No number is better than a wrong one: a time nobody knows is absent.
        if live.read_ms:
            yield self._gauge(
                "read_timestamp_seconds", "Unix time up to which the source has read", live.read_ms / 1000
            )
        if live.applied_ms:
            yield self._gauge(
                "applied_timestamp_seconds", "Unix time up to which every replica has applied", live.applied_ms / 1000
            )
        yield self._gauge("vouches", "1: lookups can be trusted", int(knowledge.doubt(now) is None))
        yield self._gauge("follower_connected", "1: the stream answers", int(stats.is_connected))
        yield self._gauge("index_keys", "Keys changed within the window", len(index))
        yield self._gauge("pending_keys", "Keys and namespaces some replica has not applied", index.pending_count)
        yield self._gauge("listeners", "Clients of /v1/stream", len(knowledge.fanout))
        yield self._counter("entries", "Entries followed", stats.entries)
        yield self._counter("breaks", "Breaks of the stream's continuity", stats.breaks)
        yield self._counter("poisoned_entries", "Entries that could not be decoded", stats.poisoned)
        yield exposition.counter_by_reason(
            f"{PREFIX}_reconnects", "Links to the stream lost, by reason", self._labels, (), stats.reconnects_by_reason
        )
        yield self._counter(
            "slow_listeners", "Clients of /v1/stream let go because they did not keep up", knowledge.fanout.slow_count
        )
        text = "From an entry's stamp until it was followed"
        yield histogram(f"{PREFIX}_stream_latency_seconds", text, self._labels, stats.latencies.stream)
        text = "From a commit until its entry was followed"
        yield histogram(f"{PREFIX}_commit_latency_seconds", text, self._labels, stats.latencies.commit)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        return exposition.gauge(f"{PREFIX}_{name}", text, self._labels, value)

    def _counter(self, name: str, text: str, value: float) -> Metric:
        return exposition.counter(f"{PREFIX}_{name}", text, self._labels, value)
