"""A heartbeat passes what every replica lacks, and nothing that readers must be told first."""

from dataclasses import replace

from replicator.mirror.gate import WAIT_MS
from replicator.mirror.options import BATCH_ENTRIES_MAX
from replicator.mirror.words import is_unapplied
from tests.eventually import now_ms
from tests.replicator.mirror_world import FAST, PATIENT, MirrorWorld, RunningMirror, ScriptedGate, trim_what_is_pending
from versioning import stamp as stamps
from versioning.backends.base import Append, UnavailableError
from versioning.entries import Change, Gap, Generation, Heartbeat
from versioning.limits import CLOCK_ERROR_MS, SPREAD_LATE_MS

WATCHED_MS = 2 * CLOCK_ERROR_MS
"""What is committed so much later than now, a mirror that has started has asked the gates since before that."""


async def test_no_heartbeat_passes_while_a_generation_spreads_that_was_stamped_long_after_its_commit(
    world: MirrorWorld,
) -> None:
    """What it ages out would be vouched for until its moment, older than any promise."""
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    began_ms = now_ms()
    in_time = Generation(("t",), began_ms, 60_000, "TRUNCATE", "0-1-1", committed_ms=began_ms + 90_000 - SPREAD_LATE_MS)
    await world.write(in_time, Heartbeat(began_ms, gtid="0-1-1"))
    await world.until(lambda v: bool(v.heartbeats))
    late = Generation(("t",), began_ms, 500, "TRUNCATE", "0-1-2", committed_ms=began_ms - SPREAD_LATE_MS)
    gate.apply("0-1-2")
    await world.write(late, Heartbeat(began_ms + 1))
    world.start(gate)
    await world.until(lambda v: v.heartbeats[-1].read_ms > began_ms)
    assert now_ms() >= began_ms + 500 + CLOCK_ERROR_MS


async def test_no_heartbeat_enters_with_a_generation_that_spreads_late(world: MirrorWorld) -> None:
    began_ms = now_ms()
    late = Generation(("t",), began_ms, 500, "TRUNCATE", "0-1-1", committed_ms=began_ms - SPREAD_LATE_MS)
    await world.write(late, Heartbeat(began_ms, gtid="0-1-1"))
    world.start(ScriptedGate(applied="0-1-1"))
    await world.until(lambda v: bool(v.heartbeats))
    assert now_ms() >= began_ms + 500 + CLOCK_ERROR_MS


async def test_heartbeats_pass_what_is_held_and_tell_what_is_applied(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate, options=PATIENT)
    await world.beat("0-1-1", read_ms=900)
    await world.until(lambda v: bool(v.gaps))
    await world.beat("0-1-1", read_ms=1_000)
    await world.until(lambda v: bool(v.heartbeats) and v.heartbeats[-1].applied_ms == 1_000)
    await world.change(2, later_ms=WATCHED_MS)
    await world.beat("0-1-2", read_ms=2_000)
    view = await world.until(lambda v: v.heartbeats[-1].read_ms == 2_000)
    assert view.heartbeats[-1].applied_ms == 1_000
    assert view.changes == []
    gate.apply("0-1-2")
    await world.until(lambda v: v.keys == ["t:2"])
    await world.beat("0-1-2", read_ms=3_000)
    await world.until(lambda v: v.heartbeats[-1] == Heartbeat(3_000, 3_000, "0-1-2"))


async def test_no_heartbeat_passes_a_gap(world: MirrorWorld) -> None:
    """What the gap stands for every replica may have: then a value without it would be vouched for."""
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate, options=replace(FAST, gate_limit_ms=2 * WAIT_MS))  # The replica says before that what it lacks.
    await world.beat("0-1-1", read_ms=1_000)
    await world.until(lambda v: bool(v.gaps) and bool(v.heartbeats))
    await world.change(2)
    await world.write(Gap("the binlog no longer has the position", "0-1-9"))
    await world.beat("0-1-9", read_ms=2_000)
    view = await world.until(lambda v: v.heartbeats[-1].read_ms == 2_000)
    bodies = [entry.body for entry in view.entries]
    beat = next(n for n, body in enumerate(bodies) if isinstance(body, Heartbeat) and body.read_ms == 2_000)
    assert "0-1-9" in [body.gtid for body in bodies[:beat] if isinstance(body, Gap)]


async def test_no_heartbeat_passes_what_one_append_does_not_hold(world: MirrorWorld) -> None:
    count = BATCH_ENTRIES_MAX + 10
    await world.write(*(Change((f"t:{number}",), gtid=f"0-1-{number}") for number in range(1, count + 1)))
    await world.beat(f"0-1-{count}", read_ms=1_000)
    world.start(ScriptedGate(applied=f"0-1-{count}"))
    view = await world.until(lambda v: len(v.keys) == count and bool(v.heartbeats))
    bodies = [entry.body for entry in view.entries]
    beat = next(n for n, body in enumerate(bodies) if isinstance(body, Heartbeat))
    assert sum(isinstance(body, Change) for body in bodies[:beat]) == count


async def test_no_heartbeat_says_that_the_replicas_have_what_is_still_to_be_settled(world: MirrorWorld) -> None:
    """That takes many appends. A mirror that starts when some of it was trimmed would take all of that for settled."""
    last, gate = 2 * BATCH_ENTRIES_MAX, ScriptedGate(applied="0-1-0")
    await world.begin_target()
    mirror = world.start(gate)
    await world.write(*(Change((f"t:{number}",), gtid=f"0-1-{number}") for number in range(1, last + 1)))
    await world.until(lambda v: mirror.stats.pending >= last)
    began_ms = now_ms()
    gate.apply(f"0-1-{last}")
    await world.until_beating(f"0-1-{last}", lambda: mirror.stats.applied_ms >= began_ms)
    bodies = [entry.body for entry in await world.entries()]
    told = next(n for n, body in enumerate(bodies) if isinstance(body, Heartbeat) and body.applied_ms >= began_ms)
    assert sum(isinstance(body, Change) and body.settled for body in bodies[:told]) == last


async def test_heartbeats_move_the_checkpoint_when_nothing_is_held(world: MirrorWorld) -> None:
    world.start(ScriptedGate(applied="0-1-1"))
    await world.beat("0-1-1", read_ms=1_000)
    last = (await world.origin.read_before(None, count=1))[0]
    wanted = f"{stamps.text(last.stamp)}/{last.nonce}"
    view = await world.until(lambda v: v.checkpoint is not None and v.checkpoint.position.startswith(wanted))
    assert view.checkpoint is not None
    assert view.checkpoint.read_ms == 1_000


async def test_no_heartbeat_is_made_without_one_of_the_origin(world: MirrorWorld) -> None:
    world.start(ScriptedGate(applied="0-1-9"))
    await world.change(1)
    await world.change(2)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert view.heartbeats == []


async def test_no_heartbeat_passes_what_a_replica_may_have_had_before_the_mirror_asked_it(world: MirrorWorld) -> None:
    """It may have gone back unseen, and values of it been served: a mirror of before would know."""
    gate = ScriptedGate(applied="0-1-1")
    await world.change(2)
    await world.beat("0-1-2")
    mirror = world.start(gate, options=PATIENT)
    view = await world.until(lambda v: mirror.stats.held > 0 and mirror.stats.gates["replica"].waits > 2)
    assert view.heartbeats == []
    gate.apply("0-1-2")
    await world.until(lambda v: bool(v.heartbeats))


async def test_a_heartbeat_does_not_pass_what_is_applied_and_only_waits_behind_another_domain(
    world: MirrorWorld,
) -> None:
    """A replica may be long behind in one (an ALTER, say), and its data of the other one is there."""
    gate = ScriptedGate(applied="0-1-1,1-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1,1-1-1", read_ms=1_000)
    await world.until(lambda v: bool(v.heartbeats) and v.heartbeats[-1].read_ms == 1_000)
    await world.write(Change(("t:1",), "1-1-2", committed_ms=now_ms() + WATCHED_MS))
    await world.beat("0-1-1,1-1-2", read_ms=2_000)
    await world.until(lambda v: v.heartbeats[-1].read_ms == 2_000)
    gate.apply("0-1-3,1-1-1")
    await world.write(Change(("t:2",), "0-1-3"))
    await world.beat("0-1-3,1-1-2", read_ms=3_000)
    asked = mirror.stats.gates["replica"].waits
    view = await world.until(lambda v: mirror.stats.held == 2 and mirror.stats.gates["replica"].waits > asked + 1)
    assert view.heartbeats[-1].read_ms == 2_000
    gate.apply("0-1-3,1-1-2")
    view = await world.until(lambda v: v.heartbeats[-1].read_ms == 3_000)
    assert view.keys == ["t:1", "t:2"]


async def test_a_heartbeat_does_not_pass_what_a_gate_could_not_be_asked_about(world: MirrorWorld) -> None:
    """After a cut the entries may have been applied long ago: "read up to now" would vouch for what they supersede."""
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1", read_ms=1_000)
    await world.until(lambda v: bool(v.heartbeats) and v.heartbeats[-1].read_ms == 1_000)
    gate.is_down = True
    await world.until(lambda v: mirror.stats.gates["replica"].errors > 0)
    await world.change(2, later_ms=WATCHED_MS)
    await world.beat("0-1-2", read_ms=2_000)
    view = await world.until(lambda v: mirror.stats.held == 1 and mirror.stats.gates["replica"].errors > 2)
    assert view.heartbeats[-1].read_ms == 1_000
    gate.is_down = False
    await world.until(lambda v: v.heartbeats[-1].read_ms == 2_000)
    assert mirror.stats.held == 1


async def followed(world: MirrorWorld) -> tuple[ScriptedGate, RunningMirror]:
    """A replica, and a mirror that has seen the source read all that it has."""
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=replace(FAST, source_late_ms=100))
    await world.beat("0-1-1")
    await world.until(lambda v: bool(v.heartbeats))
    return gate, mirror


async def test_no_heartbeat_passes_while_a_replica_has_what_the_source_says_there_is_not(world: MirrorWorld) -> None:
    """The source was left at a primary that the replica follows no more."""
    gate, mirror = await followed(world)
    gate.apply("0-2-2")
    await world.until_beating("0-1-1", lambda: mirror.stats.gates["replica"].is_ahead == 1)
    told_ms = (await world.until(lambda v: True)).heartbeats[-1].read_ms
    started = world.start(gate, options=replace(FAST, source_late_ms=600_000))
    await world.until_beating("0-1-1", lambda: started.stats.is_connected == 1 and started.is_up("replica"))
    await world.change(1, "t:of the old primary")
    view = await world.until(lambda v: v.keys == ["t:of the old primary"])
    assert view.heartbeats[-1].read_ms == told_ms
    await world.beat("0-2-2")
    await world.until(lambda v: v.heartbeats[-1].read_ms > told_ms)
    assert mirror.stats.gates["replica"].is_ahead == 0


async def test_a_replica_is_ahead_for_as_long_as_the_link_to_the_origin_takes(world: MirrorWorld) -> None:
    gate, mirror = await followed(world)
    gate.apply("0-1-2")
    before_ms = now_ms()
    await world.until(lambda v: mirror.stats.gates["replica"].applied == "0-1-2" and now_ms() > before_ms + 300)
    await world.beat("0-1-1", read_ms=before_ms)
    await world.until(lambda v: v.heartbeats[-1].read_ms == before_ms)
    assert mirror.stats.gates["replica"].is_ahead == 0


async def test_no_heartbeat_enters_before_the_gap_for_what_was_trimmed_though_its_append_fails(
    world: MirrorWorld,
) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await trim_what_is_pending(world, unseen_by=mirror)
    await world.beat("0-1-2")
    world.start(gate).link.is_broken = True
    view = await world.until(lambda v: bool(v.gaps) and len(v.heartbeats) > 1)
    assert isinstance(view.entries[1].body, Gap)


async def test_no_heartbeat_enters_before_what_a_replica_has_lost_is_said_again_though_an_append_fails(
    world: MirrorWorld,
) -> None:
    gate = ScriptedGate(applied="0-1-2")
    mirror = world.start(gate)
    await world.change(1)
    await world.change(2)
    await world.beat("0-1-2")
    await world.until(lambda v: len(v.changes) == 2 and isinstance(v.entries[-1].body, Heartbeat))
    failed: list[int] = []

    async def append(batch: Append) -> list[int]:
        if not failed and any(is_unapplied(new.body) for new in batch.entries):
            failed.append((await world.entries())[-1].stamp)
            await world.beat("0-1-2")
            raise UnavailableError("the connection was lost")
        return await world.target.append(batch)

    mirror.link.append = append  # type: ignore[method-assign]
    gate.apply("0-1-1")
    view = await world.until(lambda v: bool(failed) and v.entries[-1].stamp > failed[0])
    assert is_unapplied(next(entry.body for entry in view.entries if entry.stamp > failed[0]))
