"""What a read plan asks of its shell, and what the shell may answer. The order of duties is in ``readplan``."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final


@dataclass(frozen=True, slots=True)
class GetValues:
    """Answer: the bytes or None for each key, or FAILED."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TryLeases:
    """Answer: for each key whether the lease is ours, or the value stored meanwhile; or FAILED."""

    seen: Mapping[str, bytes]
    """Key to the header of the value that was judged, empty for none."""
    token: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Answer: None, after that time."""

    ms: int


@dataclass(frozen=True, slots=True)
class Load:
    """Answer: key to value (absent or None: not found), or Raised."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredValue:
    key: str
    data: bytes
    life_ms: int


@dataclass(frozen=True, slots=True)
class FillValues:
    """Store all, each with the lease it was loaded under (empty: none). Answer: a bool for each, or FAILED."""

    values: tuple[StoredValue, ...]
    token: str


@dataclass(frozen=True, slots=True)
class ReleaseLeases:
    """Answer: None, or FAILED."""

    keys: tuple[str, ...]
    token: str


class Failed(Enum):
    FAILED = "failed"


FAILED: Final = Failed.FAILED


@dataclass(frozen=True, slots=True)
class Raised:
    error: BaseException


Effect = GetValues | TryLeases | Wait | Load | FillValues | ReleaseLeases
