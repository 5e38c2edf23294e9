"""What a comparison with the index can say of a cached value (P6)."""

from enum import Enum


class Verdict(Enum):
    FRESH = "fresh"
    """No newer stamp exists, and the follower can vouch for that."""
    STALE = "stale"
    """A proof: a newer stamp exists. Said even while lagging."""
    UNKNOWN = "unknown"
    """No proof either way: served up to ``degraded_ttl`` after it was known to be current, else a miss."""
