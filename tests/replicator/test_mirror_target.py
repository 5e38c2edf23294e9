"""What a mirror believes of the target stream once that has lost what was written there."""

import pytest

from replicator.mirror.board import GateBoard
from replicator.mirror.gate import LATELY_MS, Wanted
from replicator.mirror.options import MirrorStats
from replicator.mirror.position import MirrorPosition
from replicator.mirror.target import MirrorTarget
from replicator.mirror.words import LOST_KEY
from tests.replicator.mirror_world import PATIENT, ScriptedGate
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, Heartbeat, NewEntry, Origin
from versioning.liveness import Now

BEGIN_MS = 1_700_000_000_000
DOWN_MS = 4 * LATELY_MS


class Site:
    """A stream, a mirror's view of it, and the gate of one replica, at one clock."""

    def __init__(self) -> None:
        self.now = Now(BEGIN_MS, DOWN_MS)
        self.stream = MemoryStream(lambda: self.now.ms)
        self.gate = ScriptedGate(applied="0-1-5")
        self.rewinds = 0
        """How often the board has asked that what databases have lost is said."""
        self.board = GateBoard(
            [self.gate],
            MirrorStats(),
            lambda _: Wanted(),
            lambda: None,
            self.rewound,
            monotonic_ms=lambda: self.now.monotonic_ms,
            answer_life_ms=10_000,
        )
        self.target = MirrorTarget(self.stream, PATIENT, MirrorStats(), lambda: self.now, self.board)

    def rewound(self) -> None:
        self.rewinds += 1

    async def pass_time(self, ms: int, *, is_asked: bool) -> None:
        """``is_asked``: whether the replica answers all the time."""
        for _ in range(ms // LATELY_MS):
            self.now = Now(self.now.ms + LATELY_MS, self.now.monotonic_ms + LATELY_MS)
            if is_asked:
                await self.ask()

    async def append(self, new: NewEntry) -> None:
        """Append as another mirror, with a checkpoint."""
        stored = await self.stream.checkpoint(PATIENT.writer)
        told = Checkpoint("1-0/n", BEGIN_MS, new.nonce)
        await self.stream.append(Append((new,), clock_ms=0, writer=PATIENT.writer, expected=stored, checkpoint=told))

    async def ask(self) -> None:
        [view] = self.board._views
        self.board._accept(view, await self.board._ask(view, Wanted()))


@pytest.mark.parametrize("is_asked", [True, False])
async def test_what_the_replicas_had_is_unknown_where_the_mirror_could_not_watch_and_what_others_said_is_lost(
    *, is_asked: bool
) -> None:
    """One may have gone back and have caught up since."""
    site = Site()
    await site.ask()
    beat = NewEntry("1", Heartbeat(BEGIN_MS, BEGIN_MS - 500))
    await site.stream.append(
        Append((beat,), clock_ms=0, writer=PATIENT.writer, checkpoint=Checkpoint("", BEGIN_MS, "1"))
    )
    await site.target.sync()
    assert site.target.state.lags.applied_ms
    await site.pass_time(DOWN_MS, is_asked=is_asked)
    await site.ask()
    site.stream.restore(MemoryStream(lambda: site.now.ms).snapshot())
    await site.target.sync()
    assert bool(site.target.state.lags.applied_ms) is is_asked
    assert site.board.has_applied("0-1-5") is is_asked


async def test_what_another_mirror_says_to_be_lacking_counts_for_one_that_starts_until_its_own_next_answer() -> None:
    site = Site()
    await site.ask()
    await site.append(NewEntry("1", Change(("t:1",), "0-1-5", pending=True), Origin(PATIENT.origin_dc, "1-0", "n")))
    site.now = Now(site.now.ms + 1, site.now.monotonic_ms + 1)
    await site.target.sync()
    assert not site.board.has_applied("0-1-5")
    await site.ask()
    assert site.board.has_applied("0-1-5")


async def test_what_is_said_to_have_been_lost_was_had_by_whichever_database_lacks_it() -> None:
    """Between two questions of this mirror, perhaps: values of it were served."""
    site = Site()
    await site.append(NewEntry("1", Heartbeat(BEGIN_MS)))
    await site.ask()
    await site.target.sync()
    await site.append(NewEntry("2", Change((LOST_KEY,), "0-1-8", pending=True), Origin(PATIENT.origin_dc, "1-0", "n")))
    await site.target.sync()
    assert not site.board.has_applied("0-1-5")  # It names what was lost, not what is left.
    await site.ask()
    now_ms = site.now.monotonic_ms
    assert not site.board.says_unapplied("0-1-7", came_ms=now_ms, committed_ms=now_ms)
    assert site.board.says_unapplied("0-1-9", came_ms=now_ms, committed_ms=now_ms)
    site.gate.apply("0-1-8")
    await site.ask()
    assert not site.board.is_behind


async def test_what_is_said_in_a_window_to_have_been_lost_counts_for_one_that_starts() -> None:
    """It may have asked before that, and not reach the database since."""
    site = Site()
    await site.ask()
    site.now = Now(site.now.ms + 1, site.now.monotonic_ms + 1)
    await site.append(NewEntry("1", Change((LOST_KEY,), "0-1-8", pending=True), Origin(PATIENT.origin_dc, "1-0", "n")))
    await site.target.sync()
    assert site.board.lost == "0-1-8"
    assert not site.board.has_applied("0-1-5")


@pytest.mark.parametrize(("told", "is_said_again"), [("0-1-8", False), ("0-1-7", True), ("", True)])
async def test_what_a_database_had_is_said_again_where_the_stream_has_lost_that(
    told: str,
    is_said_again: bool,  # noqa: FBT001
) -> None:
    """Other mirrors may not have read it, and go by what the database told them before."""
    site, origin = Site(), Origin(PATIENT.origin_dc, "1-0", "n")
    await site.append(NewEntry("1", Heartbeat(BEGIN_MS)))
    await site.ask()
    left = site.stream.snapshot()
    await site.append(NewEntry("2", Change((LOST_KEY,), "0-1-8", pending=True), origin))
    await site.target.sync()
    site.stream.restore(left)
    await site.append(NewEntry("3", Change((LOST_KEY if told else "t:1",), told or "0-1-5", pending=True), origin))
    await site.target.sync()
    assert bool(site.rewinds) is is_said_again


async def test_no_stamp_of_what_the_stream_has_lost_is_handed_out_again() -> None:
    site = Site()
    empty = site.stream.snapshot()
    stamps = []
    for _ in range(2):
        await site.target.sync()
        await site.target.append([(Heartbeat(BEGIN_MS), None)], MirrorPosition(), BEGIN_MS, BEGIN_MS)
        stamps.append(site.target.state.last)
        site.stream.restore(empty)
    assert stamps[0] < stamps[1]


async def test_an_append_tells_how_the_stream_was_when_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer may be read much later: another mirror has written meanwhile, and that is lost."""
    site, append = Site(), MemoryStream.append

    async def late(stream: MemoryStream, batch: Append) -> list[int]:
        stamps = await append(stream, batch)
        await site.pass_time(DOWN_MS, is_asked=False)
        await site.ask()
        return stamps

    await site.ask()
    await site.target.sync()
    monkeypatch.setattr(MemoryStream, "append", late)
    beat = Heartbeat(BEGIN_MS, BEGIN_MS - 500)
    await site.target.append([(beat, None)], MirrorPosition(), BEGIN_MS, BEGIN_MS)
    site.stream.restore(MemoryStream(lambda: site.now.ms).snapshot())
    await site.target.sync()
    assert not site.target.state.lags.applied_ms


async def test_what_another_mirror_says_is_no_older_than_the_last_look_at_the_stream_whatever_the_clocks_say() -> None:
    """Else a replica that had not applied it then would be taken for one that went back."""
    site = Site()

    await site.append(NewEntry("1", Heartbeat(BEGIN_MS)))
    await site.ask()
    await site.target.sync()
    await site.append(NewEntry("2", Change(("t:1",), "0-1-6"), Origin(PATIENT.origin_dc, "1-0", "n")))
    site.now = Now(site.now.ms + 60_000, site.now.monotonic_ms + 1)
    await site.target.sync()
    [view] = site.board._views
    assert view.stats.rewinds == 0
    assert view.promised
