"""What a mirror's checkpoint says: the last origin entry that is in the target stream, and a replay still owed.

After a gap of its own the mirror copies everything the origin has. When it has come to `until`, it may claim what the
origin claims: everything since `since_ms` is stamped again (P3). A mirror that dies half-way leaves that duty to
whoever goes on, so it is part of the text: `<stamp>/<nonce>`, and while it is owed ` replay=<since_ms>..<until>`
behind it.
"""

import contextlib
import re
from dataclasses import dataclass, replace
from typing import Final, Self

from versioning import stamp as stamps
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry, Gap, Origin
from versioning.errors import CheckpointFormatError, FormatError
from versioning.limits import CLOCK_ERROR_MS

_FORM: Final = re.compile(r"(\d+-\d+)/(\S*)(?: replay=(\d{1,15})\.\.(\d+-\d+))?")


@dataclass(frozen=True, slots=True)
class ReplayClaim:
    since_ms: int
    until: int
    """Stamp of the origin's last heartbeat when the copy began."""

    def beginning_with(self, entry: Entry) -> Self | None:
        """Return what is left of it when this is the first entry copied: nobody vouches for what was trimmed before.

        The origin may be trimmed at any moment between the claim and the copy, or lost: then it begins anew above
        ``until``, and says by itself what it has.
        """
        if begins_history(entry):
            return self if entry.stamp <= self.until else None
        since_ms = max(self.since_ms, stamps.ms_of(entry.stamp) + CLOCK_ERROR_MS)
        return replace(self, since_ms=since_ms) if since_ms < stamps.ms_of(self.until) else None


def hides_more(oldest: Entry, until: int) -> bool:
    """Whether entries above ``until`` may have been trimmed before this one, the oldest that is left."""
    return not begins_history(oldest) and oldest.stamp > until


def begins_history(entry: Entry) -> bool:
    """Whether nothing was before it. Sources begin with a gap; what follows an entry of someone else's is linked to
    nothing either."""
    return not entry.previous and isinstance(entry.body, Gap)


@dataclass(frozen=True, slots=True)
class MirrorPosition:
    stamp: int = stamps.ZERO
    """In the origin's stream; ``stamp.ZERO`` before its oldest entry."""
    nonce: str = ""
    """Of that entry; before the oldest, a name for the gap that stands there: another one is another beginning."""
    claim: ReplayClaim | None = None

    @classmethod
    def of(cls, stored: Checkpoint | None) -> Self | None:
        """Return what a checkpoint says; None where there is none, or none that can be read."""
        with contextlib.suppress(FormatError):
            return None if stored is None else cls.decode(stored.position)
        return None

    def encode(self) -> str:
        text = f"{stamps.text(self.stamp)}/{self.nonce}"
        if self.claim is None:
            return text
        return f"{text} replay={self.claim.since_ms}..{stamps.text(self.claim.until)}"

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises FormatError."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise CheckpointFormatError(f"not a mirror's position: {text[:120]!r}")
        claim = ReplayClaim(int(found[3]), stamps.parse(found[4])) if found[3] else None
        return cls(stamps.parse(found[1]), found[2], claim)

    def origin(self, dc: str) -> Origin:
        """Proof, in an entry of the target stream, that everything of the origin up to here is in it."""
        return Origin(dc, stamps.text(self.stamp), self.nonce)

    def is_same_entry(self, other: "MirrorPosition") -> bool:
        return (self.stamp, self.nonce) == (other.stamp, other.nonce)

    def reaches(self, other: "MirrorPosition") -> bool:
        """Whether a mirror at this position has written all that one at the other has."""
        if self.stamp != other.stamp:
            return self.stamp > other.stamp
        if self.stamp == stamps.ZERO and self.nonce != other.nonce:
            return False
        return self.claim is None or other.claim is not None

    def without_claim(self) -> "MirrorPosition":
        return replace(self, claim=None)
