"""A replica that went back: what it lacks is pending again, whichever mirror has seen it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from replicator.mirror import writer
from replicator.mirror.reasons import REWOUND
from replicator.mirror.rewind import unapplied_again
from replicator.mirror.words import LOST_KEY, is_lost_word, is_unapplied
from tests.eventually import now_ms, until_async
from tests.replicator.mirror_world import FAST, PATIENT, MirrorWorld, ScriptedGate, Unreachable
from versioning.backends.memory import MemoryStream
from versioning.entries import Change, Entry, Gap, Heartbeat, Replayed


class Late(MemoryStream):
    """An origin that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__(now_ms)
        self.may_answer = asyncio.Event()

    async def read_one(self, stamp: int) -> Entry | None:
        await self.may_answer.wait()
        return await super().read_one(stamp)


async def test_a_replica_that_went_back_makes_its_keys_pending(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-5")
    mirror = world.start(gate)
    for number in range(3, 6):
        await world.change(number)
    await world.until(lambda v: len(v.keys) == 3)
    gate.apply("0-1-3")
    view = await world.until(lambda v: len(v.pending) == 2)
    assert view.pending == [("t:4",), ("t:5",)]
    assert mirror.stats.gates["replica"].rewinds == 1
    gate.apply("0-1-5")
    await world.until(lambda v: sum(body.settled for body in v.changes) == 2)


async def test_what_a_replica_had_is_said_whatever_entries_are_of_it(world: MirrorWorld) -> None:
    """The other mirror may have asked before it had that."""
    gate = ScriptedGate(applied="0-1-9")
    world.start(gate)
    await world.change(5)
    await world.until(lambda v: v.keys == ["t:5"])
    gate.apply("0-1-4")
    view = await world.until(lambda v: any(map(is_lost_word, v.changes)))
    assert [(body.keys, body.gtid) for body in view.changes[1:]] == [(("t:5",), "0-1-5"), ((LOST_KEY,), "0-1-9")]


async def test_a_mirror_that_does_not_reach_a_replica_hears_from_the_other_one_that_it_went_back(
    world: MirrorWorld,
) -> None:
    """Of what it lacks no entry is there yet: else the first one would take the next ones for applied everywhere."""
    seeing, cut_off = ScriptedGate(applied="0-1-5"), ScriptedGate(applied="0-1-5")
    world.start(seeing)
    await world.change(3)
    view = await world.until(lambda v: v.keys == ["t:3"])
    world.start(cut_off)
    await world.until(lambda v: world.mirrors[1].is_up("replica"))
    cut_off.is_down = True
    seeing.apply("0-1-3")
    view = await world.until(lambda v: is_lost_word(v.changes[-1]))
    assert (view.changes[-1].gtid, view.changes[-1].pending) == ("0-1-5", True)
    await world.change(4)
    view = await world.until(lambda v: v.changes[-1].keys == ("t:4",))
    assert view.changes[-1].pending


async def test_what_a_replica_lacks_is_not_said_before_the_gap_of_a_break_that_is_found_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would stand at the new beginning, and whoever goes on from there takes it for the gap."""
    is_looking, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any, **options: Any) -> Any:
        is_looking.set()
        await may_go_on.wait()
        return await unapplied_again(*arguments, **options)

    origin, gate = Late(), ScriptedGate(applied="0-1-5")
    world = MirrorWorld(origin)
    first = world.start(gate)
    for number in range(3, 6):
        await world.change(number)
    await world.until(lambda v: len(v.keys) == 3)
    await first.kill()
    origin.flush()
    gate.apply("0-1-3")
    monkeypatch.setattr(writer, "unapplied_again", slowly)
    mirror = world.start(gate)
    await is_looking.wait()
    origin.may_answer.set()
    await until_async(lambda: mirror.stats.breaks_by_reason.get("origin_changed", 0) > 0, "the break is found")
    may_go_on.set()
    view = await world.until(lambda v: len(v.pending) == 2)
    kinds = [type(entry.body) for entry in view.entries if not isinstance(entry.body, Heartbeat)]
    assert kinds[:7] == [Gap, Change, Change, Change, Gap, Change, Change]
    await world.close()


async def test_a_mirror_that_has_never_reached_the_origin_says_what_a_replica_lacks(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    cut_off = world.start(gate, origin=Unreachable())
    await world.until(lambda v: cut_off.stats.reconnects_by_reason.get("origin_lost", 0) > 0)
    other = world.start(gate)
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await other.kill()
    gate.apply("0-1-0")
    view = await world.until(lambda v: bool(v.pending))
    assert view.pending == [("t:1",)]


async def test_a_mirror_says_what_a_replica_lacks_though_nothing_has_come_since_the_origin_failed_over(
    world: MirrorWorld,
) -> None:
    gate = ScriptedGate(applied="0-1-3")
    mirror = world.start(gate)
    await world.change(1)
    await world.change(2)
    snapshot = world.origin.snapshot()
    await world.change(3)
    await world.until(lambda v: len(v.keys) == 3)
    world.origin.restore(snapshot)
    await world.until(lambda v: mirror.stats.breaks_by_reason.get("origin_changed") == 1)
    gate.apply("0-1-1")
    view = await world.until(lambda v: len(v.pending) == 2)
    assert view.pending == [("t:2",), ("t:3",)]
    await world.change(4)
    assert len((await world.until(lambda v: v.keys[-1] == "t:4")).gaps) == 1


async def test_a_replica_that_lost_what_the_stream_no_longer_names_is_a_gap_until_it_has_it_again(
    world: MirrorWorld,
) -> None:
    gate = ScriptedGate(applied="0-1-5")
    world.start(gate)
    await world.change(5)
    await world.beat("0-1-5")
    view = await world.until(lambda v: bool(v.heartbeats) and v.heartbeats[-1].gtid == "0-1-5")
    world.target.trim(view.entries[-1].stamp)
    gate.apply("0-1-3")
    view = await world.until(lambda v: bool(v.gaps))
    assert [(is_unapplied(gap), gap.gtid) for gap in view.gaps] == [(True, "0-1-5")]
    gate.apply("0-1-5")
    await world.until(lambda v: not is_unapplied(v.gaps[-1]))


async def test_while_a_replica_is_behind_what_others_say_of_it_is_looked_at(world: MirrorWorld) -> None:
    """The other mirror goes by what the replica told it before. With the origin away this one has nothing to append."""
    world.start(ScriptedGate(applied="0-1-5"))
    await world.change(3)
    await world.until(lambda v: bool(v.changes))
    gate = ScriptedGate(applied="0-1-5")
    mirror = world.start(gate, options=replace(FAST, check_ms=600_000), origin=Unreachable())
    await world.until(lambda v: mirror.is_up("replica"))
    gate.apply("0-1-3")
    await world.until(lambda v: mirror.stats.gates["replica"].rewinds == 1)
    await world.change(4)
    await world.until(lambda v: ("t:4",) in [body.keys for body in v.changes if body.pending])


async def test_a_replica_that_lacks_what_another_mirror_was_told_has_gone_back(world: MirrorWorld) -> None:
    """This one has not asked it meanwhile, and knows it only as it is now."""
    now, before = ScriptedGate(applied="0-1-1"), ScriptedGate(applied="0-1-1")
    late = world.start(now, options=PATIENT)
    world.start(before, options=PATIENT)
    await world.change(1)
    await world.beat("0-1-1")
    await world.until(lambda v: v.keys == ["t:1"] and bool(v.heartbeats))
    before.apply("0-1-2")
    await world.change(2)
    await world.until(lambda v: v.keys == ["t:1", "t:2"])
    await world.beat("0-1-2")
    view = await world.until(lambda v: bool(v.pending))
    assert view.pending == [("t:2",)]
    assert late.stats.gates["replica"].rewinds >= 1  # Twice, where the heartbeat was heard after this was found.


async def test_what_a_mirror_was_told_before_another_one_saw_the_replica_go_back_does_not_count(
    world: MirrorWorld,
) -> None:
    """It cannot ask the replica itself, and would say on how far that was: then a replay ends the wait for the rest."""
    await world.begin_target()
    seeing, blind = ScriptedGate(applied="0-1-9"), ScriptedGate(applied="0-1-9")
    first, other = world.start(seeing), world.start(blind)
    await world.write(Gap("first", "0-1-0"))
    await world.change(9)
    await world.beat("0-1-9")
    await world.until(lambda v: v.keys == ["t:9"] and v.heartbeats[-1].gtid == "0-1-9")
    blind.is_down = True
    await world.until(lambda v: not other.is_up("replica"))
    seeing.apply("0-1-4")
    said = await world.until(lambda v: v.gaps[-1].reason == REWOUND)
    await first.kill()
    read_ms = now_ms()
    await world.until_beating("0-1-9", lambda: other.stats.read_ms > read_ms)
    entries = (await world.entries())[len(said.entries) :]
    assert {entry.body.applied_ms for entry in entries if isinstance(entry.body, Heartbeat)} == {0}


async def test_a_replay_that_another_mirror_copied_says_nothing_of_the_replicas(world: MirrorWorld) -> None:
    gate, before = ScriptedGate(applied="0-1-1"), ScriptedGate(applied="0-1-1")
    late = world.start(gate, options=PATIENT)
    other = world.start(before)
    await world.write(Gap("first", "0-1-0"))
    await world.change(1)
    await world.beat("0-1-1")
    await world.until(lambda v: v.keys == ["t:1"] and bool(v.heartbeats))
    await world.change(2)
    await world.write(Replayed(1_000, gtid="0-1-2"))
    await world.until(lambda v: bool(v.replays))
    await other.kill()
    await world.beat("0-1-2")
    await world.until(lambda v: late.stats.entries_covered > 0 and late.stats.held == 0)
    waits = late.stats.gates["replica"].waits
    await world.until(lambda v: late.stats.gates["replica"].waits > waits + 1)
    assert late.stats.gates["replica"].rewinds == 0
