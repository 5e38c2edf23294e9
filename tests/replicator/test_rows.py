"""From values to keys: what cannot be derived is its namespace, and only what nobody can hold is nothing."""

import pytest

from replicator.binlog.columns import UNSURE
from replicator.binlog.events import RowImage
from replicator.binlog.rows import TooLong, Underivable, Values, has_changed, key_of, versions
from versioning.keys import KeyTemplate
from versioning.limits import KEY_BYTES_MAX


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"email": "Joe"}, "user:joe"),
        ({}, Underivable("user")),
        ({"email": b"Joe"}, Underivable("user")),
        ({"email": "x" * KEY_BYTES_MAX}, TooLong()),
    ],
)
def test_a_row_is_a_key_or_its_namespace_or_too_long_for_anybody(values: Values, key: object) -> None:
    assert key_of(KeyTemplate.parse("user:{email|lower}"), values) == key


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({"day": "a"}, {"day": UNSURE}, ["by:a", Underivable("by")]),
        ({"day": UNSURE}, {"day": "b"}, [Underivable("by"), "by:b"]),
        ({"day": UNSURE}, {"day": UNSURE}, [Underivable("by")]),
        ({"day": "a"}, {}, ["by:a"]),
        ({"day": UNSURE}, {}, [Underivable("by")]),
    ],
)
def test_a_value_that_cannot_be_read_is_not_one_that_did_not_change(
    before: Values, after: Values, keys: list[object]
) -> None:
    template = KeyTemplate.parse("by:{day}")
    assert [key_of(template, values) for values in versions(RowImage(before, after))] == keys


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("a", "a", False), ("a", "b", True), ("a", UNSURE, True), (UNSURE, "a", True), (UNSURE, UNSURE, True)],
)
def test_a_parent_key_that_cannot_be_read_may_have_changed(before: object, after: object, *, expected: bool) -> None:
    assert has_changed(("id",), RowImage({"id": before}, {"id": after})) is expected
