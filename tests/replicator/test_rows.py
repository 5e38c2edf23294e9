"""From values to keys: what cannot be derived is its namespace, and only what nobody can hold is nothing."""

import pytest

from replicator.binlog.rows import TooLong, Underivable, Values, key_of
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
