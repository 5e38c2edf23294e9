"""Putting a forced bump (P11) into a stream."""

from versioning import stamp as stamps
from versioning.backends.base import Append, StreamBackend
from versioning.bump import Bump
from versioning.client.nonces import new_nonces


async def append_bump(stream: StreamBackend, wanted: Bump, *, now_ms: int, above: int = stamps.ZERO) -> list[str]:
    """Append a checked bump; returns its stamps as text. Raises BackendError."""
    entries = wanted.entries(now_ms, new_nonces(wanted.entry_count))
    return [stamps.text(stamp) for stamp in await stream.append(Append(entries, clock_ms=now_ms, above=above))]
