"""How a mirror reads the last window of the target stream, while that is appended to, trimmed, or loses entries."""

import pytest

from replicator.mirror import fold
from replicator.mirror.fold import read_window
from replicator.mirror.position import MirrorPosition
from replicator.mirror.state import MirrorState
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.entries import Body, Change, Entry, Heartbeat, NewEntry, Origin

BEGIN_MS = 1_700_000_000_000
WINDOW_MS = 10_000
COPIED = MirrorPosition(stamps.make(2), "n")


class Stream(MemoryStream):
    """Its clock goes on by a second with each append."""

    def __init__(self) -> None:
        self.now_ms = BEGIN_MS
        super().__init__(lambda: self.now_ms)

    async def write(self, body: Body, *, is_mirrored: bool = True) -> int:
        self.now_ms += 1_000
        origin = None if isinstance(body, Heartbeat) or not is_mirrored else Origin("a", "1-0", "n")
        (stamp,) = await self.append(Append((NewEntry(str(self.now_ms), body, origin),), clock_ms=0))
        return stamp


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "PAGE_ENTRIES", 2)


async def read(stream: MemoryStream) -> MirrorState:
    """As a mirror does that starts."""
    return (await read_window(stream, lambda: MirrorState("a", WINDOW_MS), None, BEGIN_MS)).carrying(COPIED)


def pending(key: str) -> Change:
    return Change((key,), "0-1-1", pending=True)


async def test_what_is_older_than_a_window_is_not_read() -> None:
    stream = Stream()
    for number in range(15):
        await stream.write(pending(f"t:{number}"))
    await stream.write(Heartbeat(1, 1))
    state = await read(stream)
    assert list(state.keys) == [f"t:{number}" for number in range(5, 15)]
    assert not state.unclaimed_ms


async def test_a_window_that_was_trimmed_is_not_whole() -> None:
    stream = Stream()
    written = [await stream.write(pending(f"t:{number}")) for number in range(15)]
    stream.trim(written[6])
    state = await read(stream)
    assert list(state.keys) == [f"t:{number}" for number in range(6, 15)]
    assert stamps.ms_of(written[6]) < state.unclaimed_ms <= stamps.ms_of(written[7])
    assert state.is_short


@pytest.mark.parametrize("silence", [Change(("t:bumped",)), pending("t:said_again")], ids=["bumps", "some_said_again"])
@pytest.mark.parametrize(("silence_s", "is_short"), [(5, False), (6, True)])
async def test_what_is_pending_may_be_just_beyond_a_window_in_whose_younger_half_no_heartbeat_is(
    silence_s: int,
    is_short: bool,  # noqa: FBT001
    silence: Change,
) -> None:
    stream = Stream()
    for number in range(14):
        await stream.write(pending(f"t:{number}"))
    await stream.write(Heartbeat(1, 1))
    for _ in range(silence_s):
        await stream.write(silence, is_mirrored=silence.pending)
    state = await read(stream)
    assert (state.is_short, bool(state.unclaimed_ms)) == (is_short, is_short)


async def test_nothing_is_known_of_an_empty_stream() -> None:
    state = await read(Stream())
    assert not state.pending_count
    assert state.unclaimed_ms > BEGIN_MS


class Failing(Stream):
    """Loses its last entry once two pages were read, and goes on with others."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.is_loss = True
        """False: only the link between two entries is gone, as where some between were deleted."""

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        self.reads += 1
        if self.reads == 3:
            await self._fail()
        return await super().read_after(after, count=count, block_ms=block_ms)

    async def _fail(self) -> None:
        if self.is_loss:
            self.restore(self.kept)
        else:
            deleted = await self.write(pending("t:deleted"))
            self.drop(lambda entry: entry.stamp == deleted)
        await self.write(pending("t:new"))

    async def fill(self) -> None:
        for number in range(3):
            await self.write(pending(f"t:{number}"))
        self.kept = self.snapshot()
        await self.write(pending("t:lost"))


async def test_what_is_lost_while_it_is_read_is_not_taken_for_said() -> None:
    stream = Failing()
    await stream.fill()
    assert list((await read(stream)).keys) == ["t:0", "t:1", "t:2", "t:new"]


async def test_entries_deleted_in_the_middle_do_not_keep_a_mirror_from_starting() -> None:
    stream = Failing()
    stream.is_loss = False
    await stream.fill()
    assert list((await read(stream)).keys) == ["t:0", "t:1", "t:2", "t:lost", "t:new"]


async def test_what_was_deleted_in_the_middle_may_have_been_pending() -> None:
    stream = Stream()
    written = [await stream.write(pending(f"t:{number}")) for number in range(15)]
    await stream.write(Heartbeat(1, stamps.ms_of(written[9]) + 500))
    stream.drop(lambda entry: entry.stamp == written[10])
    state = await read(stream)
    assert "t:10" not in state.keys
    assert state.is_short
    assert stamps.ms_of(written[11]) < state.unclaimed_ms <= stamps.ms_of(written[12])


async def test_what_was_deleted_from_the_end_may_have_been_pending() -> None:
    stream = Stream()
    written = [await stream.write(pending(f"t:{number}")) for number in range(15)]
    await stream.write(Heartbeat(1, stamps.ms_of(written[14]) + 500))
    stream.drop(lambda entry: entry.stamp >= written[14])
    state = await read(stream)
    assert state.is_short
    assert state.unclaimed_ms > stamps.ms_of(written[14])


async def test_a_mirror_that_knew_what_was_deleted_says_it_again() -> None:
    stream = Stream()
    written = [await stream.write(pending(f"t:{number}")) for number in range(5)]
    before = await read(stream)
    before.is_short = False
    stream.drop(lambda entry: entry.stamp == written[2])
    fold = await read_window(stream, lambda: MirrorState("a", WINDOW_MS), before, BEGIN_MS)
    state = fold.carrying(COPIED)
    assert set(state.keys) == {f"t:{number}" for number in range(5)}
    assert not state.is_short


async def test_where_the_checkpoint_is_lost_the_stream_tells_what_was_copied() -> None:
    stream = Stream()
    written = [await stream.write(pending(f"t:{number}")) for number in range(5)]
    before = await read(stream)
    stream.drop(lambda entry: entry.stamp == written[2])
    fold = await read_window(stream, lambda: MirrorState("a", WINDOW_MS), before, BEGIN_MS)
    assert "t:2" in fold.carrying(None).keys
