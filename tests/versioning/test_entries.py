import dataclasses
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from versioning.checkpoint import Checkpoint, has_readers, mirror_writer, source_writer
from versioning.entries import (
    Body,
    Change,
    Entry,
    Gap,
    Generation,
    Heartbeat,
    NewEntry,
    Origin,
    Poisoned,
    decode,
    encode_body,
    kind_of,
    read,
)
from versioning.errors import HeaderFormatError
from versioning.header import SIZE, ValueHeader, pack, unpack
from versioning.stamp import STAMP_MAX

ORIGIN = ',"origin":{"dc":"a","id":"1-0","nonce":"ab"}'


def test_a_body_leaves_out_what_is_at_its_default_and_says_the_rest_in_words() -> None:
    assert encode_body(NewEntry("n", Change(("t:1",)))) == '{"keys":["t:1"]}'
    full = NewEntry("n", Change(("t:1",), "0-1-2", 3, pending=True), Origin("a", "1-0", "ab"))
    assert encode_body(full) == '{"keys":["t:1"],"gtid":"0-1-2","committed_ms":3,"pending":true' + ORIGIN + "}"
    assert encode_body(NewEntry("n", Heartbeat(0))) == '{"read_ms":0}'


changes = st.builds(
    Change, st.lists(st.text()).map(tuple), st.text(), st.integers(0, 2**63), st.booleans(), st.booleans()
)


@given(changes, st.none() | st.builds(Origin, st.text(), st.text(), st.text()))
def test_a_change_is_encoded_as_the_json_module_would(body: Change, origin: Origin | None) -> None:
    fields = {name: value for name, value in dataclasses.asdict(body).items() if name == "keys" or value}
    if origin is not None:
        fields["origin"] = dataclasses.asdict(origin)
    assert encode_body(NewEntry("n", body, origin)) == json.dumps(fields, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize(
    ("kind", "body", "named"),
    [
        ("", "{}", "unknown kind"),
        ("future", "{}", "newer stampline"),
        ("change", "", "not JSON"),
        ("change", "[" * 100_000, "not JSON"),
        ("change", "[]", "keys"),
        ("change", '{"keys":[]}', "keys"),
        ("change", '{"keys":"t:1"}', "keys"),
        ("change", '{"keys":["t:1",2]}', "keys"),
        ("change", '{"keys":["t:1"],"pending":1}', "pending"),
        ("heartbeat", '{"read_ms":true}', "read_ms"),
        ("heartbeat", '{"read_ms":-1}', "read_ms"),
        ("heartbeat", '{"read_ms":1.5}', "read_ms"),
        ("gap", '{"reason":"x","origin":{"dc":"a"}}', "origin"),
        ("generation", '{"namespaces":["t"],"start_ms":1,"reason":"x"}', "spread_ms"),
    ],
)
def test_garbage_decodes_to_a_poisoned_entry_that_names_what_is_wrong(kind: str, body: str, named: str) -> None:
    for entry in (
        decode(5, {"t": kind, "n": "nonce", "p": "before", "b": body}),
        read(5, kind, "nonce", "before", body.encode(), loads=orjson.loads),
    ):
        assert isinstance(entry.body, Poisoned)
        assert named in entry.body.reason
        assert (entry.nonce, entry.previous) == ("nonce", "before")


@pytest.mark.parametrize(
    "body", [b'{"keys":["t:\xff"]}', b'{"keys":["t:\\ud800"]}', b'{"keys":["t:1"],"committed_ms":NaN}']
)
def test_the_backends_parser_takes_no_key_for_another_one(body: bytes) -> None:
    """What is no UTF-8 or no JSON is never mended: a mended key would be another key."""
    assert isinstance(read(5, "change", "n", "p", body, loads=orjson.loads).body, Poisoned)


bodies = st.one_of(
    st.builds(
        Change,
        st.lists(st.text(min_size=1), min_size=1).map(tuple),
        st.text(),
        st.integers(0, 2**53),
        st.booleans(),
        st.booleans(),
    ),
    st.builds(Heartbeat, st.integers(0, 2**53), st.integers(0, 2**53)),
    st.builds(Gap, st.text()),
)


@given(bodies, st.none() | st.builds(Origin, st.text(), st.text(), st.text()))
def test_both_parsers_read_what_was_written(body: Body, origin: Origin | None) -> None:
    new = NewEntry("n", body, origin)
    text = encode_body(new)
    written = Entry(5, "n", "p", body, origin)
    assert decode(5, {"t": kind_of(body), "n": "n", "p": "p", "b": text}) == written
    assert read(5, kind_of(body), "n", "p", text.encode(), loads=orjson.loads) == written


@given(st.dictionaries(st.sampled_from("tnpbx"), st.text()))
def test_no_fields_whatever_make_decoding_raise(fields: dict[str, str]) -> None:
    decode(1, fields)


def test_fields_of_a_newer_version_are_skipped() -> None:
    body = '{"namespaces":["t"],"start_ms":1,"spread_ms":2,"reason":"x","colour":"red"}'
    assert decode(1, {"t": "generation", "b": body}).body == Generation(("t",), 1, 2, "x")


headers = st.builds(ValueHeader, st.integers(0, STAMP_MAX), st.integers(0, 2**63), st.booleans(), st.just(value=False))


@given(headers, st.binary())
def test_a_header_survives_the_round_trip(header: ValueHeader, payload: bytes) -> None:
    assert unpack(pack(header, payload)) == (header, payload)


@given(st.binary(max_size=40))
def test_foreign_bytes_are_refused_or_read_never_anything_else(data: bytes) -> None:
    try:
        header, payload = unpack(data)
    except HeaderFormatError:
        return
    assert pack(header, payload) == data


@pytest.mark.parametrize("damage", [slice(0, SIZE - 1), slice(1, None)])
def test_a_truncated_header_is_refused(damage: slice) -> None:
    with pytest.raises(HeaderFormatError):
        unpack(pack(ValueHeader(1, 2), b"")[damage])


def test_a_stream_that_only_sources_write_is_read_by_mirrors_alone() -> None:
    source, mirror = source_writer("a"), mirror_writer("a")
    assert [has_readers(writers) for writers in ([source], [mirror], [source, mirror], [])] == [False, True, True, True]


def test_a_checkpoint_survives_text() -> None:
    checkpoint = Checkpoint("0-1-2,1-1-5", 7, "ab")
    assert Checkpoint.decode(checkpoint.encode()) == checkpoint
    assert checkpoint.damaged is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0-1-2",
        "{}",
        "[]",
        '{"position":1,"read_ms":2,"nonce":"n"}',
        '{"position": "0-1-2", "read_ms": 2, "nonce": "n"}',
        '{"position":"\udcff","read_ms":2,"nonce":"n"}',
    ],
)
def test_of_a_damaged_checkpoint_nothing_is_believed_and_its_text_is_kept_as_it_is(text: str) -> None:
    found = Checkpoint.decode(text)
    assert found.damaged == found.encode() == text
    assert (found.position, found.read_ms, found.nonce) == (f"unreadable: {text!r}", 0, "")
