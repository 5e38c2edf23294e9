"""Rows from bytes: every cell that is wanted comes out as it went in, whatever is passed over, absent or NULL."""

import struct
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.binlog import columns as c
from replicator.binlog.columns import UNSURE
from replicator.binlog.decoder import EventDecoder
from replicator.binlog.events import FileBegan, RowImage, RowKind, RowsChanged, RowsUndecodableError
from replicator.binlog.kinds import PARTIAL_UPDATE_ROWS
from replicator.binlog.plan import TablePlan
from replicator.binlog.rowdata import images
from replicator.binlog.rowdata.extent import Extent
from replicator.binlog.rowdata.images import RowsDecoder
from replicator.binlog.rowdata.layout import RowColumn
from replicator.binlog.schema import Column
from replicator.binlog.tables import Tables
from replicator.errors import UnsupportedEventError
from replicator.tables import TableName
from versioning.keys import KeyTemplate

INSERT, UPDATE, DELETE = 30, 31, 32
TABLE = TableName("shop", "item")
Cell = bytes | None


def as_bytes(raw: bytes) -> object:
    return raw


def column(name: str, extent: Extent, *, is_needed: bool = True, is_json: bool = False) -> RowColumn:
    return RowColumn(extent, name, as_bytes if is_needed else None, is_json)


def bitmap(bits: Sequence[bool]) -> bytes:
    return sum(bit << place for place, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")


def image(columns: Sequence[RowColumn], present: Sequence[bool], cells: Sequence[Cell]) -> bytes:
    """As a server writes it: NULL bits of the columns that are present, then their values."""
    shown = [(one, cell) for one, is_shown, cell in zip(columns, present, cells, strict=True) if is_shown]
    values = [
        len(cell).to_bytes(one.extent.prefix, "little") + cell if one.extent.prefix else cell
        for one, cell in shown
        if cell is not None
    ]
    return bitmap([cell is None for _, cell in shown]) + b"".join(values)


def decoded(kind: int, columns: Sequence[RowColumn], data: bytes) -> list[RowImage]:
    head = bytes([len(columns)])
    return list(RowsDecoder(TABLE, columns).images(kind, b"__" + head + data, 2, 3 + len(data)))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[RowColumn], list[bool], list[list[Cell]]]:
    count = draw(st.integers(1, 12))
    extents = st.builds(Extent, st.integers(0, 9), st.just(0)) | st.builds(Extent, st.just(0), st.integers(1, 4))
    columns = [column(f"c{place}", draw(extents), is_needed=draw(st.booleans())) for place in range(count)]
    present = draw(st.lists(st.booleans(), min_size=count, max_size=count).filter(any))
    rows = [
        [draw(st.none() | st.binary(max_size=60 if one.extent.prefix else 0)) for one in columns]
        for _ in range(draw(st.integers(1, 4)))
    ]
    filled = [
        [cell if cell is None or one.extent.prefix else bytes([place]) * one.extent.size
         for place, (one, cell) in enumerate(zip(columns, row, strict=True))]
        for row in rows
    ]  # fmt: skip
    return columns, present, filled


def wanted(columns: Sequence[RowColumn], present: Sequence[bool], row: Sequence[Cell]) -> dict[str, Cell]:
    return {
        one.name: cell
        for one, is_shown, cell in zip(columns, present, row, strict=True)
        if is_shown and one.decode is not None
    }


@settings(max_examples=60, deadline=None)
@given(tables(), st.sampled_from([INSERT, DELETE]))
def test_every_wanted_cell_comes_out_as_it_went_in(
    table: tuple[list[RowColumn], list[bool], list[list[Cell]]], kind: int
) -> None:
    columns, present, rows = table
    data = bitmap(present) + b"".join(image(columns, present, row) for row in rows)
    found = [row.after if kind == INSERT else row.before for row in decoded(kind, columns, data)]
    assert found == [wanted(columns, present, row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(tables(), tables(), st.booleans())
def test_both_sides_of_an_update_have_columns_of_their_own(
    table: tuple[list[RowColumn], list[bool], list[list[Cell]]],
    other: tuple[list[RowColumn], list[bool], list[list[Cell]]],
    is_partial: bool,  # noqa: FBT001
) -> None:
    columns, present, rows = table
    after = (other[1] * 12)[: len(columns)]
    options = b"\0" if is_partial else b""
    data = b"".join(image(columns, present, row) + options + image(columns, after, row) for row in rows)
    found = decoded(PARTIAL_UPDATE_ROWS if is_partial else UPDATE, columns, bitmap(present) + bitmap(after) + data)
    assert found == [RowImage(wanted(columns, present, row), wanted(columns, after, row)) for row in rows]


def test_a_partial_update_has_a_bit_for_each_json_column_and_their_differences_are_passed_over() -> None:
    columns = [
        column("doc", Extent(0, 4), is_needed=False, is_json=True),
        column("id", Extent(4)),
        column("more", Extent(0, 4), is_needed=False, is_json=True),
    ]
    shown = [True, True, True]
    before, after = [b"{whole}", b"\1\0\0\0", None], [b"diff", b"\2\0\0\0", b"other"]
    row = image(columns, shown, before) + b"\1" + b"\1" + image(columns, shown, after)
    found = decoded(PARTIAL_UPDATE_ROWS, columns, bitmap(shown) * 2 + row)
    assert found == [RowImage({"id": b"\1\0\0\0"}, {"id": b"\2\0\0\0"})]


ID = [column("id", Extent(4))]


@pytest.mark.parametrize(
    "data",
    [
        b"\1" + b"\0" + b"\1\0\0",
        b"\1" + b"\0" + b"\1\0\0\0" + b"\0",
        b"\0" + b"anything",
        b"",
    ],
    ids=["short", "half a row", "no column", "no bitmap"],
)
def test_bytes_that_do_not_add_up_are_rows_of_which_nothing_is_known(data: bytes) -> None:
    with pytest.raises(RowsUndecodableError, match="rows of shop"):
        decoded(INSERT, ID, data)


def test_another_number_of_columns_than_the_table_has_is_not_read() -> None:
    with pytest.raises(RowsUndecodableError):
        list(RowsDecoder(TABLE, ID).images(INSERT, b"\2\3\0\1\0\0\0", 0, 7))


def test_many_patterns_of_null_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LAYOUTS_MAX", 2)
    columns = [column(f"c{place}", Extent(1)) for place in range(3)]
    rows: list[list[Cell]] = [[b"x" if number >> place & 1 else None for place in range(3)] for number in range(8)]
    data = b"\7" + b"".join(image(columns, [True] * 3, row) for row in rows)
    assert [row.after for row in decoded(INSERT, columns, data)] == [wanted(columns, [True] * 3, row) for row in rows]


OWN_ID = 1


def packet(kind: int, body: bytes, server_id: int = OWN_ID) -> bytes:
    return b"\0" + struct.pack("<IBIIIH", 1_700_000_000, kind, server_id, 23 + len(body), 900, 0) + body + b"sum!"


def table_map(table_id: int, name: str, server_id: int = OWN_ID) -> bytes:
    text = name.encode()
    described = b"\4shop\0" + bytes([len(text)]) + text + b"\0" + b"\1" + bytes([c.LONG]) + b"\0" + b"\0"
    return packet(19, table_id.to_bytes(6, "little") + b"\1\0" + described + b"\4\3\2id", server_id)


def rows(table_id: int) -> bytes:
    return packet(INSERT, table_id.to_bytes(6, "little") + b"\1\0\2\0" + b"\1\1" + b"\0" + b"\7\0\0\0")


def event_decoder(columns: tuple[Column, ...] = (), own_id: int | None = OWN_ID) -> EventDecoder:
    plans = {TABLE: TablePlan((KeyTemplate.parse("item:{id}"),))}
    tables = Tables(plans, lambda _: columns, lambda _: None, is_mariadb=True, own_id=own_id)
    return EventDecoder(tables, drained_ms=lambda: 0)


def test_rows_are_of_the_table_whose_map_had_their_number_last() -> None:
    decoder = event_decoder()
    for table_id, name, is_watched in [(5, "item", True), (6, "other", False), (6, "item", True), (6, "other", False)]:
        assert decoder.decode(table_map(table_id, name)) is None
        event = decoder.decode(rows(table_id))
        assert isinstance(event, RowsChanged) == is_watched
        if isinstance(event, RowsChanged):
            assert (event.table, event.kind, list(event.images)) == (TABLE, RowKind.INSERT, [RowImage(None, {"id": 7})])


@pytest.mark.parametrize("own_id", [OWN_ID, None])
def test_a_virtual_column_is_not_believed_in_rows_that_the_server_may_have_applied_for_another(
    own_id: int | None,
) -> None:
    decoder = event_decoder((Column("id", "int", "int(11)", None, is_virtual=True),), own_id)
    for server_id in (OWN_ID, 2, OWN_ID):
        decoder.decode(table_map(5, "item", server_id))
        event = decoder.decode(rows(5))
        assert isinstance(event, RowsChanged)
        assert list(event.images) == [RowImage(None, {"id": 7 if server_id == own_id else UNSURE})]


def test_rows_of_a_table_that_was_never_described_are_a_named_stop() -> None:
    decoder = event_decoder()
    decoder.decode(table_map(5, "item"))
    assert decoder.decode(rows(0xFFFFFF)) is None
    with pytest.raises(UnsupportedEventError, match="table number 9"):
        decoder.decode(rows(9))


def described(lengths: dict[int, int]) -> bytes:
    known = {2: 13, 19: 8, 23: 8, 24: 8, 25: 8, 30: 10, 31: 10, 32: 10, 39: 10, **lengths}
    return packet(15, bytes(57) + bytes(known.get(kind, 0) for kind in range(1, 43)) + b"\1")


def test_a_new_file_forgets_the_tables_and_says_how_long_the_heads_of_its_events_are() -> None:
    decoder = event_decoder()
    decoder.decode(table_map(5, "item"))
    assert decoder.decode(described({INSERT: 12})) == FileBegan()
    with pytest.raises(UnsupportedEventError, match="table number 5"):
        decoder.decode(rows(5))
    decoder.decode(table_map(5, "item"))
    longer = packet(INSERT, (5).to_bytes(6, "little") + b"\1\0\2\0" + b"??" + b"\1\1" + b"\0" + b"\7\0\0\0")
    event = decoder.decode(longer)
    assert isinstance(event, RowsChanged)
    assert list(event.images) == [RowImage(None, {"id": 7})]
    with pytest.raises(UnsupportedEventError, match="type 19 have a head of only 6 bytes"):
        decoder.decode(described({19: 6}))
