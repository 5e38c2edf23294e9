"""Keys and templates: the vectors that every helper must meet, and the laws behind them."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from versioning.keys import KeyFormatError, KeyTemplate, TemplateError, check_key, encode_value

FOLDER = Path(__file__).parent.parent / "vectors"
VECTORS = json.loads((FOLDER / "keys.json").read_text())
TEXTS = json.loads((FOLDER / "key_texts.json").read_text())["cases"]

READERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "null": lambda _: None,
    "int": lambda value: int(value["value"]),
    "str": lambda value: value["value"],
    "bytes": lambda value: bytes.fromhex(value["hex"]),
    "decimal": lambda value: Decimal(value["value"]),
    "double": lambda value: float(value["value"]),
    "bool": lambda value: value["value"],
    "date": lambda value: date.fromisoformat(value["value"]),
    "datetime": lambda value: datetime.fromisoformat(value["value"]),
    "time": lambda value: timedelta(microseconds=value["microseconds"]),
}


@pytest.mark.parametrize("vector", VECTORS, ids=[f"{number}" for number in range(len(VECTORS))])
def test_a_template_gives_the_key_of_the_vector(vector: dict[str, Any]) -> None:
    values = {name: READERS[value["type"]](value) for name, value in vector["values"].items()}
    key = KeyTemplate.parse(vector["template"]).render(values)
    assert key == vector["key"]
    assert check_key(vector["key"]) == key


@pytest.mark.parametrize("vector", TEXTS, ids=[f"{number}" for number in range(len(TEXTS))])
def test_a_text_is_a_key_or_none(vector: dict[str, Any]) -> None:
    with nullcontext() if vector["valid"] else pytest.raises(KeyFormatError):
        assert check_key(vector["key"]) == vector["key"]


def test_a_template_knows_its_namespace_and_columns() -> None:
    template = KeyTemplate.parse("list:{tenant}:{status|lower}:{tenant}")
    assert template.namespace == "list"
    assert template.columns == ("tenant", "status")


class _Status(str, Enum):  # noqa: UP042  many programs have such
    OPEN = "open"


class _Plain(StrEnum):
    OPEN = "open"


class _Level(IntEnum):
    HIGH = 3


class _Rate(float, Enum):
    HALF = 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [(_Status.OPEN, "open"), (_Plain.OPEN, "open"), (_Level.HIGH, "3"), (_Rate.HALF, "0.5")],
    ids=["str", "StrEnum", "int", "float"],
)
def test_a_member_of_an_enum_gives_the_key_that_its_value_in_a_row_gives(value: Any, text: str) -> None:
    assert KeyTemplate.parse("t:{a}").render({"a": value}) == f"t:{text}"


@pytest.mark.parametrize(
    ("value", "key"),
    [("a@ä.example", "t:a@ä.example"), (42, "t:042"), (b"\x01", "t:1")],
    ids=["text in an f-string", "text for an integer", "a bool for a BIT"],
)
def test_a_cache_takes_keys_that_no_row_makes(value: object, key: str) -> None:
    """So nothing but INTEGRATION says it: these are well formed, and no change is ever stamped with one of them."""
    assert check_key(key) == key
    assert KeyTemplate.parse("t:{v}").render({"v": value}) != key


def test_an_absent_column_gives_no_key() -> None:
    assert KeyTemplate.parse("list:{tenant}:{status}").render({"tenant": 1}) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no literal namespace"),
        ("tracker", "no literal namespace"),
        (":{id}", "no literal namespace"),
        ("{id}:x", "no literal namespace"),
        ("a{id}:x", "no literal namespace"),
        ("a:{}", "names no column"),
        ("a:{|lower}", "names no column"),
        ("a:{b c}", "names no column"),
        ("a:{id|reverse}", "unknown filter 'reverse'"),
        ("a:{id", "not plain text"),
        ("a:id}", "not plain text"),
        ("a:{{id}}", "not plain text"),
        ("a b:{id}", "not plain text"),
        ("ä:{id}", "not plain text"),
        ("a:%20{id}", "not plain text"),
        ("a:{b}{c}", "run into each other"),
        ("a:{b}-{c}", "run into each other"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_a_hint(text: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem) as caught:
        KeyTemplate.parse(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    "value", [{"a"}, [1], {"j": 1}, float("nan"), float("inf"), Decimal("NaN"), "\ud800", object()]
)
def test_a_value_without_a_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(KeyFormatError):
        encode_value(value)


def test_a_filter_does_not_guess_the_text_of_bytes() -> None:
    with pytest.raises(KeyFormatError):
        KeyTemplate.parse("a:{b|lower}").render({"b": b"AB"})


def test_a_moment_with_a_zone_is_its_moment_in_utc() -> None:
    moment = datetime(2024, 1, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    assert encode_value(moment) == encode_value(datetime(2024, 1, 1, 23, 0, tzinfo=UTC)) == "2024-01-01%2023%3A00%3A00"


MALFORMED = ["", "nocolon", ":x", "a:b c", "a:{b}", "a:\n", "a:\x7f", "a:\u00a0", "a:\ud800"]


@pytest.mark.parametrize("key", [*MALFORMED, "a:" + "x" * 511, "a:" + "ä" * 256])
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(KeyFormatError):
        check_key(key)


def test_the_longest_key_has_512_bytes() -> None:
    assert check_key("a:" + "x" * 510)
    assert check_key("a:" + "ä" * 255)
    with pytest.raises(KeyFormatError, match="513 bytes"):
        KeyTemplate.parse("a:{v}").render({"v": "x" * 511})


values = st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.dates(), st.timedeltas())


@given(st.tuples(values, values), st.tuples(values, values))
def test_different_values_never_give_the_same_key(one: tuple[object, object], two: tuple[object, object]) -> None:
    template = KeyTemplate.parse("n:{a}:{b}")
    keys = []
    for first, second in (one, two):
        try:
            keys.append(template.render({"a": first, "b": second}))
        except KeyFormatError:
            return
    assert (keys[0] == keys[1]) == (_texts(one) == _texts(two))


def _texts(pair: tuple[object, object]) -> list[object]:
    """A number and its decimal text are the same value: SQL compares them equal too."""
    return [value if value is None or isinstance(value, bytes) else _plain(value) for value in pair]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else unquote(encode_value(value))


@given(st.integers(0, 9999), st.integers(0, 6))
def test_equal_numbers_give_equal_keys(number: int, places: int) -> None:
    assert encode_value(Decimal(number).scaleb(-places)) == encode_value(Decimal(f"{number}000").scaleb(-places - 3))
    assert encode_value(float(number)) == encode_value(number) == str(number)
