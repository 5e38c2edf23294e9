"""Where the values of a row lie: the columns, those the image has, and those that are NULL give a list of steps.

Rows of one table come with few different patterns of NULL, so that steps are made once and used for thousands of rows.
Columns of fixed size that nobody needs melt into one gap.
"""

from collections.abc import Sequence
from typing import NamedTuple

from replicator.binlog.rowdata.extent import Extent
from replicator.binlog.rowdata.values import Decode


class RowColumn(NamedTuple):
    extent: Extent
    name: str = ""
    decode: Decode | None = None
    """None: nobody needs this column."""
    is_json: bool = False


class Step(NamedTuple):
    gap: int
    """Bytes to pass over before it."""
    prefix: int
    """Bytes of the length in front of the value; 0: it has `size` bytes."""
    size: int
    name: str
    decode: Decode | None


class Layout(NamedTuple):
    steps: tuple[Step, ...]
    tail: int
    """Bytes behind the last step."""
    nulls: tuple[str, ...]
    """Needed columns that are NULL."""


def make_layout(columns: Sequence[RowColumn], present: bytes, nulls: bytes) -> Layout:
    """Both bitmaps have the first column in the lowest bit; that of NULLs counts only columns that are present."""
    steps: list[Step] = []
    names: list[str] = []
    gap, place = 0, 0
    for index, column in enumerate(columns):
        if not has_bit(present, index):
            continue
        is_null, place = has_bit(nulls, place), place + 1
        if is_null:
            if column.decode is not None:
                names.append(column.name)
        elif column.decode is None and not column.extent.prefix:
            gap += column.extent.size
        else:
            steps.append(Step(gap, column.extent.prefix, column.extent.size, column.name, column.decode))
            gap = 0
    return Layout(tuple(steps), gap, tuple(names))


def has_bit(bitmap: bytes, place: int) -> bool:
    return bool(bitmap[place >> 3] >> (place & 7) & 1)


def count_bits(bitmap: bytes, columns: int) -> int:
    return sum(has_bit(bitmap, place) for place in range(columns))
