"""The sizing guide as formulas: from a cost measured at few followers to what hundreds of instances need. Pure.

u    keys changed per second            W   window, seconds           F   followers (one per process)
e    bytes of one key in an entry       h   heartbeats per second     E   bytes of a heartbeat entry on the wire
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Of one Redis with so many followers, at a steady rate of changes."""

    followers: int
    entries_per_s: float
    bytes_out_per_s: float
    redis_cpu: float
    """Share of one core."""
    bytes_per_entry: float
    """On the wire to one follower."""
    lag_p99_ms: float
    """From append to a follower's index."""


def follower_bandwidth(entries_per_s: float, bytes_per_entry: float) -> float:
    """Bytes per second to one follower: every entry once."""
    return entries_per_s * bytes_per_entry


def redis_out(followers: int, entries_per_s: float, bytes_per_entry: float) -> float:
    """Bytes per second out of one Redis: each follower gets everything."""
    return followers * follower_bandwidth(entries_per_s, bytes_per_entry)


def cpu_per_delivery(few: Measured, many: Measured) -> float:
    """Seconds of Redis CPU for one entry to one follower: the slope between two measurements."""
    delivered = many.followers * many.entries_per_s - few.followers * few.entries_per_s
    return max(many.redis_cpu - few.redis_cpu, 0.0) / delivered if delivered > 0 else 0.0


def followers_per_redis(cpu_limit: float, base_cpu: float, entries_per_s: float, per_delivery_s: float) -> float:
    """How many followers one Redis can feed before its one core is busy to ``cpu_limit``."""
    if per_delivery_s <= 0 or entries_per_s <= 0:
        return float("inf")
    return max(cpu_limit - base_cpu, 0.0) / (entries_per_s * per_delivery_s)


def index_bytes(keys_per_s: float, window_s: float, bytes_per_key: float) -> float:
    """Memory of one follower's index when no key changes twice: rate x window, never the number of keys that exist."""
    return keys_per_s * window_s * bytes_per_key


def stream_bytes(entries_per_s: float, window_s: float, bytes_per_entry: float) -> float:
    """Memory of the stream in Redis."""
    return entries_per_s * window_s * bytes_per_entry


def wan_bandwidth(mirrors: int, entries_per_s: float, bytes_per_entry: float) -> float:
    """Bytes per second over the WAN: mirrors read the stream, followers do not."""
    return mirrors * entries_per_s * bytes_per_entry
