"""Durations as one says them, in a terminal and on the dashboard."""


def spoken(ms: int | None) -> str:
    """Return a duration as one would say it: "0.4 s", "12 s", "3 min"."""
    if ms is None:
        return "an unknown time"
    if ms < 10_000 and ms % 1000:
        return f"{ms / 1000:.1f} s"
    if ms < 300_000:
        return f"{ms // 1000} s"
    return f"{ms // 60_000} min" if ms < 7_200_000 else f"{ms // 3_600_000} h"


def lag_text(lag_ms: int | None) -> str:
    """Return why a follower vouches for nothing, given its lag; None: it knows of no heartbeat."""
    return "lagging: no heartbeat was ever seen" if lag_ms is None else f"lagging: {lag_ms} ms behind the source"
