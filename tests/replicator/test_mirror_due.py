"""How far a mirror may say that the replicas are while what is pending is looked at in parts."""

from typing import Any, cast

from replicator.mirror.beats import NO_BEAT
from replicator.mirror.board import GateBoard
from replicator.mirror.due import TICK_MS, Due
from replicator.mirror.gate import Wanted
from replicator.mirror.options import BATCH_ENTRIES_MAX, MirrorOptions, MirrorStats
from replicator.mirror.state import MirrorState
from replicator.mirror.target import MirrorTarget
from tests.replicator.mirror_world import ScriptedGate
from versioning import stamp as stamps
from versioning.backends.memory import MemoryStream
from versioning.entries import Change, Entry, Heartbeat, Origin
from versioning.liveness import Now

PARTS = 3
BEAT, LATER = Heartbeat(1_000, gtid="0-1-9"), Heartbeat(2_000, gtid="0-1-9")


class Site:
    """A mirror to which ``PARTS`` appends are pending, and a replica that has applied all."""

    def __init__(self) -> None:
        self.now = Now(10**12, 100_000)
        options = MirrorOptions()
        self.board = GateBoard(
            [ScriptedGate(applied="0-1-9")],
            MirrorStats(),
            lambda _: Wanted(),
            lambda: None,
            lambda: None,
            monotonic_ms=lambda: self.now.monotonic_ms,
            answer_life_ms=10_000,
        )
        stream = MemoryStream(lambda: self.now.ms)
        self.target = MirrorTarget(stream, options, MirrorStats(), lambda: self.now, self.board)
        self.due = Due(options, self.target, self.board)
        for number in range(1, (PARTS - 1) * BATCH_ENTRIES_MAX + 2):
            self.take(Change((f"t:{number}",), "0-1-5", pending=True))

    @property
    def state(self) -> MirrorState:
        return self.target.state

    def take(self, body: Change) -> None:
        stamp = self.state.last + (1 << stamps.SEQUENCE_BITS)
        entry = Entry(stamp, f"n{stamp}", self.state.nonce, body, Origin(self.state.dc, "1-0", "n"))
        self.state.take(entry, self.now.ms)

    async def ask(self) -> None:
        [view] = self.board._views
        self.board._accept(view, await self.board._ask(view, Wanted()))

    def say(self, applied: Heartbeat) -> Heartbeat:
        """Append what is due; return what a heartbeat of the same append may say of the replicas."""
        agains = self.due.agains(self.now, None, applied)
        may_say = self.due.told(applied)
        for again in agains:
            self.take(cast("Any", again.body))
        return may_say


async def test_up_to_where_a_look_began_is_told_when_it_is_over() -> None:
    site = Site()
    await site.ask()
    assert [site.say(BEAT) for _ in range(PARTS)] == [NO_BEAT] * (PARTS - 1) + [BEAT]
    assert site.state.pending_count == 0
    assert site.due.told(LATER) == LATER, "nothing is pending"


async def test_what_the_replicas_have_come_to_since_a_look_began_waits_for_the_next_one() -> None:
    site = Site()
    await site.ask()
    assert [site.say(beat) for beat in (BEAT, BEAT, LATER)][-1] == BEAT
    site.take(Change(("t:1",), "0-1-10", pending=True))
    assert site.say(LATER) == BEAT, "it is not time yet for the next one"
    site.now = Now(site.now.ms + TICK_MS, site.now.monotonic_ms + TICK_MS)
    assert site.say(LATER) == LATER


async def test_what_was_about_to_be_said_by_an_append_that_failed_is_said_first() -> None:
    site = Site()
    await site.ask()
    assert [site.say(BEAT) for _ in range(PARTS)][-1] == BEAT
    site.take(Change(("t:1",), "0-1-5", pending=True))
    site.due.begin_anew()
    assert site.due.told(BEAT) == NO_BEAT
    assert site.say(BEAT) == BEAT


async def test_what_a_replica_has_lost_it_is_not_said_to_have() -> None:
    site = Site()
    await site.ask()
    site.say(BEAT)
    site.take(Change(("t:1",), "0-1-10", pending=True))
    assert site.due.told(NO_BEAT) == NO_BEAT
