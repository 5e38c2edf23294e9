"""Where the values of a row lie: the columns, those the image has, and those that are NULL give a way through it.

Rows of one table come with few different patterns of NULL, so that a way is found once and gone for thousands of rows.
Columns of fixed size that nobody needs melt into one gap.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from replicator.binlog.rowdata.extent import Extent
from replicator.binlog.rowdata.values import Decode


class RowColumn(NamedTuple):
    extent: Extent
    name: str = ""
    decode: Decode | None = None
    """None: nobody needs this column."""
    is_json: bool = False
    null: object = None
    """What a NULL is read as."""


class Hop(NamedTuple):
    """Passes over a value that has a length in front."""

    gap: int
    """Bytes from where the last hop or take ended to that length, the bytes of the last hop's length included."""
    prefix: int
    """Bytes of the length."""


class Take(NamedTuple):
    hops: tuple[Hop, ...]
    """Before it."""
    gap: int
    prefix: int
    """0: the value has no length in front, it has `size` bytes."""
    size: int
    name: str
    decode: Decode


class Layout(NamedTuple):
    takes: tuple[Take, ...]
    hops: tuple[Hop, ...]
    """Behind the last take."""
    tail: int
    """Bytes behind the last hop."""
    nulls: Mapping[str, object]
    """Needed columns that are NULL, and what that is read as."""


def make_layout(columns: Sequence[RowColumn], present: bytes, nulls: bytes) -> Layout:
    """Both bitmaps have the first column in the lowest bit; that of NULLs counts only columns that are present."""
    takes: list[Take] = []
    hops: list[Hop] = []
    null_values: dict[str, object] = {}
    gap = 0
    for column in _with_value(columns, present, nulls, null_values):
        size, prefix = column.extent
        if column.decode is not None:
            takes.append(Take(tuple(hops), gap, prefix, size, column.name, column.decode))
            hops, gap = [], 0
        elif prefix:
            hops.append(Hop(gap, prefix))
            gap = prefix
        else:
            gap += size
    return Layout(tuple(takes), tuple(hops), gap, null_values)


def _with_value(
    columns: Sequence[RowColumn], present: bytes, nulls: bytes, null_values: dict[str, object]
) -> Iterator[RowColumn]:
    """Columns that have bytes in the row; the names of those that are needed and NULL go into `null_values`."""
    place = 0
    for index, column in enumerate(columns):
        if not has_bit(present, index):
            continue
        if not has_bit(nulls, place):
            yield column
        elif column.decode is not None:
            null_values[column.name] = column.null
        place += 1


def passed(data: bytes, at: int, hops: Sequence[Hop]) -> int:
    """Where the value of the last hop ends, without the bytes of its length (see `Hop.gap`)."""
    for gap, prefix in hops:
        at += gap
        if prefix == 1:
            at += data[at]
        elif prefix == 2:
            at += data[at] | data[at + 1] << 8
        else:
            at += int.from_bytes(data[at : at + prefix], "little")
    return at


def has_bit(bitmap: bytes, place: int) -> bool:
    return bool(bitmap[place >> 3] >> (place & 7) & 1)


def count_bits(bitmap: bytes, columns: int) -> int:
    return sum(has_bit(bitmap, place) for place in range(columns))
