"""A checkpoint: up to where a writer's origin is in the stream. One frozen value, replaced whole, compared as text.

``nonce`` is that of the last entry written together with the checkpoint. It makes every stored checkpoint different
from all before it, which is what compare-and-append (P1) compares.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from versioning.errors import CheckpointFormatError

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

    def encode(self) -> str:
        fields = {"position": self.position, "read_ms": self.read_ms, "nonce": self.nonce}
        return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Self:
        try:
            fields = json.loads(text)
            position, read_ms, nonce = fields["position"], fields["read_ms"], fields["nonce"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise CheckpointFormatError(f"not a checkpoint: {text[:200]!r}") from error
        if not (isinstance(position, str) and type(read_ms) is int and isinstance(nonce, str)):
            raise CheckpointFormatError(f"a checkpoint with wrong types: {text[:200]!r}")
        return cls(position, read_ms, nonce)
