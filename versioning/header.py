"""The header in front of every cached value (P5): 20 bytes that say how new the value is.

offset  size  field
0       2     magic, 9e 53: no UTF-8 text, JSON, pickle or msgpack document begins so
2       1     format, 01
3       1     flags: bit 0 provisional, bit 1 absent ("not found", no payload follows); all others zero
4       8     fill stamp, unsigned big-endian (ms << 20 | seq): bytes compare like stamps
12      8     fill time, unsigned big-endian, Unix time in ms
20      -     payload
"""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from versioning.errors import HeaderFormatError
from versioning.stamp import STAMP_MAX

MAGIC: Final = b"\x9eS"
FORMAT: Final = 1
SIZE: Final = 20

PROVISIONAL: Final = 0b01
ABSENT: Final = 0b10

_LAYOUT: Final = struct.Struct(">4sQQ")


class ValueHeader(NamedTuple):
    fill_stamp: int
    """The follower's watermark (``Index.fill_stamp``), read BEFORE the load began."""
    fill_ms: int
    """Unix time in ms, read BEFORE the load began."""
    is_provisional: bool = False
    """The key was pending: the value lives for ``provisional_ttl`` only."""
    is_absent: bool = False
    """The loader found nothing. Cached like any value."""


_KINDS: Final = {
    MAGIC + bytes((FORMAT, flags)): (bool(flags & PROVISIONAL), bool(flags & ABSENT)) for flags in range(4)
}
"""How a header of ours begins, and what that says."""
_PLAIN, _PLAIN_ABSENT = (MAGIC + bytes((FORMAT, flags)) for flags in (0, ABSENT))


def pack(header: ValueHeader, payload: bytes) -> bytes:
    flags = PROVISIONAL * header.is_provisional | ABSENT * header.is_absent
    return _LAYOUT.pack(MAGIC + bytes((FORMAT, flags)), header.fill_stamp, header.fill_ms) + payload


def unpack(data: bytes) -> tuple[ValueHeader, bytes]:
    """Split a stored value; raises HeaderFormatError for a foreign, truncated or newer one, which is then a miss."""
    if len(data) < SIZE:
        raise HeaderFormatError(f"a value of {len(data)} bytes is shorter than its header")
    begin, fill_stamp, fill_ms = _LAYOUT.unpack_from(data)
    kind = _KINDS.get(begin)
    if kind is None:
        if not data.startswith(MAGIC):
            raise HeaderFormatError(f"a value without our magic: begins {begin.hex()}")
        raise HeaderFormatError(f"a value of format {data[2]}, flags {data[3]:#x}", hint="written by a newer library?")
    is_provisional, is_absent = kind
    if fill_stamp > STAMP_MAX or (is_absent and len(data) > SIZE):
        raise HeaderFormatError("a value whose header contradicts itself")
    return ValueHeader(fill_stamp, fill_ms, is_provisional, is_absent), data[SIZE:]


PlainHead = tuple[int, int, bytes | None]
"""Fill stamp, fill time, payload; None for "not found"."""


def plain_heads(datas: Mapping[str, bytes | None]) -> dict[str, PlainHead]:
    """Split many values at once; what is missing, provisional or not readable is left out, for ``unpack`` to judge."""
    heads: dict[str, PlainHead] = {}
    for key, data in datas.items():
        if data is None or len(data) < SIZE:
            continue
        begin, fill_stamp, fill_ms = _LAYOUT.unpack_from(data)
        if begin == _PLAIN:
            heads[key] = fill_stamp, fill_ms, data[SIZE:]
        elif begin == _PLAIN_ABSENT and len(data) == SIZE:
            heads[key] = fill_stamp, fill_ms, None
    return heads
