"""From a row of the binlog to its keys: what is known on either side is stamped, and what is not ages out."""

import struct

import pytest

from replicator.binlog import columns as c
from replicator.binlog.columns import UNSURE, ColumnFacts, Opaque
from replicator.binlog.events import RowImage, RowKind, RowsChanged
from replicator.binlog.kinds import PARTIAL_UPDATE_ROWS
from replicator.binlog.plan import Cascade, TablePlan
from replicator.binlog.rowdata.images import RowsDecoder
from replicator.binlog.rows import TooLong, Underivable, Values, has_changed, key_of
from replicator.binlog.tables import _row_column
from replicator.source.harvest import Harvest
from replicator.source.stats import SourceStats
from replicator.tables import TableName
from versioning.keys import KeyTemplate
from versioning.limits import KEY_BYTES_MAX

TABLE = TableName("shop", "item")
COLUMNS = [ColumnFacts("id", c.LONG), ColumnFacts("day", c.DATE), ColumnFacts("code", c.VARCHAR, "ascii", 60)]
BOTH, ID, DAY, ALL = b"\3", b"\1", b"\2", b"\7"
INSERT, UPDATE, DELETE = 30, 31, 32
KINDS = {INSERT: RowKind.INSERT, UPDATE: RowKind.UPDATE, DELETE: RowKind.DELETE, PARTIAL_UPDATE_ROWS: RowKind.UPDATE}
KNOWN, ZERO = 2024 << 9 | 1 << 5 | 2, 0


def number(value: int) -> bytes:
    return struct.pack("<I", value)


def day(bits: int) -> bytes:
    return bits.to_bytes(3, "little")


def row(*cells: bytes, text: str | None = None) -> bytes:
    """One image in which nothing is NULL."""
    code = b"" if text is None else bytes([len(text)]) + text.encode()
    return b"\0" + b"".join(cells) + code


def stamped(kind: int, data: bytes, *templates: str, cascade: tuple[str, ...] = ()) -> tuple[list[str], dict[str, str]]:
    """Keys, and namespaces aged out: what the rows of one event come to, from the bytes on."""
    parsed = tuple(KeyTemplate.parse(template) for template in templates)
    cascades = [Cascade(RowKind.UPDATE, cascade, frozenset({"child"}))] if cascade else []
    plan = TablePlan(parsed, frozenset(template.namespace for template in parsed), cascades)
    decoder = RowsDecoder(TABLE, [_row_column(facts, plan.columns) for facts in COLUMNS])
    harvest = Harvest(1_000, SourceStats())
    body = bytes([len(COLUMNS)]) + data
    harvest.take(RowsChanged(TABLE, KINDS[kind], decoder.images(kind, body, 0, len(body))), plan)
    return list(harvest.keys), harvest.reasons


FULL_TO_ZERO = BOTH * 2 + row(number(1), day(KNOWN)) + row(number(1), day(ZERO))
FULL_FROM_ZERO = BOTH * 2 + row(number(1), day(ZERO)) + row(number(1), day(KNOWN))
ZERO_TO_ZERO = BOTH * 2 + row(number(1), day(ZERO)) + row(number(1), day(ZERO))
MINIMAL_TO_ZERO = ID + DAY + row(number(1)) + row(day(ZERO))
MINIMAL_UNNAMED = BOTH + ID + row(number(1), day(ZERO)) + row(number(2))
NOBLOB_TO_ZERO = BOTH + ALL + row(number(1), day(KNOWN)) + row(number(1), day(ZERO), text="c")


@pytest.mark.parametrize(
    ("kind", "data", "keys"),
    [
        (INSERT, BOTH + row(number(1), day(ZERO)), []),
        (DELETE, BOTH + row(number(1), day(ZERO)), []),
        (UPDATE, FULL_TO_ZERO, ["by_day:2024-01-02"]),
        (UPDATE, FULL_FROM_ZERO, ["by_day:2024-01-02"]),
        (UPDATE, ZERO_TO_ZERO, []),
        (UPDATE, MINIMAL_TO_ZERO, []),
        (UPDATE, MINIMAL_UNNAMED, []),
        (UPDATE, NOBLOB_TO_ZERO, ["by_day:2024-01-02"]),
        (PARTIAL_UPDATE_ROWS, BOTH * 2 + row(number(1), day(KNOWN)) + b"\0" + row(number(1), day(ZERO)),
         ["by_day:2024-01-02"]),
    ],
    ids=["insert", "delete", "full to zero", "full from zero", "zero to zero", "minimal", "not named", "noblob",
         "partial"],
)  # fmt: skip
def test_a_value_that_is_not_sure_ages_out_its_namespace_and_what_is_known_is_stamped(
    kind: int, data: bytes, keys: list[str]
) -> None:
    found, aged = stamped(kind, data, "by_day:{day}")
    assert (found, set(aged)) == (keys, {"by_day"})


def test_a_template_that_does_not_use_the_column_has_all_its_keys() -> None:
    assert stamped(UPDATE, FULL_TO_ZERO, "item:{id}") == (["item:1"], {})
    keys, aged = stamped(UPDATE, FULL_TO_ZERO, "item:{id}", "by_day:{day}")
    assert (keys, set(aged)) == (["item:1", "by_day:2024-01-02"], {"by_day"})


@pytest.mark.parametrize("template", ["k:{id}:{day}", "k:{day}:{id}", "k:{day|lower}:{id}", "k:{id}:{day|trim|upper}"])
def test_one_column_of_several_that_is_not_sure_hides_the_key_with_or_without_filters(template: str) -> None:
    keys, aged = stamped(UPDATE, FULL_TO_ZERO, template)
    assert keys == [KeyTemplate.parse(template).render({"id": 1, "day": "2024-01-02"})]
    assert set(aged) == {"k"}


@pytest.mark.parametrize("columns", [("day",), ("id", "day"), ("day", "id")])
@pytest.mark.parametrize("data", [FULL_TO_ZERO, FULL_FROM_ZERO, ZERO_TO_ZERO, MINIMAL_TO_ZERO, NOBLOB_TO_ZERO])
def test_a_parents_key_that_is_not_sure_after_an_update_may_have_changed(data: bytes, columns: tuple[str, ...]) -> None:
    assert set(stamped(UPDATE, data, cascade=columns)[1]) == {"child"}


@pytest.mark.parametrize("data", [FULL_TO_ZERO, ZERO_TO_ZERO])
def test_a_parents_key_that_is_known_on_both_sides_or_not_named_did_not_change(data: bytes) -> None:
    assert stamped(UPDATE, data, cascade=("id",)) == ([], {})
    assert stamped(UPDATE, MINIMAL_UNNAMED, cascade=("day",)) == ([], {})


@pytest.mark.parametrize(
    ("before", "after", "is_changed"),
    [
        ({"a": 1}, {"a": 1}, False),
        ({"a": 1}, {"a": 2}, True),
        ({"a": 1}, {"a": UNSURE}, True),
        ({"a": UNSURE}, {"a": 1}, True),
        ({"a": UNSURE}, {"a": UNSURE}, True),
        ({}, {"a": UNSURE}, True),
        ({"a": UNSURE}, {}, False),
        ({"a": None}, {"a": None}, False),
        ({"a": Opaque(b"1")}, {"a": Opaque(b"1")}, False),
        ({"a": Opaque(b"1")}, {"a": Opaque(b"2")}, True),
    ],
)
def test_what_is_not_known_may_have_changed(
    before: dict[str, object],
    after: dict[str, object],
    is_changed: bool,  # noqa: FBT001
) -> None:
    assert has_changed(("a",), RowImage(before, after)) is is_changed


def test_a_key_is_too_long_only_where_every_value_is_known() -> None:
    template = KeyTemplate.parse("k:{a}:{b}")
    assert key_of(template, {"a": "x" * 600, "b": 1}) == TooLong()
    assert key_of(template, {"a": "x" * 600, "b": UNSURE}) == Underivable("k")
    assert key_of(template, {"a": UNSURE}) == Underivable("k")
    assert key_of(template, {"b": UNSURE}) == Underivable("k")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"email": "Joe"}, "user:joe"),
        ({}, Underivable("user")),
        ({"email": b"Joe"}, Underivable("user")),
        ({"email": Opaque(b"Joe")}, Underivable("user")),
        ({"email": "x" * KEY_BYTES_MAX}, TooLong()),
    ],
)
def test_a_row_is_a_key_or_its_namespace_or_too_long_for_anybody(values: Values, key: object) -> None:
    assert key_of(KeyTemplate.parse("user:{email|lower}"), values) == key
