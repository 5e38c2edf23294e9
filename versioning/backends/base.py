"""What stampline asks of a Redis, as two small interfaces: the stamp stream and the cached values.

Every backend (``redis_stream``, ``redis_values``, ``memory``) raises only the errors below: a caller never sees a
driver's own exception, and an error is never turned into a miss here.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from versioning import stamp as stamps
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry, NewEntry
from versioning.errors import StamplineError


class BackendError(StamplineError):
    """The backend did not do what was asked, and it is unknown whether it will."""


class UnavailableError(BackendError):
    """Not reached, or no answer in time. A write may or may not have happened: read the checkpoint again."""


class AuthenticationError(BackendError):
    """Wrong password, user or rights. Trying again does not help; a person must."""


class LoginRefusedError(AuthenticationError):
    """Not even let in: a wrong password, or a certificate that is not accepted. Every try is a login at the server."""


class NotReplicatedError(BackendError):
    """Written, but fewer replicas than asked for have it: the checkpoint does not count yet.

    Until they have, whoever appends with a checkpoint is told so again, and nothing more is written.
    """


class CheckpointRefusedError(StamplineError):
    """Another writer has moved the checkpoint (P1). Nothing was written. Go on from ``stored``."""

    def __init__(self, writer: str, stored: Checkpoint | None) -> None:
        super().__init__(f"checkpoint of {writer} is not the one expected; stored: {stored}")
        self.stored = stored


class DigestRefusedError(StamplineError):
    """The stream was written with other key templates. Nothing was written."""

    def __init__(self, stored: str, ours: str) -> None:
        super().__init__(
            f"key templates differ: the stream has digest {stored[:12]}, ours is {ours[:12]}",
            hint="give every source the same [[table]] settings, or start one with --adopt-templates to change them",
        )
        self.stored = stored


@dataclass(frozen=True, slots=True)
class Append:
    """A batch for ``StreamBackend.append``: all of it is written, or nothing."""

    entries: tuple[NewEntry, ...]
    """Where there are none nothing changes."""
    clock_ms: int
    """The writer's clock. After a loss (failover, restart, flush) the backend itself counts ``LOSS_LEAD_MS`` ahead."""
    writer: str | None = None
    """Whose checkpoint is compared and replaced: ``source:mysql-a``, ``mirror:a``. None: a bump, which has none."""
    expected: Checkpoint | None = None
    checkpoint: Checkpoint | None = None
    above: int = 0
    """The highest stamp the writer has seen in this stream: the new ones are above it, whatever Redis has lost."""
    digest: str = ""
    """Digest of the key templates; empty where the writer makes no keys."""
    adopt_digest: bool = False
    has_readers: bool = True
    """False: no client asks for version keys of this stream, so a backend that keeps them leaves them alone."""


@dataclass(frozen=True, slots=True)
class StreamState:
    last: int
    """Last stamp handed out; ``stamp.ZERO`` for a stream that never was."""
    nonce: str
    since: int
    """Stamp since which the stream is complete."""
    digest: str
    checkpoints: Mapping[str, Checkpoint]
    torn: int = stamps.ZERO
    """As in ``History``."""


@dataclass(frozen=True, slots=True)
class History:
    """What tells of lost entries, as of the last append."""

    server: str = ""
    """Another one after a failover or a restart of the stream's Redis; empty for a stream that never was."""
    torn: int = stamps.ZERO
    """Stamp of the first entry that was appended after anybody had deleted some, or added one, by hand."""
    last: int = stamps.ZERO
    """Stamp of the last entry that was appended."""


class StreamBackend(Protocol):
    """One datacenter's stamp stream. Stamps and entries only grow; all methods raise BackendError."""

    async def append(self, batch: Append) -> list[int]:
        """Write a batch atomically (P1) and return its stamps. Raises CheckpointRefusedError, DigestRefusedError."""
        ...

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        """Return up to ``count`` entries above ``after``, oldest first; waits up to ``block_ms`` for the first."""
        ...

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        """Return up to ``count`` entries below ``before`` (None: the end of the stream), NEWEST first."""
        ...

    async def read_one(self, stamp: int) -> Entry | None:
        """Return the entry of exactly this stamp; None: it is not, or no more, in the stream."""
        ...

    async def checkpoint(self, writer: str) -> Checkpoint | None:
        """Return what this writer stored last; None: nothing, or it is lost. It may be ``damaged``, here as below."""
        ...

    async def state(self) -> StreamState:
        """Return what the stream says of itself, as of one moment."""
        ...

    async def history(self) -> History:
        """Return what changes where the stream may have lost entries, or somebody deleted some."""
        ...

    def subscribe(self, *, silence_ms: int = 0) -> AbstractAsyncContextManager[AsyncIterator[Entry | None]]:
        """Entries pushed as they are appended; some may be missing, so the caller checks continuity.

        One link delay from append to here, where ``read_after`` needs up to three. Raises UnavailableError at its end.
        None says that nothing came for ``silence_ms`` (0: never said).
        """
        ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Fill:
    """A value to store: the whole bytes with header, its life, and the lease it was loaded under (empty: none)."""

    key: str
    data: bytes
    life_ms: int
    lease_token: str = ""


Answer = bool | bytes
"""To who asks for a lease: granted; not granted, for somebody else has it; or the value stored meanwhile."""


class AsyncValueBackend(Protocol):
    """Cached values and leases, for asyncio. All methods raise BackendError."""

    async def get(self, key: str) -> bytes | None: ...

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    async def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        """Take the right to refill each key, where nobody has it and its value is still the one seen.

        ``seen``: key to the header of the value that was found, empty for none. Granted again to the same token.
        """
        ...

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        """Store values and give their leases back. False where the stored value stays: its fill stamp is newer, or the
        same and its fill time later."""
        ...

    async def release(self, keys: Sequence[str], token: str) -> None:
        """Give leases back without a value; another holder's stay."""
        ...

    async def aclose(self) -> None: ...


class ValueBackend(Protocol):
    """The same for threads."""

    def get(self, key: str) -> bytes | None: ...

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]: ...

    def fill(self, fills: Sequence[Fill]) -> list[bool]: ...

    def release(self, keys: Sequence[str], token: str) -> None: ...

    def close(self) -> None: ...
