"""Every decoder of the protocol on anything at all: an answer or a named error of ours, no other, and no hang."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.versioning.pushes import encode_push
from versioning import header
from versioning.backends.base import UnavailableError
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_stream import decode_push
from versioning.checkpoint import Checkpoint
from versioning.entries import KINDS, Change, Entry, Generation, Heartbeat, NewEntry, Poisoned, decode, encode_body
from versioning.errors import FormatError, StamplineError
from versioning.header import ValueHeader
from versioning.keys import KeyFormatError, KeyTemplate, check_key, encode_value
from versioning.stamp import STAMP_MAX, parse, text

FUZZ = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from([
    "keys", "namespaces", "gtid", "reason", "read_ms", "applied_ms", "start_ms", "spread_ms", "since_ms",
    "committed_ms", "pending", "settled", "origin", "dc", "id", "nonce", "position",
])  # fmt: skip
NEARLY = st.dictionaries(NAMES, JSON | st.lists(st.text(max_size=5), max_size=3), max_size=8).map(json.dumps)
DEEP = st.integers(1, 100_000).map(lambda depth: "[" * depth + "]" * depth) | st.integers(1, 9_000).map("9".__mul__)
INSIDE = st.builds('{{"{}":{}}}'.format, NAMES, DEEP)
BODIES = NEARLY | DEEP | INSIDE | st.text(max_size=60) | JSON.map(json.dumps)
STAMPS = st.integers(0, STAMP_MAX)
TEXT = st.text(max_size=80)


@FUZZ
@given(STAMPS, st.sampled_from([*KINDS, "", "other"]), TEXT, TEXT, BODIES)
def test_an_entry_is_read_or_poisoned_and_never_raises(
    stamp: int, kind: str, nonce: str, previous: str, body: str
) -> None:
    entry = decode(stamp, {"t": kind, "n": nonce, "p": previous, "b": body})
    assert (entry.stamp, entry.nonce, entry.previous) == (stamp, nonce, previous)
    if not isinstance(entry.body, Poisoned):
        again = decode(
            stamp, {"t": kind, "n": nonce, "p": previous, "b": encode_body(NewEntry(nonce, entry.body, entry.origin))}
        )
        assert again == entry


@FUZZ
@given(st.dictionaries(TEXT, TEXT, max_size=6))
def test_foreign_fields_are_a_poisoned_entry(fields: dict[str, str]) -> None:
    assert isinstance(decode(1, fields).body, Poisoned)


@FUZZ
@given(st.binary(max_size=200) | st.builds(lambda tail: header.MAGIC + tail, st.binary(max_size=60)))
def test_a_value_has_a_header_or_is_a_miss(data: bytes) -> None:
    try:
        found, payload = header.unpack(data)
    except FormatError:
        return
    assert header.pack(found, payload) == data


@FUZZ
@given(STAMPS, st.integers(0, (1 << 64) - 1), st.booleans(), st.binary(max_size=40))
def test_what_was_packed_is_unpacked(stamp: int, fill_ms: int, is_provisional: bool, payload: bytes) -> None:  # noqa: FBT001
    packed = ValueHeader(stamp, fill_ms, is_provisional)
    assert header.unpack(header.pack(packed, payload)) == (packed, payload)


@FUZZ
@given(st.binary(max_size=200) | BODIES.map(lambda body: f"1-0 {'a' * 16} - change {body}".encode(errors="replace")))
def test_a_push_is_an_entry_or_ends_the_subscription(data: bytes) -> None:
    with suppress(UnavailableError):
        assert isinstance(decode_push(data), Entry)


@FUZZ
@given(STAMPS, st.sampled_from([Change(("a:1", "b:ü")), Heartbeat(5), Generation(("a",), 1, 2, "a reason")]))
def test_a_push_carries_the_entry(stamp: int, body: Change | Heartbeat | Generation) -> None:
    entry = NewEntry("ab" * 8, body)
    assert decode_push(encode_push(stamp, entry, "")) == Entry(stamp, "ab" * 8, "", body)


@FUZZ
@given(TEXT | STAMPS.map(text) | st.from_regex(r"[0-9]{1,25}-[0-9]{1,25}", fullmatch=True))
def test_a_stamp_is_canonical_or_refused(given_text: str) -> None:
    try:
        assert text(parse(given_text)) == given_text
    except FormatError:
        return


@FUZZ
@given(TEXT | BODIES)
def test_whatever_a_checkpoint_says_it_is_compared_as_it_was_found(given_text: str) -> None:
    assert Checkpoint.decode(given_text).encode() == given_text


PARSERS: dict[str, Callable[[str], object]] = {
    "key template": KeyTemplate.parse,
    "key": check_key,
    "redis url": RedisAddress.parse,
}


@pytest.mark.parametrize("name", PARSERS)
@FUZZ
@given(given_text=TEXT | BODIES | st.from_regex(r"(rediss?|sentinels?|clusters?|[a-z_]+):[^\n]{0,40}", fullmatch=True)
       | st.from_regex(r"[a-z]{1,3}:(\{[a-z|]{0,9}\}:?){0,4}", fullmatch=True))  # fmt: skip
def test_text_is_parsed_or_refused_by_a_named_error(name: str, given_text: str) -> None:
    with suppress(StamplineError):
        PARSERS[name](given_text)


VALUES = st.none() | st.integers() | st.text(max_size=20) | st.binary(max_size=20) | st.decimals() | st.floats() | \
    st.datetimes() | st.dates() | st.timedeltas() | st.booleans() | st.lists(st.integers(), max_size=2)  # fmt: skip


@FUZZ
@given(VALUES, VALUES)
def test_a_value_has_one_text_or_none_and_two_values_never_the_same(left: object, right: object) -> None:
    template = KeyTemplate.parse("a:{x}:{y|lower}")
    try:
        texts = encode_value(left), encode_value(right)
        key = template.render({"x": left, "y": right})
    except KeyFormatError:
        return
    assert key is not None
    assert key.isascii()
    assert check_key(key) == key
    assert all(type(part) is str and ":" not in part for part in texts)
