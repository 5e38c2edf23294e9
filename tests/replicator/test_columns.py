"""Table maps and values: what SELECT would show, or nothing."""

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from replicator.binlog import columns as c
from replicator.binlog.columns import UNSURE, ColumnFacts, Opaque
from replicator.binlog.rowdata.values import decoder
from replicator.binlog.schema import Column
from replicator.binlog.tablemap import MapMismatchError, RawMap, resolve

LONG = c.LONG


@pytest.mark.parametrize(
    ("facts", "raw", "value"),
    [
        (ColumnFacts("v", c.VARCHAR, "utf8mb4"), "ä".encode(), "ä"),
        (ColumnFacts("v", c.VARCHAR, "latin1"), b"\x80", "€"),
        (ColumnFacts("v", c.VARCHAR, "utf8mb4"), b"\xff", UNSURE),
        (ColumnFacts("v", c.VARCHAR, "klingon"), b"a", UNSURE),
        (ColumnFacts("v", c.VARCHAR, None), b"a", UNSURE),
        (ColumnFacts("v", c.BLOB, "binary", size=2), b"\x00\xff", b"\x00\xff"),
        (ColumnFacts("v", c.STRING, "binary", size=4), b"\x01", b"\x01\0\0\0"),
        (ColumnFacts("v", c.STRING, "utf8mb4", size=40), b"ab", "ab"),
        (ColumnFacts("v", c.BIT, size=2), b"\x01\x01", b"\x01\x01"),
        (ColumnFacts("v", c.SET, size=1, members=("x", "y", "z")), b"\x05", "x,z"),
        (ColumnFacts("v", c.SET, size=1, members=("x", None)), b"\x01", "x"),
        (ColumnFacts("v", c.SET, size=1, members=("x", None)), b"\x03", UNSURE),
        (ColumnFacts("v", c.SET, size=1, members=("x",)), b"\x02", UNSURE),
        (ColumnFacts("v", c.ENUM, size=1, members=("a", None)), b"\x01", "a"),
        (ColumnFacts("v", c.ENUM, size=1, members=("a", None)), b"\x00", ""),
        (ColumnFacts("v", c.ENUM, size=1, members=("a", None)), b"\x02", UNSURE),
        (ColumnFacts("v", c.ENUM, size=1, members=("a", None)), b"\x03", UNSURE),
        (ColumnFacts("v", c.FLOAT), b"\xcd\xcc\xcc\x3d", 0.1),
        (ColumnFacts("v", c.FLOAT, decimals=2), struct.pack("<f", 12345.67), 12345.67),
        (ColumnFacts("v", c.DOUBLE, decimals=2), struct.pack("<d", 1.0100000000000002), 1.01),
        (ColumnFacts("v", c.VARCHAR_COMPRESSED, "utf8mb4"), b"\0ab", UNSURE),
        (ColumnFacts("v", c.YEAR), b"\x00", 0),
        (ColumnFacts("v", c.YEAR, size=2), b"\xa9", 69),
        (ColumnFacts("v", c.YEAR, size=4), b"\xa9", 2069),
        (ColumnFacts("v", c.TIMESTAMP2), bytes(4), UNSURE),
        (ColumnFacts("v", c.TIMESTAMP2, size=2), b"\x00\x00\x00\x00\x32", UNSURE),
        (ColumnFacts("v", c.TIMESTAMP2), b"\xff\xff\xff\xff", datetime(2106, 2, 7, 6, 28, 15)),  # noqa: DTZ001
        (ColumnFacts("v", c.TIMESTAMP), b"\x01\0\0\0", datetime(1970, 1, 1, 0, 0, 1)),  # noqa: DTZ001
        (ColumnFacts("v", c.TIME2), b"\x7f\xff\xfd", timedelta(seconds=-3)),
        (ColumnFacts("v", c.TIME2, size=2), b"\x7f\xff\xfe\xce", timedelta(seconds=-1.5)),
        (ColumnFacts("v", c.TIME), (8_385_959 - 1).to_bytes(3, "little"), timedelta(hours=838, minutes=59, seconds=58)),
        (ColumnFacts("v", c.TIME), (0xFF_FFFF - 99).to_bytes(3, "little"), timedelta(minutes=-1)),
        (ColumnFacts("v", c.TIME), (8_388_607).to_bytes(3, "little"), UNSURE),
        (ColumnFacts("v", c.DATETIME), (20240102030405).to_bytes(8, "little"), datetime(2024, 1, 2, 3, 4, 5)),  # noqa: DTZ001
        (ColumnFacts("v", c.DATETIME), (20240002030405).to_bytes(8, "little"), UNSURE),
        (ColumnFacts("v", c.NEWDATE), (2024 << 9 | 2 << 5 | 30).to_bytes(3, "little"), UNSURE),
        (ColumnFacts("v", LONG), b"\xff\xff\xff\xff", -1),
        (ColumnFacts("v", LONG, is_unsigned=True), b"\xff\xff\xff\xff", 4_294_967_295),
        (ColumnFacts("v", c.JSON, size=4), b"\0", UNSURE),
    ],
)
def test_a_value_is_what_select_shows_or_unsure(facts: ColumnFacts, raw: Any, value: object) -> None:
    assert decoder(facts)(raw) == value


def raw_map(kinds: Sequence[int], **known: Any) -> RawMap:
    empty: dict[str, Any] = {
        "sizes": [0] * len(kinds), "names": [], "unsigned": [], "charsets": [], "enums": [], "sets": [],
        "is_mariadb": True,
    }  # fmt: skip
    return RawMap(kinds, **{**empty, **known})


TABLE = (
    Column("id", "int", "int(10) unsigned", None),
    Column("code", "varchar", "varchar(9)", "latin1"),
    Column("kind", "enum", "enum('a','it''s')", "latin1"),
    Column("hash", "binary", "binary(4)", None),
)
KINDS = (LONG, c.VARCHAR, c.ENUM, c.STRING)


def test_a_map_with_metadata_speaks_for_itself() -> None:
    raw = raw_map(
        KINDS, sizes=[0, 0, 0, 4], names=["a", "b", "c", "d"], unsigned=[False] * 4, charsets=["utf8mb4", "binary"],
        enums=[["x"]],
    )  # fmt: skip
    found = resolve(raw, TABLE)
    assert [(one.name, one.charset, one.is_unsigned) for one in found] == [
        ("a", None, False), ("b", "utf8mb4", False), ("c", None, False), ("d", "binary", False),
    ]  # fmt: skip
    assert found[2].members == ("x",)


def test_columns_that_nobody_sees_come_last_and_are_passed_over() -> None:
    found = resolve(raw_map((*KINDS, c.TIMESTAMP2, c.TIMESTAMP2, c.LONGLONG), sizes=[0, 0, 0, 4, 6, 6, 0]), TABLE)
    assert [one.name for one in found] == ["id", "code", "kind", "hash", "row_start", "row_end", ""]
    with pytest.raises(MapMismatchError, match="have 5"):
        resolve(raw_map((*KINDS, c.LONGLONG), is_mariadb=False), TABLE)


def test_members_in_an_unknown_collation_come_from_the_table() -> None:
    names = ["id", "code", "kind", "hash"]
    found = resolve(raw_map(KINDS, sizes=[0, 0, 0, 4], names=names, enums=[["a", None]]), TABLE)
    assert found[2].members == ("a", "it's")
    fewer = resolve(raw_map(KINDS, sizes=[0, 0, 0, 4], names=names, enums=[[None]]), TABLE)
    assert fewer[2].members == (None,)


def test_members_and_decimals_are_read_as_information_schema_writes_them() -> None:
    kind = Column("v", "enum", r"enum('a\\b','it''s','x,y','nl\n','r\r','z\0','\\n')", "latin1")
    assert kind.members == [r"a\b", "it's", "x,y", "nl\n", "r\r", "z\0", r"\n"]
    assert [Column("v", "float", text, None).decimals for text in ("float(10,2)", "float", "decimal(10,2)")] == [
        2, None, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("charset", "members"),
    [("utf8mb4", ["a", None]), ("utf16le", ["a", None]), ("utf8mb3", ["a", "b?"]), ("latin1", ["a", "b?"])],
)
def test_a_question_mark_may_stand_for_a_character_that_information_schema_cannot_write(
    charset: str, members: list[str | None]
) -> None:
    assert Column("v", "enum", "enum('a','b?')", charset).members == members


def test_a_map_without_metadata_is_completed_from_the_table() -> None:
    found = resolve(raw_map(KINDS, sizes=[0, 0, 0, 4]), TABLE)
    assert [(one.name, one.charset) for one in found] == [
        ("id", "binary"), ("code", "latin1"), ("kind", "latin1"), ("hash", "binary"),
    ]  # fmt: skip
    assert found[0].is_unsigned
    assert found[2].members == ("a", "it's")


@pytest.mark.parametrize("data_type", ["uuid", "inet6", "vector"])
def test_a_value_of_a_type_that_no_key_takes_is_not_the_bytes_that_the_map_says_it_is(data_type: str) -> None:
    """Of a UUID a SELECT shows a text; to the binlog it is a STRING of bytes."""
    raw = raw_map((c.STRING,), sizes=[16], names=["code"], charsets=["binary"])
    (altered,) = resolve(raw, (Column("code", data_type, data_type, None),))
    assert decoder(altered)(b"\x12") == Opaque(b"\x12")


def test_a_column_that_we_may_not_see_has_its_place_and_one_that_is_in_no_event_has_none() -> None:
    unseen = Column("", "", "", None)
    found = resolve(raw_map((LONG, LONG, *KINDS[1:]), sizes=[0, 0, 0, 0, 4]), (TABLE[0], unseen, *TABLE[1:]))
    assert [one.name for one in found] == ["id", "", "code", "kind", "hash"]
    found = resolve(raw_map(KINDS, sizes=[0, 0, 0, 4], is_mariadb=False), (TABLE[0], unseen, *TABLE[1:]))
    assert [one.name for one in found] == ["id", "code", "kind", "hash"]


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        ((LONG, c.VARCHAR), "has 4 columns, its binlog events have 2"),
        ((LONG, LONG, c.ENUM, c.STRING), "column code is varchar"),
        ((LONG, 141, c.ENUM, c.ENUM), "column hash is binary"),
        ((LONG, 139, c.ENUM, c.STRING), "unknown type 139"),
        ((*KINDS, c.LONG), "has 4 columns, its binlog events have 5"),
    ],
)
def test_a_map_that_does_not_fit_the_table_is_not_read(kinds: Sequence[int], problem: str) -> None:
    with pytest.raises(MapMismatchError, match=problem):
        resolve(raw_map(kinds), TABLE)
