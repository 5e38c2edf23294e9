"""The rows of an event, decoded while they are iterated.

Law: a row is walked to its last byte and no further; whatever does not add up is RowsUndecodableError, never a guess.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from replicator.binlog.events import RowImage, RowKind, RowsUndecodableError
from replicator.binlog.kinds import (
    DELETE_ROWS_V1,
    DELETE_ROWS_V2,
    PARTIAL_UPDATE_ROWS,
    UPDATES,
    WRITE_ROWS_V1,
    WRITE_ROWS_V2,
)
from replicator.binlog.packed import length
from replicator.binlog.rowdata.layout import Layout, RowColumn, count_bits, make_layout, passed
from replicator.tables import TableName

SIDES_MAX: Final = 100
"""Sets of columns that images of a table have (MINIMAL: those that an update names)."""

LAYOUTS_MAX: Final = 100
"""Patterns of NULL kept for each of them. With more of either all are made anew."""

ROW_KINDS: Final = {
    WRITE_ROWS_V1: RowKind.INSERT,
    WRITE_ROWS_V2: RowKind.INSERT,
    **dict.fromkeys(UPDATES, RowKind.UPDATE),
    DELETE_ROWS_V1: RowKind.DELETE,
    DELETE_ROWS_V2: RowKind.DELETE,
}
_PARTIAL_JSON: Final = 1

Values = dict[str, object]


class RowsDecoder:
    """Of one table map. ``problem``: why its rows cannot be decoded; empty when they can."""

    def __init__(self, table: TableName, columns: Sequence[RowColumn] = (), problem: str = "") -> None:
        self.table = table
        self._columns = columns
        self._problem = problem
        self._sides: dict[bytes, Side] = {}
        """By the columns that are present."""

    def images(self, kind: int, data: bytes, at: int, end: int) -> Iterator[RowImage]:
        """``at``: where the number of columns stands; ``end``: behind the last row."""
        if self._problem:
            raise RowsUndecodableError(self._problem)
        row_kind = ROW_KINDS[kind]
        try:
            first, at = self._side(data, *self._checked(data, at))
            second, at = self._side(data, len(self._columns), at) if row_kind is RowKind.UPDATE else (None, at)
            if not first.count:  # an INSERT of nothing but defaults into a MINIMAL image: rows without a byte
                raise ValueError("no column is present")  # noqa: TRY301  one answer to whatever is wrong
            while at < end:
                before, at = first.read(data, at)
                after = before
                if second is not None:
                    after, at = second.read(data, self._behind_options(data, at) if kind == PARTIAL_UPDATE_ROWS else at)
                if at > end:
                    raise ValueError("a row goes beyond its event")  # noqa: TRY301
                yield RowImage(
                    None if row_kind is RowKind.INSERT else before, None if row_kind is RowKind.DELETE else after
                )
        except Exception as error:
            # Whatever a row does to the decoder, the answer is the same: which rows these are is unknown.
            problem = f"rows of {self.table} cannot be decoded: {type(error).__name__}"
            raise RowsUndecodableError(problem) from error

    def _checked(self, data: bytes, at: int) -> tuple[int, int]:
        count, at = length(data, at)
        if count != len(self._columns):
            raise ValueError(f"{count} columns")
        return count, at

    def _side(self, data: bytes, count: int, at: int) -> tuple["Side", int]:
        behind = at + (count + 7) // 8
        present = data[at:behind]
        side = self._sides.get(present)
        if side is None:
            if len(self._sides) >= SIDES_MAX:
                self._sides.clear()
            side = self._sides[present] = Side(self._columns, present)
        return side, behind

    def _behind_options(self, data: bytes, at: int) -> int:
        """A JSON value of a partial update is only its difference, and has a length in front like the whole one."""
        options, at = length(data, at)
        json_columns = sum(column.is_json for column in self._columns)
        return at + (json_columns + 7) // 8 if options & _PARTIAL_JSON else at


class Side:
    """How to read images with these columns: before or after."""

    def __init__(self, columns: Sequence[RowColumn], present: bytes) -> None:
        self._columns = columns
        self._present = present
        self.count = count_bits(present, len(columns))
        self._nulls_bytes = (self.count + 7) // 8
        self._layouts: dict[bytes, Layout] = {}

    def read(self, data: bytes, at: int) -> tuple[Values, int]:
        """The needed values of the row at ``at``, and where the next one begins."""
        behind = at + self._nulls_bytes
        nulls = data[at:behind]
        layout = self._layouts.get(nulls) or self._make_layout(nulls)
        values: Values = {**layout.nulls}
        at = behind
        for hops, gap, prefix, size, name, decode in layout.takes:
            at = (passed(data, at, hops) if hops else at) + gap
            begin = at + prefix
            at = begin + (int.from_bytes(data[at:begin], "little") if prefix else size)
            values[name] = decode(data[begin:at])
        return values, (passed(data, at, layout.hops) if layout.hops else at) + layout.tail

    def _make_layout(self, nulls: bytes) -> Layout:
        if len(self._layouts) >= LAYOUTS_MAX:
            self._layouts.clear()
        layout = self._layouts[nulls] = make_layout(self._columns, self._present, nulls)
        return layout
