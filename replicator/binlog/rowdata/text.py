"""Character and binary strings, ENUM and SET in a row, from their bytes."""

from collections.abc import Callable, Sequence

from replicator.binlog.columns import UNSURE
from replicator.binlog.rowdata import charsets

Members = Sequence[str | None]
"""In the order of the column's definition; None: its text is not known for sure."""


def string(charset: str | None, padded_bytes: int = 0) -> Callable[[bytes], object]:
    """``charset``: MySQL's name, None for an unknown one. ``padded_bytes``: the length of a BINARY(n)."""
    if charset is None:
        return lambda _: UNSURE
    if charset == "binary":
        return lambda raw: raw.ljust(padded_bytes, b"\0")  # the binlog leaves the padding out, SELECT shows it
    return charsets.reader(charset)


def bits(raw: bytes) -> bytes:
    return raw


def enum(members: Members) -> Callable[[bytes], object]:
    """A number from 1; 0 is what MySQL keeps of a value that was none of the members."""
    values = [UNSURE if member is None else member for member in members]

    def decode(raw: bytes) -> object:
        number = int.from_bytes(raw, "little")
        if number == 0:
            return ""
        return values[number - 1] if number <= len(values) else UNSURE

    return decode


def flags(members: Members) -> Callable[[bytes], object]:
    """SET: one bit for each member."""

    def decode(raw: bytes) -> object:
        mask = int.from_bytes(raw, "little")
        if mask >> len(members):
            return UNSURE
        chosen = [member for place, member in enumerate(members) if mask >> place & 1]
        known = [member for member in chosen if member is not None]
        return ",".join(known) if len(known) == len(chosen) else UNSURE

    return decode
