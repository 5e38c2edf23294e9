"""What ``stampline tail`` shows of the stream, and in which words."""

import itertools

import pytest

from versioning import stamp as stamps
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.cli import tail
from versioning.cli.describe import entry_fields, entry_line
from versioning.cli.tail import entries, is_wanted
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
    ReadBody,
    Replayed,
)

AT_MS = 1_700_000_000_123


def everything(_: Entry) -> bool:
    return True


def entry(body: ReadBody) -> Entry:
    return Entry(stamps.make(AT_MS, 7), "n", "p", body, Origin("a", "1-0", "o"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (Change(("a:1", "b:2"), gtid="0-1-5", pending=True), "change      a:1 b:2 [pending] 0-1-5"),
        (Generation(("a",), 0, 30_000, "truncate"), "a spread 30000 ms: truncate"),
        (Heartbeat(AT_MS), "read 2023-11-14T22:13:20.123Z applied -"),
        (Replayed(AT_MS), "since 2023-11-14T22:13:20.123Z"),
        (Gap("flushed"), "gap         flushed"),
        (Poisoned("not JSON"), "gap         not JSON"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_entry_is_a_line(body: ReadBody, words: str) -> None:
    line = entry_line(entry(body))
    assert line.startswith("2023-11-14T22:13:20.123Z  1700000000123-7  ")
    assert words in line


def test_a_time_that_no_calendar_has_is_shown_as_it_is() -> None:
    assert f"read {10**17} ms applied" in entry_line(entry(Heartbeat(10**17)))


@pytest.mark.parametrize("body", [Generation(("a",), 0, 0, "x\x1b[2J\ny\u202ez"), Gap("x\x1b[2J\ny\u202ez")])
def test_what_would_act_in_a_terminal_is_escaped(body: ReadBody) -> None:
    assert r"x\x1b[2J\ny\u202ez" in entry_line(entry(body))


def test_an_entry_is_json_with_its_stamp_as_text() -> None:
    fields = entry_fields(entry(Change(("a:1",))))
    assert (fields["stamp"], fields["kind"], fields["keys"]) == ("1700000000123-7", "change", ("a:1",))
    assert fields["origin"] == {"dc": "a", "id": "1-0", "nonce": "o"}


@pytest.mark.parametrize(
    ("body", "is_shown"),
    [
        (Change(("a:1", "b:1")), True),
        (Change(("b:1",)), False),
        (Generation(("b",), 0, 0, ""), False),
        (Gap("lost"), True),
        (Heartbeat(1), False),
    ],
    ids=repr,
)
def test_a_namespace_filters_but_never_hides_a_gap(body: Body, is_shown: bool) -> None:  # noqa: FBT001
    assert is_wanted(entry(body), "a", heartbeats=False) is is_shown


@pytest.mark.parametrize(("count", "shown"), [(2, [1, 2]), (9, [0, 1, 2])])
async def test_it_begins_so_many_entries_back_and_follows(count: int, shown: list[int]) -> None:
    stream, nonces = MemoryStream(lambda: AT_MS), itertools.count()

    async def append(number: int) -> int:
        new = NewEntry(f"{next(nonces):016x}", Change((f"a:{number}",)))
        return (await stream.append(Append((new,), clock_ms=AT_MS)))[0]

    written = [await append(number) for number in range(3)]
    following = entries(stream, count, everything, follow=True)
    assert [(await anext(following)).stamp for _ in shown] == [written[number] for number in shown]
    live = await append(3)
    assert (await anext(following)).stamp == live
    assert [found.stamp async for found in entries(stream, 1, everything, follow=False)] == [live]


async def test_only_what_is_wanted_counts_however_far_back_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "PAGE_ENTRIES", 4)
    stream, notes = MemoryStream(lambda: AT_MS), list[str]()
    bodies: list[Body] = [Change(("a:1",)), *[Heartbeat(1)] * 9, Change(("a:2",)), *[Heartbeat(1)] * 30]
    new = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies))
    written = await stream.append(Append(new, clock_ms=AT_MS))

    async def shown(count: int) -> list[int]:
        found = entries(
            stream, count, lambda entry: is_wanted(entry, "", heartbeats=False), follow=False, note=notes.append
        )
        return [entry.stamp async for entry in found]

    assert await shown(0) == []
    assert await shown(1) == [written[10]]
    assert await shown(10) == [written[0], written[10]]
    assert not notes
    monkeypatch.setattr(tail, "LOOK_BACK_MAX", 32)
    assert await shown(10) == [written[10]]
    assert notes == ["only the last 32 entries were looked at"]


class Shaky(MemoryStream):
    """A stream whose next read fails."""

    is_lost = False

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        if self.is_lost:
            self.is_lost = False
            raise UnavailableError("Redis b:1 is not available")
        return await super().read_after(after, count=count, block_ms=0)


async def test_it_outlives_a_lost_connection_and_a_stream_that_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "AGAIN_S", 0.001)
    stream, notes = Shaky(lambda: AT_MS), list[str]()

    async def append(nonce: str) -> int:
        return (await stream.append(Append((NewEntry(nonce, Change((f"a:{nonce}",))),), clock_ms=AT_MS)))[0]

    await append("1" * 16)
    early = stream.snapshot()
    await append("2" * 16)
    following = entries(stream, 1, everything, follow=True, note=notes.append)
    await anext(following)
    stream.is_lost = True
    third = await append("3" * 16)
    assert (await anext(following)).stamp == third
    assert notes == ["Redis b:1 is not available; trying again"]
    stream.restore(early)
    again = await anext(following)
    assert again.nonce == "1" * 16
    assert "set back" in notes[-1]
