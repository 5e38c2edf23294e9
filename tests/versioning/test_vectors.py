"""The vectors that a helper in another language is checked against, held against this one."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.versioning.pushes import encode_push
from tests.versioning.version_keys import Answer
from versioning import stamp as stamps
from versioning.backends.redis_stream import decode_push
from versioning.entries import Entry, Gap, NewEntry, Poisoned, decode, encode_body, kind_of
from versioning.errors import HeaderFormatError, StampFormatError
from versioning.follow import Follow
from versioning.header import ValueHeader, pack, plain_heads, unpack
from versioning.index import Index
from versioning.liveness import Now
from versioning.spread import moment_ms

FOLDER = Path(__file__).parents[1] / "vectors"


def load(name: str) -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return vectors


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = load(name)["cases"]
    return found


@pytest.mark.parametrize("case", cases("stamps"))
def test_stamps(case: dict[str, Any]) -> None:
    if case.get("invalid"):
        with pytest.raises(StampFormatError):
            stamps.parse(case["text"])
    else:
        assert stamps.parse(case["text"]) == int(case["integer"])
        assert stamps.text(int(case["integer"])) == case["text"]


@pytest.mark.parametrize("case", cases("headers"))
def test_headers(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["hex"])
    if case.get("invalid"):
        with pytest.raises(HeaderFormatError):
            unpack(data)
        # A fill stamp that is none passes here: no index believes it.
        assert all(head[0] > stamps.STAMP_MAX for head in plain_heads({"t:1": data}).values())
        return
    header = ValueHeader(stamps.parse(case["fill_stamp"]), int(case["fill_ms"]), case["provisional"], case["absent"])
    assert unpack(data) == (header, bytes.fromhex(case["payload_hex"]))
    assert pack(header, bytes.fromhex(case["payload_hex"])) == data
    plain = (header.fill_stamp, header.fill_ms, None if header.is_absent else bytes.fromhex(case["payload_hex"]))
    assert plain_heads({"t:0": None, "t:1": data}) == ({} if header.is_provisional else {"t:1": plain})


@pytest.mark.parametrize("case", cases("entries"))
def test_entries(case: dict[str, Any]) -> None:
    if case.get("poisoned"):
        assert isinstance(decode(1, case["fields"]).body, Poisoned)
        return
    stamp, fields = stamps.parse(case["stamp"]), case["fields"]
    entry = decode(stamp, fields)
    assert not isinstance(entry.body, Poisoned)
    new = NewEntry(entry.nonce, entry.body, entry.origin)
    assert (kind_of(entry.body), encode_body(new)) == (fields["t"], fields["b"])
    assert encode_push(stamp, new, entry.previous).decode() == case["push"]
    assert decode_push(case["push"].encode()) == entry


@pytest.mark.parametrize("case", cases("spread"))
def test_spread(case: dict[str, Any]) -> None:
    assert moment_ms(case["key"], case["start_ms"], case["spread_ms"]) == case["moment_ms"]


def entries_of(items: list[dict[str, Any]]) -> list[Entry]:
    """Return a stream as read back, each entry linked to the one before it unless it says otherwise."""
    found: list[Entry] = []
    for number, item in enumerate(items):
        previous = item.get("p", found[-1].nonce if found else "")
        fields = {"t": item["t"], "n": str(number), "p": previous, "b": json.dumps(item["b"])}
        found.append(decode(stamps.parse(item["stamp"]), fields))
    return found


@pytest.mark.parametrize("case", cases("verdicts"))
def test_verdicts(case: dict[str, Any]) -> None:
    index = Index(max_lag_ms=15_000)
    follow = Follow(index)
    follow.begin([], Now(0, 0))
    for entry in entries_of(load("verdicts")["entries"]):
        follow.take([entry], Now(stamps.ms_of(entry.stamp), stamps.ms_of(entry.stamp)))
    now = Now(case["now_ms"], case["now_ms"])
    fill_stamp = stamps.parse(case["fill_stamp"])
    verdict, proven_ago_ms = index.judge(case["key"], fill_stamp, now)
    assert (verdict.value, proven_ago_ms) == (case["verdict"], case["proven_ago_ms"])
    fresh = index.fresh({case["key"]: (fill_stamp, 0, b"")}, now)
    assert fresh == ([case["key"]] if case["verdict"] == "fresh" else [])


def followed(history: dict[str, Any], *, is_backwards: bool, now: Now) -> Index:
    entries = entries_of(history["entries"])
    follow = Follow(Index(max_lag_ms=15_000))
    follow.begin([], now)
    if "lost" in history:
        follow.take([Entry(stamps.parse(history["lost"]), "lost", "", Gap("of the lost history"))], now)
        follow.lose()
    if not is_backwards:
        follow.take(entries, now)
        return follow.index
    follow.begin(entries[history.get("unread", 0) :][::-1], now)
    if follow.wants_older and not history.get("unread"):
        follow.take_older([], now)
    return follow.index


HISTORIES = load("histories")["histories"]
WAYS = [(history, True) for history in HISTORIES] + [(history, False) for history in HISTORIES if "forwards" in history]


@pytest.mark.parametrize(("history", "is_backwards"), WAYS)
def test_histories(history: dict[str, Any], *, is_backwards: bool) -> None:
    now = Now(history["now_ms"], history["now_ms"])
    index = followed(history, is_backwards=is_backwards, now=now)
    for value in history["values"]:
        assert index.verdict(value["key"], stamps.parse(value["fill_stamp"]), now).value == value["verdict"], value
    for item in history["loads"]:
        stored = stamps.text(index.fill_stamp(item["key"])), index.is_key_pending(item["key"])
        assert stored == (item["fill_stamp"], item["provisional"]), item


@pytest.mark.parametrize("case", cases("version_keys"), ids=lambda case: case["about"])
def test_version_keys(case: dict[str, Any]) -> None:
    answer = Answer.of(case["key"], case["replies"])
    for value in case["values"]:
        assert answer.verdict(value["fill_stamp"], case["now_ms"]) == value["verdict"], value
    assert answer.load == (case["load"]["fill_stamp"], case["load"]["provisional"])
