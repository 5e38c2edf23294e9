"""How many bytes a value takes in a row: by its column alone, or by a length in front of it.

Law: what is not known here is an error. A row is walked from its first byte to its last, so that one wrong length would
make nonsense of everything behind it.
"""

from typing import Final, NamedTuple

from replicator.binlog import columns as c


class Extent(NamedTuple):
    size: int
    """Bytes of every value; 0 where a length is in front of it."""
    prefix: int = 0
    """Bytes of that length."""


_FIXED: Final = {
    c.NULL: 0, c.TINY: 1, c.SHORT: 2, c.INT24: 3, c.LONG: 4, c.LONGLONG: 8, c.FLOAT: 4, c.DOUBLE: 8, c.YEAR: 1,
    c.DATE: 3, c.NEWDATE: 3,
}  # fmt: skip
_WITH_FRACTION: Final = {c.TIME2: 3, c.TIMESTAMP2: 4, c.DATETIME2: 5}
_OLD_BY_DIGITS: Final = {
    c.TIME: (3, 4, 4, 5, 5, 5, 6), c.TIMESTAMP: (4, 5, 5, 6, 6, 7, 7), c.DATETIME: (8, 6, 6, 7, 7, 7, 8),
}  # fmt: skip
"""One number with its fraction, in as few bytes as hold it; without one as MySQL has it."""
_IN_BYTES: Final = frozenset({c.BIT, c.ENUM, c.SET})
_CHARACTERS: Final = frozenset({c.VARCHAR, c.VARCHAR_COMPRESSED, c.VAR_STRING, c.STRING})
_LONG: Final = frozenset({c.BLOB, c.BLOB_COMPRESSED, c.VECTOR, c.JSON, c.GEOMETRY})

DIGIT_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""A c.DECIMAL keeps nine digits in four bytes, and what is left over of them in as few as hold it."""


def extent(kind: int, size: int) -> Extent | None:
    """``size``: ``ColumnFacts.size``. None: a kind that this version does not know."""
    if kind in _FIXED:
        return Extent(_FIXED[kind])
    if kind in _WITH_FRACTION or kind in _OLD_BY_DIGITS:
        return Extent(_time_bytes(kind, size))
    if kind in _IN_BYTES:
        return Extent(size)
    if kind in _CHARACTERS:
        return Extent(0, 2 if size > 255 else 1)
    if kind in _LONG and 1 <= size <= 4:
        return Extent(0, size)
    return Extent(decimal_bytes(*divmod(size, 256))) if kind == c.DECIMAL else None


def _time_bytes(kind: int, digits: int) -> int:
    old = _OLD_BY_DIGITS.get(kind)
    return old[digits] if old else _WITH_FRACTION[kind] + fraction_bytes(digits)


def fraction_bytes(digits: int) -> int:
    """Of the fraction of a second."""
    return (digits + 1) // 2


def decimal_bytes(precision: int, scale: int) -> int:
    return sum(width for width, _ in decimal_parts(precision, scale))


def decimal_parts(precision: int, scale: int) -> list[tuple[int, int]]:
    """Bytes and digits of each group, in order."""
    whole, first = divmod(precision - scale, 9)
    parts, last = divmod(scale, 9)
    return [(DIGIT_BYTES[first], first), *[(4, 9)] * (whole + parts), (DIGIT_BYTES[last], last)]
