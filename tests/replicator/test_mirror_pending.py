"""What a replica has not applied in time enters as pending, and is said again until every replica has it."""

from dataclasses import replace

import pytest

from tests.eventually import now_ms
from tests.replicator.mirror_world import FAST, MirrorWorld, ScriptedGate, trim_what_is_pending
from versioning.entries import Change, Generation


@pytest.mark.parametrize("gtid", ["7-1-3", "0-1-2,7-1-3", "no gtid at all", "source.000002/90"])
async def test_a_gtid_the_replica_does_not_know_enters_as_pending(world: MirrorWorld, gtid: str) -> None:
    world.start(ScriptedGate(applied="0-1-9"))
    await world.write(Change(("t:1",), gtid=gtid))
    view = await world.until(lambda v: bool(v.changes))
    assert view.changes[0] == Change(("t:1",), gtid=gtid, pending=True)


async def test_a_key_that_waited_too_long_is_pending_and_settled_later(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    await world.change(2, "t:2", "t:3")
    view = await world.until(lambda v: bool(v.changes))
    assert view.changes[0].pending
    gate.apply("0-1-2")
    view = await world.until(lambda v: len(v.changes) == 2)
    pending, settled = view.changes
    assert (settled.keys, settled.gtid, settled.settled, settled.pending) == (pending.keys, "0-1-2", True, False)


async def test_a_generation_that_waited_too_long_is_settled_with_its_own_spread(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    start_ms = now_ms() + 60_000
    generation = Generation(("t",), start_ms, spread_ms=70, reason="TRUNCATE", gtid="0-1-2")
    await world.write(generation)
    await world.until(lambda v: any(isinstance(e.body, Generation) and e.body.pending for e in v.entries))
    gate.apply("0-1-2")
    view = await world.until(lambda v: any(isinstance(e.body, Generation) and e.body.settled for e in v.entries))
    settled = [e.body for e in view.entries if isinstance(e.body, Generation)][-1]
    assert (settled.namespaces, settled.start_ms, settled.spread_ms) == (("t",), start_ms, 70)


async def test_a_generation_spreads_from_when_it_is_told_however_long_it_was_on_its_way(world: MirrorWorld) -> None:
    """Else a whole namespace would be loaded at once when a link that was cut for longer than the spread is back."""
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    began_ms = now_ms()
    await world.write(Generation(("t",), began_ms - 600_000, 500, "TRUNCATE", "0-1-2", began_ms - 600_000))
    await world.until(lambda v: any(isinstance(e.body, Generation) and e.body.pending for e in v.entries))
    gate.apply("0-1-2")
    view = await world.until(lambda v: any(isinstance(e.body, Generation) and e.body.settled for e in v.entries))
    told, settled = (e.body for e in view.entries if isinstance(e.body, Generation))
    assert began_ms <= told.start_ms <= settled.start_ms


async def test_a_later_change_of_a_pending_key_ends_its_wait(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await world.change(2, "t:1")
    await world.until(lambda v: bool(v.changes))
    gate.is_down = True
    await world.change(3, "t:1")
    await world.until(lambda v: len(v.changes) == 2)
    gate.is_down = False
    gate.apply("0-1-3")
    view = await world.until(lambda v: len(v.changes) == 3)
    assert view.changes[-1].gtid == "0-1-3"
    await world.beat("0-1-3")
    await world.until(lambda v: mirror.stats.pending == 0)


async def test_a_restarted_mirror_finds_what_is_pending(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate(applied="0-1-1"))
    await world.change(2)
    await world.until(lambda v: bool(v.changes))
    await mirror.kill()
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await world.until(lambda v: mirror.stats.pending >= 1)
    gate.apply("0-1-2")
    view = await world.until(lambda v: len(v.changes) == 2)
    assert view.changes[-1].settled


async def test_a_removed_replica_is_waited_for_no_longer(world: MirrorWorld) -> None:
    stopped = ScriptedGate("stopped", "0-1-1")
    mirror = world.start(stopped, ScriptedGate("well", "0-1-9"))
    await world.change(2)
    await world.until(lambda v: bool(v.changes))
    await mirror.kill()
    world.start(ScriptedGate("well", "0-1-9"))
    view = await world.until(lambda v: len(v.changes) == 2)
    assert view.changes[-1].settled


async def test_a_pending_key_is_said_again_before_the_window_forgets_it(world: MirrorWorld) -> None:
    options = type(FAST)(gate_limit_ms=50, heartbeat_ms=20, window_ms=600, silence_ms=1_000)
    world.start(ScriptedGate(applied="0-1-1"), options=options)
    await world.change(2)
    view = await world.until(lambda v: len(v.changes) >= 3)
    assert all(body == Change(("t:2",), "0-1-2", body.committed_ms, pending=True) for body in view.changes)


async def test_without_a_listed_database_time_settles(world: MirrorWorld) -> None:
    world.start()
    await world.change(2)
    view = await world.until(lambda v: bool(v.changes) and v.changes[-1].settled)
    assert [(body.pending, body.settled) for body in view.changes] == [(True, False), (True, False), (False, True)]


async def test_a_newly_listed_replica_that_is_behind_makes_keys_pending(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate("old", "0-1-5"))
    await world.change(4)
    await world.change(5)
    await world.until(lambda v: len(v.keys) == 2)
    await mirror.kill()
    world.start(ScriptedGate("old", "0-1-5"), ScriptedGate("new", "0-1-4"))
    view = await world.until(lambda v: bool(v.pending))
    assert view.pending == [("t:5",)]


async def test_a_replica_that_is_down_has_applied_nothing_new(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await world.until(lambda v: mirror.is_up("replica"))
    gate.is_down = True
    gate.applied = "0-1-2"
    await world.until(lambda v: not mirror.is_up("replica"))
    await world.change(2)
    view = await world.until(lambda v: bool(v.changes))
    assert view.changes[0].pending
    gate.is_down = False
    await world.until(lambda v: v.changes[-1].settled)


async def test_a_pending_entry_trimmed_too_soon_is_said_again(world: MirrorWorld) -> None:
    """A process that starts after the trimming must learn of it from the stream."""
    world.start(ScriptedGate(applied="0-1-1"))
    await trim_what_is_pending(world)
    await world.until(lambda v: [body.keys for body in v.changes if body.pending] == [("t:2",)])


async def test_what_is_pending_is_said_again_after_a_failover_that_lost_none_of_it(world: MirrorWorld) -> None:
    """It may have taken back a trim: who began to read in between does not know of it."""
    world.start(ScriptedGate(applied="0-1-1"))
    await world.change(2)
    await world.until(lambda v: len(v.changes) == 1)
    world.fail_over(world.target.snapshot())
    await world.beat("0-1-2")
    view = await world.until(lambda v: len(v.changes) == 2)
    assert view.changes[0] == view.changes[1]
    assert view.changes[1].pending


async def test_what_is_pending_is_said_again_once_after_it_was_deleted_by_hand(world: MirrorWorld) -> None:
    """Mirrors know of a deletion by the next append. What that says is there."""
    world.start(ScriptedGate(applied="0-1-1"))
    await world.change(2)
    await world.beat("0-1-2")
    view = await world.until(lambda v: bool(v.changes and v.heartbeats))
    world.target.drop(lambda entry: entry.stamp <= view.entries[-1].stamp)
    await world.change(3)
    await world.until(lambda v: [body.keys for body in v.changes if body.pending] == [("t:3",), ("t:2",)])
    await world.beat("0-1-3")
    view = await world.until(lambda v: bool(v.heartbeats))
    assert [body.keys for body in view.changes] == [("t:3",), ("t:2",)]


async def test_a_stream_that_could_not_be_looked_at_is_looked_at_as_soon_as_it_answers(world: MirrorWorld) -> None:
    """It may have been trimmed just then."""
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=replace(FAST, check_ms=600_000))
    mirror.link.is_blind = True
    await trim_what_is_pending(world)
    mirror.link.is_blind = False
    await world.until(lambda v: [body.keys for body in v.changes if body.pending] == [("t:2",)])
