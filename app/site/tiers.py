"""Where reads were served from, out of a web process's counters."""

from collections.abc import Mapping, Sequence

from app.site.models import TierRate
from versioning.read import Tier


def tier_rates(per_s: Mapping[str, float] | None) -> list[TierRate]:
    """Return every tier, busy or not; nothing where the counters were not seen twice."""
    if per_s is None:
        return []
    return _shared({tier: _sum(per_s, f"{tier}/") for tier in Tier})


def total(processes: Sequence[Sequence[TierRate]]) -> list[TierRate]:
    """Return the tiers of several processes as one."""
    seen = [tiers for tiers in processes if tiers]
    if not seen:
        return []
    rates = [rate for tiers in seen for rate in tiers]
    return _shared({tier: sum(rate.reads_per_s for rate in rates if rate.tier == tier) for tier in Tier})


def fresh_share(per_s: Mapping[str, float] | None) -> float | None:
    """Return the share of reads that were vouched for; None where there were none."""
    reads = _sum(per_s or {}, "")
    fresh = sum(rate for name, rate in (per_s or {}).items() if name.endswith("/fresh"))
    return fresh / reads if reads else None


def _sum(per_s: Mapping[str, float], prefix: str) -> float:
    return sum(rate for name, rate in per_s.items() if name.startswith(prefix) and "/" in name)


def _shared(by_tier: Mapping[str, float]) -> list[TierRate]:
    reads = sum(by_tier.values())
    return [TierRate(tier=t, reads_per_s=rate, share=rate / reads if reads else 0.0) for t, rate in by_tier.items()]
