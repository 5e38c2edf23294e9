"""A checkpoint: up to where a writer's origin is in the stream. One frozen value, replaced whole, compared as text.

``nonce`` is that of the last entry written together with the checkpoint. It makes every stored checkpoint different
from all before it, which is what compare-and-append (P1) compares.
"""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

_SOURCE: Final = "source:"
_MIRROR: Final = "mirror:"


def source_writer(name: str) -> str:
    return f"{_SOURCE}{name}"


def mirror_writer(origin_dc: str) -> str:
    return f"{_MIRROR}{origin_dc}"


def has_readers(writers: Iterable[str]) -> bool:
    """Whether a stream of these writers is one that is read, not only an origin for mirrors (P12).

    Where nobody has written yet it may be: a bump left out of the version keys is one that no replay says again.
    """
    names = tuple(writers)
    return any(name.startswith(_MIRROR) for name in names) or not any(name.startswith(_SOURCE) for name in names)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    position: str
    """Owner-defined: a source's binlog position, a mirror's origin entry."""
    read_ms: int
    """Unix time in ms up to which the origin is read."""
    nonce: str
    damaged: str | None = field(default=None, repr=False)
    """The text of one that nobody can read. It counts as lost (P3), and can still be compared, and so be replaced."""

    def encode(self) -> str:
        if self.damaged is not None:
            return self.damaged
        fields = {"position": self.position, "read_ms": self.read_ms, "nonce": self.nonce}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Self:
        """Total. ``position`` of a damaged one is for people: in nobody's notation."""
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            fields = json.loads(text)
            found = cls(fields["position"], fields["read_ms"], fields["nonce"])
            # Spaced or ordered otherwise it would be refused for ever: what is compared is the text.
            if found._has_right_types() and found.encode().encode() == text.encode():
                return found
        return cls(f"unreadable: {text[:200]!r}", 0, "", damaged=text)

    def _has_right_types(self) -> bool:
        return isinstance(self.position, str) and type(self.read_ms) is int and isinstance(self.nonce, str)
