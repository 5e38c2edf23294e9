"""What a read returns, and what is counted on the way."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from versioning.verdict import Verdict


class Tier(StrEnum):
    """Where a served value came from."""

    LOCAL = "local"
    REDIS = "redis"
    LOADED = "loaded"
    STALE = "stale"
    """A superseded value, on purpose: while another reader refills it, or because the load budget is used up."""


class Read(NamedTuple):
    value: Any
    """None: not found."""
    tier: Tier
    stamp: int
    """The fill stamp: every change up to it is in the value."""
    verdict: Verdict
    age_ms: int | None
    """Time since its load began; None where the clock of the process that filled it runs ahead of ours."""


@dataclass(slots=True)
class Counters:
    """Plain integers, raised without a lock: threads may lose a count in a million, and a hit stays cheap."""

    local_fresh: int = 0
    """Apart from ``served``: the one that millions of reads per second raise."""
    served: dict[tuple[Tier, Verdict], int] = field(default_factory=dict)
    refused: dict[tuple[Tier, Verdict], int] = field(default_factory=dict)
    """Values found and not served: superseded (stale), or unknown and too old."""
    misses: int = 0
    """Reads that neither tier could serve."""
    loads: int = 0
    load_errors: int = 0
    coalesced: int = 0
    """Reads that joined a refill under way in this process."""
    lease_waits: int = 0
    """Reads that waited for a refill by another process, or for the load budget."""
    unleased_loads: int = 0
    """Loads without the lease: it came too late, or Redis was not there."""
    budget_waits: int = 0
    foreign_headers: int = 0
    unreadable_values: int = 0
    """The header was ours, the payload not readable by this serializer."""
    newer_kept: int = 0
    """Fills that found a newer value in Redis: it stayed."""
    redis_errors: int = 0

    def count_served(self, tier: Tier, verdict: Verdict, count: int = 1) -> None:
        self.served[tier, verdict] = self.served.get((tier, verdict), 0) + count

    def count_refused(self, tier: Tier, verdict: Verdict) -> None:
        self.refused[tier, verdict] = self.refused.get((tier, verdict), 0) + 1
