"""Putting a forced bump (P11) into a stream."""

from versioning import stamp as stamps
from versioning.backends.base import Append, StreamBackend, UnavailableError
from versioning.bump import Bump
from versioning.checkpoint import has_readers
from versioning.client.nonces import new_nonces


async def append_bump(
    stream: StreamBackend, wanted: Bump, *, now_ms: int, above: int = stamps.ZERO, unanswered: str = ""
) -> list[str]:
    """Append a checked bump; returns its stamps as text. Raises BackendError.

    ``unanswered`` is the hint where the answer was lost, and it may have been written.
    """
    entries = wanted.entries(now_ms, new_nonces(wanted.entry_count))
    writers = (await stream.state()).checkpoints
    batch = Append(entries, clock_ms=now_ms, above=above, has_readers=has_readers(writers))
    try:
        return [stamps.text(stamp) for stamp in await stream.append(batch)]
    except UnavailableError as error:
        if not (unanswered and error.is_unreached):
            raise
        raise UnavailableError(error.message, hint=unanswered) from error
