"""Stamps: positions in one datacenter's stamp stream.

On the wire a stamp is a Redis stream ID, ``<ms>-<seq>``. In memory it is one integer, ``ms << 20 | seq``, so that the
check on the read path is a comparison of two machine words. Twenty bits of sequence leave 43 bits of milliseconds in a
signed 64-bit integer (the year 2248); the append script never hands out a sequence above ``SEQUENCE_MAX``.
"""

import re
from typing import Final

from versioning.errors import StampFormatError

_CANONICAL: Final = re.compile(r"(0|[1-9][0-9]{0,13})-(0|[1-9][0-9]{0,13})").fullmatch

SEQUENCE_BITS: Final = 20
SEQUENCE_MAX: Final = (1 << SEQUENCE_BITS) - 1
STAMP_MAX: Final = (1 << 63) - 1
MS_MAX: Final = STAMP_MAX >> SEQUENCE_BITS

ZERO: Final = 0
"""Below every stamp that was ever handed out: the watermark of a follower that has read nothing."""


def make(ms: int, sequence: int = 0) -> int:
    """Return the stamp of these parts; raises StampFormatError where they are too large or below zero."""
    if not (0 <= ms <= MS_MAX and 0 <= sequence <= SEQUENCE_MAX):
        raise StampFormatError(f"{ms}-{sequence}")
    return ms << SEQUENCE_BITS | sequence


def parse(text: str) -> int:
    """Read ``<ms>-<seq>``; raises StampFormatError on anything else, leading zeros and signs included."""
    found = _CANONICAL(text)
    if found is None:
        raise StampFormatError(text)
    return make(int(found[1]), int(found[2]))


def text(stamp: int) -> str:
    return f"{stamp >> SEQUENCE_BITS}-{stamp & SEQUENCE_MAX}"


def ms_of(stamp: int) -> int:
    return stamp >> SEQUENCE_BITS
