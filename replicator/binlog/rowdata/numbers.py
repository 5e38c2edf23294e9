"""Numbers in a row, from their bytes."""

import struct
from collections.abc import Callable
from decimal import Decimal

from replicator.binlog.rowdata.extent import decimal_parts

_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")


def signed(raw: bytes) -> int:
    return int.from_bytes(raw, "little", signed=True)


def unsigned(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def single(raw: bytes) -> float:
    return float(f"{_FLOAT.unpack(raw)[0]:.6g}")  # MySQL prints six digits


def double(raw: bytes) -> float:
    found: float = _DOUBLE.unpack(raw)[0]
    return found


def rounded(raw: bytes, decimals: int) -> float:
    """A FLOAT(m,d) or DOUBLE(m,d), as a SELECT shows it."""
    found = _FLOAT.unpack(raw) if len(raw) == _FLOAT.size else _DOUBLE.unpack(raw)
    return float(f"{found[0]:.{decimals}f}")


def year(raw: bytes) -> int:
    return 1900 + raw[0] if raw[0] else 0


def short_year(raw: bytes) -> int:
    """A YEAR(2), which MariaDB still has."""
    return year(raw) % 100


def decimal(precision: int, scale: int) -> Callable[[bytes], Decimal]:
    """Big-endian groups of digits; the first bit is set when the number is not negative, else all bits are inverted."""
    parts = decimal_parts(precision, scale)

    def decode(raw: bytes) -> Decimal:
        is_negative = raw[0] < 0x80
        plain = bytes(byte ^ 0xFF for byte in raw) if is_negative else raw
        plain = bytes([plain[0] ^ 0x80]) + plain[1:]
        number, at = 0, 0
        for width, digits in parts:
            number = number * 10**digits + int.from_bytes(plain[at : at + width], "big")
            at += width
        # Of text: any arithmetic would round to the 28 digits of the context.
        return Decimal(f"{'-' if is_negative else ''}{number}E-{scale}")

    return decode
