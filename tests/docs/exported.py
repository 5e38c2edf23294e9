"""What the roles really export: every collector of ours, with everything it can have counted once."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from app.knowledge import Knowledge
from app.metrics import KnowledgeCollector
from replicator.audit.judge import EQUAL
from replicator.audit.metrics import registry as audit_registry
from replicator.audit.tally import Tally
from replicator.metrics import registry as replicator_registry
from replicator.mirror.options import GateStats, MirrorStats
from replicator.source.stats import SourceStats
from versioning.backends.memory import MemoryStream
from versioning.client.clock import system_clock
from versioning.client.core import CacheCore
from versioning.client.exposition import new_registry
from versioning.client.follower import FollowerStats
from versioning.client.metrics import CacheCollector
from versioning.index import Index
from versioning.options import CacheOptions
from versioning.read import Tier
from versioning.verdict import Verdict

DC = "b"


@dataclass(frozen=True)
class Exported:
    name: str
    """As a query spells it: with ``_total``, without a histogram's suffixes."""
    kind: str
    labels: tuple[str, ...]


def exported() -> dict[str, Exported]:
    """Every metric of ours by name; those of the process itself, which every client library exports, left out."""
    found: dict[str, Exported] = {}
    for registry in _registries():
        for family in registry.collect():
            if family.name.startswith("stampline_"):
                metric = _exported(family)
                found[metric.name] = metric
    return found


def _registries() -> list[CollectorRegistry]:
    mirror = MirrorStats(gates={"replica-b1": GateStats()})
    tally = Tally()
    tally.add("item", 1.0, EQUAL)
    knowledge = Knowledge(MemoryStream(lambda: 1), Index())
    knowledge.index.liveness.beat(1, 1, knowledge.clock())
    return [
        replicator_registry("source", SourceStats(), DC),
        replicator_registry("mirror", mirror, DC),
        audit_registry(tally, DC),
        new_registry(KnowledgeCollector(knowledge, DC)),
        new_registry(_cache()),
    ]


def _cache() -> CacheCollector:
    core = CacheCore(CacheOptions(), None, system_clock)
    core.index.liveness.beat(1, 1, system_clock())
    core.counters.count_served(Tier.LOCAL, Verdict.FRESH)
    core.counters.count_refused(Tier.REDIS, Verdict.STALE)
    return CacheCollector(lambda: core.info(FollowerStats()), dc=DC)


def _exported(family: Metric) -> Exported:
    if not family.samples:
        raise AssertionError(f"{family.name} shows no sample: its labels cannot be seen")
    labels = tuple(label for label in family.samples[0].labels if label != "le")
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return Exported(family.name + suffix, family.type, labels)
