"""Stamps: positions in one datacenter's stamp stream.

On the wire a stamp is a Redis stream ID, ``<ms>-<seq>``. In memory it is one integer, ``ms << 20 | seq``, so that the
check on the read path is a comparison of two machine words. Twenty bits of sequence leave 43 bits of milliseconds in a
signed 64-bit integer (the year 2248); the append script never hands out a sequence above ``SEQUENCE_MAX``.
"""

from typing import Final

from versioning.errors import StampFormatError

Stamp = int

SEQUENCE_BITS: Final = 20
SEQUENCE_MAX: Final = (1 << SEQUENCE_BITS) - 1
STAMP_MAX: Final = (1 << 63) - 1
MS_MAX: Final = STAMP_MAX >> SEQUENCE_BITS

ZERO: Final = 0
"""Below every stamp that was ever handed out: the watermark of a follower that has read nothing."""


def make(ms: int, sequence: int = 0) -> int:
    if not (0 <= ms <= MS_MAX and 0 <= sequence <= SEQUENCE_MAX):
        raise StampFormatError(f"{ms}-{sequence}")
    return ms << SEQUENCE_BITS | sequence


def parse(text: str) -> int:
    """Read ``<ms>-<seq>``; raises StampFormatError on anything else, leading zeros and signs included."""
    ms, dash, sequence = text.partition("-")
    if not (dash and _is_canonical(ms) and _is_canonical(sequence)):
        raise StampFormatError(text)
    return make(int(ms), int(sequence))


def text(stamp: int) -> str:
    return f"{stamp >> SEQUENCE_BITS}-{stamp & SEQUENCE_MAX}"


def ms_of(stamp: int) -> int:
    return stamp >> SEQUENCE_BITS


def _is_canonical(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= 14 and (digits == "0" or digits[0] != "0")
