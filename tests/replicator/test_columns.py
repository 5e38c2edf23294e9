"""Table maps and values: what SELECT would show, or nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from replicator.binlog import columns as c
from replicator.binlog.columns import UNSURE, ColumnFacts, converter
from replicator.binlog.schema import Column
from replicator.binlog.tablemap import MapMismatchError, RawMap, resolve

LONG, DATETIME2 = 3, 18


@pytest.mark.parametrize(
    ("facts", "raw", "value"),
    [
        (ColumnFacts("v", c.VARCHAR, "utf8mb4"), "Ã¤", "ä"),
        (ColumnFacts("v", c.VARCHAR, "latin1"), "\x80", "€"),
        (ColumnFacts("v", c.VARCHAR, "utf8mb4"), "\xff", UNSURE),
        (ColumnFacts("v", c.VARCHAR, "klingon"), "a", UNSURE),
        (ColumnFacts("v", c.VARCHAR, None), "a", UNSURE),
        (ColumnFacts("v", c.BLOB, "binary"), "\x00\xff", b"\x00\xff"),
        (ColumnFacts("v", c.STRING, "binary", size=4), "\x01", b"\x01\0\0\0"),
        (ColumnFacts("v", c.STRING, "utf8mb4", size=40), "ab", "ab"),
        (ColumnFacts("v", c.BIT, size=2), "0100000001", b"\x01\x01"),
        (ColumnFacts("v", c.SET, set_members=("x", "y", "z")), {"z", "x"}, "x,z"),
        (ColumnFacts("v", c.ENUM), "a", "a"),
        (ColumnFacts("v", c.FLOAT), 0.10000000149011612, 0.1),
        (ColumnFacts("v", c.YEAR), 1900, 0),
        (ColumnFacts("v", c.TIMESTAMP2), datetime(1970, 1, 1), UNSURE),  # noqa: DTZ001
        (ColumnFacts("v", c.TIME2), timedelta(seconds=-3), timedelta(seconds=-3)),
        (ColumnFacts("v", c.TIME2), timedelta(seconds=-1.5), UNSURE),
        (ColumnFacts("v", c.TIME), timedelta(hours=1677), UNSURE),
        (ColumnFacts("v", LONG), 7, 7),
    ],
)
def test_a_value_is_what_select_shows_or_unsure(facts: ColumnFacts, raw: Any, value: object) -> None:
    assert converter(facts)(raw) == value


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
    assert [(one.facts.name, one.facts.charset, one.is_unsigned) for one in found] == [
        ("a", None, False), ("b", "utf8mb4", False), ("c", None, False), ("d", "binary", False),
    ]  # fmt: skip
    assert found[2].members == ("x",)


def test_a_map_without_metadata_is_completed_from_the_table() -> None:
    found = resolve(raw_map(KINDS, sizes=[0, 0, 0, 4]), TABLE)
    assert [(one.facts.name, one.facts.charset) for one in found] == [
        ("id", "binary"), ("code", "latin1"), ("kind", "latin1"), ("hash", "binary"),
    ]  # fmt: skip
    assert found[0].is_unsigned
    assert found[2].members == ("a", "it's")


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        ((LONG, c.VARCHAR), "has 4 columns, its binlog events have 2"),
        ((LONG, LONG, c.ENUM, c.STRING), "column code is varchar"),
        ((LONG, 140, c.ENUM, c.STRING), "unknown type 140"),
    ],
)
def test_a_map_that_does_not_fit_the_table_is_not_read(kinds: Sequence[int], problem: str) -> None:
    with pytest.raises(MapMismatchError, match=problem):
        resolve(raw_map(kinds), TABLE)
