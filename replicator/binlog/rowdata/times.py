"""Dates and times in a row, from their bytes. One that a SELECT shows but Python has no date for is UNSURE.

The present formats are big-endian and end with the fraction of a second: one byte for two of its digits. Those of
tables from before MySQL 5.6 have none.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from replicator.binlog.columns import UNSURE
from replicator.binlog.rowdata.extent import fraction_bytes

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  MySQL's values carry no zone
_TIME_LIMIT = timedelta(hours=839)


def day(raw: bytes) -> object:
    bits = int.from_bytes(raw, "little")
    try:
        return date(bits >> 9, bits >> 5 & 15, bits & 31)
    except ValueError:  # a zero in it, or the 31st of February where the server allows that
        return UNSURE


def moment(digits: int) -> Callable[[bytes], object]:
    """DATETIME."""
    shift = fraction_bytes(digits) * 8

    def decode(raw: bytes) -> object:
        packed = int.from_bytes(raw, "big")
        bits = packed >> shift & 0x7F_FFFF_FFFF
        year_month = bits >> 22
        clock = bits >> 12 & 31, bits >> 6 & 63, bits & 63
        try:
            return datetime(year_month // 13, year_month % 13, bits >> 17 & 31, *clock, _micros(packed, shift))  # noqa: DTZ001
        except ValueError:
            return UNSURE

    return decode


def timestamp(digits: int) -> Callable[[bytes], object]:
    shift = fraction_bytes(digits) * 8

    def decode(raw: bytes) -> object:
        packed = int.from_bytes(raw, "big")
        return _since_epoch(packed >> shift, _micros(packed, shift))

    return decode


def clock(digits: int) -> Callable[[bytes], object]:
    """TIME: a number with its zero in the middle, so that negative times sort below positive ones."""
    shift = fraction_bytes(digits) * 8
    zero = 0x80_0000 << shift

    def decode(raw: bytes) -> object:
        packed = int.from_bytes(raw, "big") - zero
        size = abs(packed)
        bits = size >> shift
        span = timedelta(0, bits & 63, _micros(size, shift), 0, bits >> 6 & 63, bits >> 12)
        return -span if packed < 0 else span

    return decode


def old_moment(raw: bytes) -> object:
    """DATETIME as the decimal number YYYYMMDDHHMMSS."""
    days, seconds = divmod(int.from_bytes(raw, "little"), 1_000_000)
    try:
        return datetime(  # noqa: DTZ001
            days // 10_000, days // 100 % 100, days % 100, seconds // 10_000, seconds // 100 % 100, seconds % 100
        )
    except ValueError:
        return UNSURE


def old_timestamp(raw: bytes) -> object:
    return _since_epoch(int.from_bytes(raw, "little"), 0)


def old_clock(raw: bytes) -> object:
    """TIME as the decimal number HHMMSS."""
    number = int.from_bytes(raw, "little", signed=True)
    size = abs(number)
    span = timedelta(hours=size // 10_000, minutes=size // 100 % 100, seconds=size % 100)
    if span >= _TIME_LIMIT:
        return UNSURE
    return -span if number < 0 else span


def _micros(packed: int, shift: int) -> int:
    """The fraction of a second: its bytes hold 2, 4 or 6 digits."""
    return (packed & (1 << shift) - 1) * int(10 ** (6 - shift // 4)) if shift else 0


def _since_epoch(seconds: int, micros: int) -> object:
    # 0 is '0000-00-00 00:00:00', with whatever fraction.
    return _EPOCH + timedelta(seconds=seconds, microseconds=micros) if seconds else UNSURE
