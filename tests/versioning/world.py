"""Entries in a row, linked as the append script links them, and a clock to judge them by."""

from versioning import stamp as stamps
from versioning.entries import Entry, Heartbeat, ReadBody
from versioning.liveness import Now

START_MS = 1_700_000_000_000


def at(second: float, *, monotonic: float | None = None) -> Now:
    """Return both clocks ``second`` after the start; ``monotonic`` where they disagree."""
    return Now(START_MS + int(second * 1000), int((second if monotonic is None else monotonic) * 1000))


def stamp_at(second: float) -> int:
    return stamps.make(START_MS + int(second * 1000))


def beat_at(second: float) -> Heartbeat:
    return Heartbeat(START_MS + int(second * 1000))


def history(*bodies: tuple[float, ReadBody], previous: str = "", name: str = "n") -> list[Entry]:
    """Return entries at the given seconds, each naming the nonce of the one before."""
    entries = []
    for number, (second, body) in enumerate(bodies):
        nonce = f"{name}{number}"
        entries.append(Entry(stamp_at(second), nonce, previous, body))
        previous = nonce
    return entries
