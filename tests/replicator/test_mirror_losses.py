"""Streams that have lost entries: their end, their beginning, all of them, or some in the middle."""

from dataclasses import replace

from replicator.mirror.reasons import is_said_again
from tests.eventually import now_ms
from tests.replicator.mirror_world import FAST, PATIENT, MirrorWorld, ScriptedGate, assert_joined
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Replayed
from versioning.limits import SPREAD_LATE_MS


def is_of(entry: Entry, gtid: str) -> bool:
    return isinstance(entry.body, Change) and entry.body.gtid == gtid


def is_new(body: Body) -> bool:
    return not is_said_again(body.reason) if isinstance(body, Gap) else isinstance(body, Change) and not body.settled


async def lose_second_change(world: MirrorWorld) -> Entry:
    """Let the target fall back to what it had after the first one; return the last entry that is gone."""
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    snapshot = world.target.snapshot()
    await world.change(2)
    lost = (await world.until(lambda v: v.keys == ["t:1", "t:2"])).entries[-1]
    world.fail_over(snapshot)
    return lost


async def test_a_flushed_target_gets_a_gap_all_the_origin_has_and_its_claim(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-3")
    await world.begin_target()
    mirror = world.start(gate)
    await world.write(Gap("first", "0-1-0"), Replayed(now_ms() - 400_000, "0-1-0"))
    for number in range(1, 4):
        await world.change(number)
    await world.beat("0-1-3")
    await world.until(lambda v: v.keys == ["t:1", "t:2", "t:3"])
    above = (await world.entries())[-1].stamp
    world.target.flush()
    await world.beat("0-1-3")
    view = await world.until(lambda v: any(isinstance(e.body, Replayed) and e.body.gtid == "0-1-3" for e in v.entries))
    assert isinstance(view.entries[0].body, Gap)
    assert view.keys == ["t:1", "t:2", "t:3"]
    assert view.entries[0].stamp > above
    state, origin = await world.target.state(), await world.origin.state()
    assert origin.since <= state.since < view.entries[0].stamp
    assert mirror.stats.breaks_by_reason["checkpoint_lost"] == 1


async def test_a_target_that_lost_the_gap_of_a_new_beginning_gets_another_one(world: MirrorWorld) -> None:
    """The one before it stands for less: what was trimmed between the two is nowhere else."""
    gate, options = ScriptedGate(applied="0-1-1"), replace(FAST, gate_limit_ms=60_000)
    await world.change(2)
    await world.beat("0-1-1")
    first = world.start(gate, options=options)
    await world.until(lambda v: len(v.gaps) == 1)
    await first.kill()
    snapshot = world.target.snapshot()
    for number in (3, 4):
        await world.change(number)
        await world.beat("0-1-1")
    world.origin.trim((await world.origin.read_before(None, count=2))[1].stamp)
    world.start(gate, options=options)
    await world.until(lambda v: len(v.gaps) == 2)
    world.fail_over(snapshot)
    await world.until(lambda v: len(v.gaps) == 2)


async def test_a_target_that_lost_writes_gets_them_again_with_new_stamps(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-2")
    world.start(gate)
    lost = await lose_second_change(world)
    await world.beat("0-1-2")
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"] and bool(v.heartbeats))
    again = next(e for e in view.entries if isinstance(e.body, Change) and e.body.keys == ("t:2",))
    assert again.stamp > lost.stamp
    assert len(view.gaps) == 1
    assert_joined(view)


async def test_what_a_target_lost_of_pending_data_is_said_again_though_nothing_more_comes(world: MirrorWorld) -> None:
    world.start(ScriptedGate(applied="0-1-1"))
    lost = await lose_second_change(world)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert view.changes[-1].pending
    assert view.entries[-1].stamp > lost.stamp


async def test_a_loss_of_the_target_is_noticed_while_a_late_generation_keeps_heartbeats_out(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate(applied="0-1-1"))
    await world.beat("0-1-1")
    await world.until(lambda v: bool(v.heartbeats) and mirror.stats.pending == 0)
    began_ms = now_ms()
    late = Generation(("t",), began_ms, 60_000, "TRUNCATE", "0-1-1", committed_ms=began_ms - SPREAD_LATE_MS)
    await world.write(late)
    await world.until(lambda v: bool(v.generations))
    world.target.flush()
    await world.until(lambda v: bool(v.generations))


async def test_a_flushed_origin_is_a_gap_and_then_its_own_replay(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    await world.begin_target()
    mirror = world.start(gate)
    await world.change(1)
    await world.beat("0-1-1")
    await world.until(lambda v: v.keys == ["t:1"])
    world.origin.flush()
    await world.write(Gap("flushed", "0-1-1"))
    await world.change(1)
    await world.write(Replayed(7, "0-1-1"))
    await world.beat("0-1-1")
    view = await world.until(lambda v: any(body.since_ms < now_ms() - FAST.window_ms for body in v.replays))
    kinds = [type(e.body) for e in view.entries if not isinstance(e.body, Heartbeat)]
    assert kinds[:5] == [Gap, Change, Gap, Gap, Change]
    assert mirror.stats.breaks >= 1


async def test_an_origin_that_lost_writes_is_joined_after_the_last_shared_entry(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    mirror = world.start(gate)
    for number in range(1, 6):
        await world.change(number)
    snapshot = world.origin.snapshot()
    await world.change(6)
    await world.until(lambda v: len(v.keys) == 6)
    world.origin.restore(snapshot)
    await world.change(6)
    await world.change(7)
    view = await world.until(lambda v: len(v.keys) == 8)
    assert view.keys == ["t:1", "t:2", "t:3", "t:4", "t:5", "t:6", "t:6", "t:7"]
    assert len(view.gaps) == 1
    assert mirror.stats.breaks_by_reason["origin_changed"] == 1


async def test_an_idle_origin_that_was_flushed_is_noticed(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate(applied="0-1-99"))
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    world.origin.flush()
    await world.until(lambda v: mirror.stats.breaks_by_reason.get("origin_shortened") == 1)


async def test_an_origin_trimmed_past_the_checkpoint_is_a_gap(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    await world.copy_one_and_die(gate)
    await world.change(2)
    await world.change(3)
    world.origin.trim((await world.origin.read_before(None, count=1))[0].stamp)
    world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:3"])
    assert len(view.gaps) == 2


async def test_entries_missing_in_the_middle_are_a_gap(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    await world.copy_one_and_die(gate)
    await world.change(2)
    await world.change(3)
    await world.beat("0-1-3")
    world.origin.drop(lambda entry: is_of(entry, "0-1-2"))
    world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:3"])
    assert view.gaps[-1].gtid == "0-1-3"


async def test_a_mirror_claims_no_replay_of_which_another_one_has_left_out_a_part(world: MirrorWorld) -> None:
    early, late = ScriptedGate(applied="0-1-99"), ScriptedGate(applied="0-1-0")
    slow = world.start(late, options=PATIENT)
    await world.write(Gap("the origin replays", "0-1-0"))
    await world.beat("0-1-0")
    await world.until(lambda v: len(v.gaps) > 1 and bool(v.heartbeats))
    await world.change(1)
    await world.change(2)
    await world.until(lambda v: slow.stats.held == 2)
    world.origin.drop(lambda entry: is_of(entry, "0-1-1"))
    other = world.start(early)
    await world.beat("0-1-2")
    await world.until(lambda v: v.keys == ["t:2"])
    await other.kill()
    late.apply("0-1-3")
    await world.write(Replayed(1_000, gtid="0-1-2"))
    await world.change(3)
    view = await world.until(lambda v: v.keys == ["t:2", "t:3"] and slow.stats.held == 0)
    assert "0-1-2" not in [body.gtid for body in view.replays]


async def test_a_mirror_gets_past_every_tear_of_a_backlog(world: MirrorWorld) -> None:
    """Nothing of it has left the gate when the second one is met: to begin anew there would be to do so for ever."""
    first = world.start(ScriptedGate(applied="0-1-1"))
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await first.kill()
    for number in range(2, 9):
        await world.change(number)
    world.origin.drop(lambda entry: is_of(entry, "0-1-3") or is_of(entry, "0-1-5"))
    world.origin.poison(nonce="by", previous="hand")
    await world.change(9)
    await world.beat("0-1-9")
    mirror = world.start(ScriptedGate(applied="0-1-9"), options=PATIENT)
    await world.until(lambda v: v.keys == [f"t:{number}" for number in (1, 2, 4, 6, 7, 8, 9)])
    said = [body.keys[0] if isinstance(body, Change) else "gap" for body in await world.bodies() if is_new(body)]
    assert said == ["gap", "t:1", "t:2", "gap", "t:4", "gap", "t:6", "t:7", "t:8", "gap", "gap", "gap", "t:9"]
    assert mirror.stats.breaks_by_reason == {"origin_torn": 4}
