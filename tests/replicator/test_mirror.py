"""The mirror between two streams in memory: order, gate, pending, breaks, and any number of mirrors at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from replicator.mirror import run as mirror_run
from replicator.mirror import writer
from replicator.mirror.gate import WAIT_MS
from replicator.mirror.options import BATCH_ENTRIES_MAX
from replicator.mirror.reasons import REWOUND, UNREADABLE, is_said_again, said_again
from replicator.mirror.rewind import unapplied_again
from replicator.mirror.words import LOST_KEY, is_unapplied
from tests.eventually import now_ms, until_async
from tests.replicator.mirror_world import (
    DEADLINE_S,
    FAST,
    PATIENT,
    MirrorView,
    MirrorWorld,
    RunningMirror,
    ScriptedGate,
    Unreachable,
)
from versioning import stamp as stamps
from versioning.backends.base import Append, LoginRefusedError, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.client.pulse import Pulse
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Origin, Replayed
from versioning.limits import CLOCK_ERROR_MS, SPREAD_LATE_MS


@pytest.fixture
async def world() -> AsyncIterator[MirrorWorld]:
    world = MirrorWorld()
    yield world
    await world.close()


class Slow:
    """A target that answers an append when the test lets it."""

    def __init__(self, stream: MemoryStream) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self._stream = stream

    async def append(self, batch: Append) -> list[int]:
        self.began.set()
        await self.may_end.wait()
        return await self._stream.append(batch)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def is_of(entry: Entry, gtid: str) -> bool:
    return isinstance(entry.body, Change) and entry.body.gtid == gtid


def assert_joined(view: MirrorView) -> None:
    previous = ""
    for entry in view.entries:
        assert entry.previous == previous
        previous = entry.nonce
    assert [e.stamp for e in view.entries] == sorted({e.stamp for e in view.entries})


async def test_an_entry_is_mirrored_with_its_origin_when_the_replica_has_it(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-7")
    world.start(gate)
    await world.change(7)
    await world.beat("0-1-7")
    view = await world.until(lambda v: v.keys == ["t:7"])
    entry = next(e for e in view.entries if isinstance(e.body, Change))
    first = (await world.origin.read_after(0, count=1))[0]
    assert entry.origin == Origin("a", stamps.text(first.stamp), first.nonce)
    assert entry.body == first.body
    assert entry.nonce != first.nonce


async def test_an_entry_waits_until_the_replica_has_applied_it(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(1)
    await world.change(2)
    await world.until(lambda v: v.keys == ["t:1"])
    gate.apply("0-1-2")
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert not any(body.pending for body in view.changes)
    assert mirror.stats.gate_hold.count == mirror.stats.stream_latency.count == 2


async def test_an_entry_waits_for_every_listed_database(world: MirrorWorld) -> None:
    fast, slow = ScriptedGate("fast", "0-1-9"), ScriptedGate("slow", "0-1-4")
    world.start(fast, slow, options=PATIENT)
    await world.beat("0-1-4")
    await world.change(4)
    await world.change(5)
    await world.until(lambda v: v.keys == ["t:4"])
    slow.apply("0-1-5")
    await world.until(lambda v: v.keys == ["t:4", "t:5"])


@pytest.mark.parametrize("gtid", ["7-1-3", "0-1-2,7-1-3", "no gtid at all", "source.000002/90"])
async def test_a_gtid_the_replica_does_not_know_enters_as_pending(world: MirrorWorld, gtid: str) -> None:
    world.start(ScriptedGate(applied="0-1-9"))
    await world.write(Change(("t:1",), gtid=gtid))
    view = await world.until(lambda v: bool(v.changes))
    assert view.changes[0] == Change(("t:1",), gtid=gtid, pending=True)


async def test_an_entry_without_gtid_passes_in_its_place(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(2)
    await world.write(Change(("bump:1",)))
    await world.until(lambda v: bool(v.heartbeats))
    gate.apply("0-1-2")
    view = await world.until(lambda v: v.keys == ["t:2", "bump:1"])
    assert not any(body.pending for body in view.changes)


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


async def test_a_gap_that_passed_unapplied_is_said_again_when_applied(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await world.write(Gap("purged", gtid="0-1-5"))
    await world.until(lambda v: any((gap.reason, gap.pending) == ("purged", True) for gap in v.gaps))
    await mirror.kill()
    world.start(gate)
    gate.apply("0-1-5")
    await world.until(lambda v: v.gaps[-1] == Gap(said_again("purged"), gtid="0-1-5"))


async def test_while_a_gap_is_pending_for_later_commits_an_older_one_does_not_end_it(world: MirrorWorld) -> None:
    """The mirror's own stands for all that may be trimmed before it is copied."""
    gate = ScriptedGate(applied="0-1-5")
    await world.write(Gap("purged", gtid="0-1-3"))
    await world.change(9)
    await world.beat("0-1-9")
    world.start(gate)
    view = await world.until(lambda v: bool(v.changes))
    assert [(gap.gtid, gap.pending) for gap in view.gaps] == [("0-1-9", True)] * 2
    gate.apply("0-1-9")
    await world.until(lambda v: not v.gaps[-1].pending)


async def test_a_gap_is_said_again_also_when_the_checkpoint_was_deleted(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-0")
    mirror = world.start(gate)
    await world.write(Gap("start", "0-1-1"))
    await world.beat("0-1-1")
    await world.until(lambda v: len(v.gaps) == 2 and is_unapplied(v.gaps[-1]) and bool(v.heartbeats))
    await mirror.kill()
    world.target.forget_checkpoints()
    gate.apply("0-1-1")
    mirror = world.start(gate)
    await world.until(lambda v: mirror.stats.breaks == 1)
    await world.beat("0-1-1")
    await world.until(lambda v: v.checkpoint is not None and not is_unapplied(v.gaps[-1]))


async def test_a_gap_that_entered_before_a_heartbeat_is_said_again_with_the_position_that_one_names(
    world: MirrorWorld,
) -> None:
    """Until then nobody knows what the replicas must have for it."""
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    await world.change(1)
    view = await world.until(lambda v: bool(v.gaps))
    assert (view.gaps[0].gtid, view.gaps[0].pending) == ("", True)
    await world.beat("0-1-5")
    view = await world.until(lambda v: (v.gaps[-1].gtid, v.gaps[-1].pending) == ("0-1-5", True))
    assert is_said_again(view.gaps[-1].reason)
    gate.apply("0-1-5")
    view = await world.until(lambda v: not v.gaps[-1].pending)
    assert is_said_again(view.gaps[-1].reason)


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
    await world.change(2)
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


async def test_nothing_enters_before_the_gap_that_a_start_needs(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-2")
    await world.until(lambda v: mirror.stats.held == 1)
    assert (await world.entries(), await world.checkpoint()) == ([], None)
    gate.apply("0-1-2")
    view = await world.until(lambda v: bool(v.heartbeats))
    assert isinstance(view.entries[0].body, Gap)


async def test_mirrors_at_once_lose_nothing_and_double_nothing(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-0")
    mirrors = [world.start(gate) for _ in range(3)]
    for number in range(1, 201):
        await world.change(number)
        if number % 10 == 0:
            await world.beat(f"0-1-{number}")
            gate.apply(f"0-1-{number}")
            await asyncio.sleep(0)
        if number == 100:
            await mirrors[0].kill()
            mirrors[0] = world.start(gate)
    view = await world.until(lambda v: len(v.keys) >= 200)
    assert view.keys == [f"t:{number}" for number in range(1, 201)]
    assert_joined(view)


async def test_a_killed_mirror_goes_on_where_it_was(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    mirror = world.start(gate)
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await mirror.kill()
    await world.change(2)
    world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert len(view.gaps) == 1


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


async def lose_second_change(world: MirrorWorld) -> Entry:
    """Let the target fall back to what it had after the first one; return the last entry that is gone."""
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    snapshot = world.target.snapshot()
    await world.change(2)
    lost = (await world.until(lambda v: v.keys == ["t:1", "t:2"])).entries[-1]
    world.fail_over(snapshot)
    return lost


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
    mirror = world.start(gate)
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await mirror.kill()
    await world.change(2)
    await world.change(3)
    world.origin.trim((await world.origin.read_before(None, count=1))[0].stamp)
    world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:3"])
    assert len(view.gaps) == 2


async def test_entries_missing_in_the_middle_are_a_gap(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    mirror = world.start(gate)
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await mirror.kill()
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


async def test_an_unreadable_entry_becomes_a_gap_that_no_replay_undoes(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-3")
    mirror = world.start(gate)
    await world.write(Gap("first", "0-1-0"))
    await world.change(1)
    world.origin.poison()
    await world.change(3)
    await world.write(Replayed(7, "0-1-3"))
    await world.beat("0-1-3")
    view = await world.until(lambda v: v.keys == ["t:1", "t:3"] and bool(v.heartbeats))
    assert view.gaps[-1] == Gap(UNREADABLE + "not an entry of ours", "0-1-3")
    assert mirror.stats.poisoned == 1
    view = await world.until(lambda v: mirror.stats.replays_not_claimed >= 1)
    assert "0-1-3" not in [body.gtid for body in view.replays]


def is_new(body: Body) -> bool:
    return not is_said_again(body.reason) if isinstance(body, Gap) else isinstance(body, Change) and not body.settled


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


async def test_a_replica_that_went_back_makes_its_keys_pending(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-5")
    mirror = world.start(gate)
    for number in range(3, 6):
        await world.change(number)
    await world.until(lambda v: len(v.keys) == 3)
    gate.apply("0-1-3")
    view = await world.until(lambda v: sum(body.pending for body in v.changes) == 2)
    assert [body.keys for body in view.changes if body.pending] == [("t:4",), ("t:5",)]
    assert mirror.stats.gates["replica"].rewinds == 1
    gate.apply("0-1-5")
    await world.until(lambda v: sum(body.settled for body in v.changes) == 2)


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
    view = await world.until(lambda v: v.changes[-1].keys == (LOST_KEY,))
    assert (view.changes[-1].gtid, view.changes[-1].pending) == ("0-1-5", True)
    await world.change(4)
    view = await world.until(lambda v: v.changes[-1].keys == ("t:4",))
    assert view.changes[-1].pending


class Late(MemoryStream):
    """An origin that answers when the test says so."""

    def __init__(self) -> None:
        super().__init__(now_ms)
        self.may_answer = asyncio.Event()

    async def read_one(self, stamp: int) -> Entry | None:
        await self.may_answer.wait()
        return await super().read_one(stamp)


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
    view = await world.until(lambda v: sum(body.pending for body in v.changes) == 2)
    kinds = [type(entry.body) for entry in view.entries if not isinstance(entry.body, Heartbeat)]
    assert kinds == [Gap, Change, Change, Change, Gap, Change, Change]
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
    view = await world.until(lambda v: v.changes[-1].pending)
    assert view.changes[-1].keys == ("t:1",)


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
    view = await world.until(lambda v: sum(body.pending for body in v.changes) == 2)
    assert [body.keys for body in view.changes if body.pending] == [("t:2",), ("t:3",)]
    await world.change(4)
    assert len((await world.until(lambda v: v.keys[-1] == "t:4")).gaps) == 1


@pytest.mark.parametrize(("end", "reason"), [("origin", "access_denied"), ("target", "target_denied")])
async def test_a_rejected_certificate_is_a_refusal_by_the_redis_it_is_of(
    world: MirrorWorld, end: str, reason: str
) -> None:
    error = LoginRefusedError("no TLS with Redis r:6379: certificate has expired")
    refused = world.start(ScriptedGate(), **{end: Unreachable(error)})  # type: ignore[arg-type]
    await world.until(lambda _: bool(refused.stats.last_reason))
    assert (refused.stats.last_reason, refused.stats.last_error) == (reason, str(error))
    assert refused.stats.reconnects_by_reason == {reason: 1}


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
    assert [(is_unapplied(gap), gap.gtid) for gap in view.gaps] == [(True, "")]
    await world.beat("0-1-5")
    view = await world.until(lambda v: len(v.gaps) > 1)
    assert [(is_unapplied(gap), gap.gtid) for gap in view.gaps[1:]] == [(True, "0-1-5")]
    gate.apply("0-1-5")
    await world.until(lambda v: not is_unapplied(v.gaps[-1]))


async def test_a_newly_listed_replica_that_is_behind_makes_keys_pending(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate("old", "0-1-5"))
    await world.change(4)
    await world.change(5)
    await world.until(lambda v: len(v.keys) == 2)
    await mirror.kill()
    world.start(ScriptedGate("old", "0-1-5"), ScriptedGate("new", "0-1-4"))
    view = await world.until(lambda v: any(body.pending for body in v.changes))
    assert [body.keys for body in view.changes if body.pending] == [("t:5",)]


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


async def test_a_full_queue_stops_the_reading(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-0")
    options = type(FAST)(gate_limit_ms=60_000, queue_keys_max=10, silence_ms=1_000)
    mirror = world.start(gate, options=options)
    for number in range(1, 51):
        await world.change(number)
    await world.until(lambda v: mirror.stats.held >= 10)
    assert mirror.stats.held == 10
    gate.apply("0-1-50")
    view = await world.until(lambda v: len(v.keys) == 50)
    assert view.keys == [f"t:{number}" for number in range(1, 51)]


async def test_what_waits_in_a_full_queue_does_not_wait_for_its_time_limit(world: MirrorWorld) -> None:
    """Else a replica that is down would hold up all that its keys have to do with, and the heartbeats behind them."""
    options = replace(PATIENT, queue_keys_max=10)
    mirror = world.start(ScriptedGate(applied="0-1-0"), options=options)
    for number in range(1, 36):
        await world.change(number)
    # The gap it begins with is in the queue, or not any more.
    view = await world.until(lambda v: len(v.keys) + mirror.stats.held == 35 and mirror.stats.held < 10)
    assert all(change.pending for change in view.changes)
    assert mirror.stats.held in {5, 6}, "the others wait, since there is room"


async def test_a_queue_that_is_full_because_the_target_does_not_answer_is_no_lost_link_to_the_origin(
    world: MirrorWorld,
) -> None:
    mirror = world.start(options=replace(FAST, queue_keys_max=1, silence_ms=200))
    await until_async(lambda: mirror.stats.is_connected == 1, "it follows the origin")
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    for number in range(1, 5):
        await world.change(number)
    await asyncio.sleep(2 * 0.2 + 2 * FAST.check_ms / 1000)
    assert not mirror.stats.reconnects_by_reason
    slow.may_end.set()
    await world.until(lambda v: v.keys == [f"t:{number}" for number in range(1, 5)])


async def test_a_mirror_ends_when_it_is_told_to(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate())
    await world.until(lambda v: mirror.stats.is_connected == 1)
    await mirror.end()
    assert mirror.task.done()


async def test_a_heartbeat_does_not_pass_what_is_applied_and_only_waits_behind_another_domain(
    world: MirrorWorld,
) -> None:
    """A replica may be long behind in one (an ALTER, say), and its data of the other one is there."""
    gate = ScriptedGate(applied="0-1-1,1-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1,1-1-1", read_ms=1_000)
    await world.until(lambda v: bool(v.heartbeats) and v.heartbeats[-1].read_ms == 1_000)
    await world.write(Change(("t:1",), "1-1-2"))
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
    await world.change(2)
    await world.beat("0-1-2", read_ms=2_000)
    view = await world.until(lambda v: mirror.stats.held == 1 and mirror.stats.gates["replica"].errors > 2)
    assert view.heartbeats[-1].read_ms == 1_000
    gate.is_down = False
    await world.until(lambda v: v.heartbeats[-1].read_ms == 2_000)
    assert mirror.stats.held == 1


async def trim_what_is_pending(world: MirrorWorld, unseen_by: RunningMirror | None = None) -> None:
    """Let ``t:2`` be pending, and trim the target down to a heartbeat behind it. ``unseen_by``: ended first."""
    await world.change(2)
    await world.until(lambda v: any(body.pending for body in v.changes))
    await world.beat("0-1-2")
    view = await world.until(lambda v: isinstance(v.entries[-1].body, Heartbeat))
    if unseen_by is not None:
        await unseen_by.kill()
    world.target.trim(view.entries[-1].stamp)


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


async def test_a_stream_that_could_not_be_looked_at_is_looked_at_as_soon_as_it_answers(world: MirrorWorld) -> None:
    """It may have been trimmed just then."""
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=replace(FAST, check_ms=600_000))
    mirror.link.is_blind = True
    await trim_what_is_pending(world)
    mirror.link.is_blind = False
    await world.until(lambda v: [body.keys for body in v.changes if body.pending] == [("t:2",)])


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


async def test_a_replay_behind_a_gap_said_again_is_claimed_from_there_on_only(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate)
    await world.write(Gap("the origin replays", "0-1-5"))
    await world.until(lambda v: Gap("the origin replays", "0-1-5", pending=True) in v.gaps)
    gate.apply("0-1-5")
    view = await world.until(lambda v: v.gaps[-1] == Gap(said_again("the origin replays"), "0-1-5"))
    await world.write(Replayed(7, "0-1-5"))
    said_ms = stamps.ms_of(next(e.stamp for e in view.entries if e.body == view.gaps[-1]))
    view = await world.until(lambda v: isinstance(v.entries[-1].body, Replayed))
    assert view.entries[-1].body == Replayed(said_ms + 1, "0-1-5")


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
    view = await world.until(lambda v: v.changes[-1].pending)
    assert view.changes[-1].keys == ("t:2",)
    assert late.stats.gates["replica"].rewinds == 1


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


async def test_a_stream_trimmed_while_no_mirror_was_there_is_a_gap_until_the_replicas_have_what_is_gone(
    world: MirrorWorld,
) -> None:
    """What was pending there, no mirror can know any more."""
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate)
    await trim_what_is_pending(world, unseen_by=mirror)
    mirror = world.start(gate)
    view = await world.until(lambda v: bool(v.gaps))
    assert [(is_unapplied(gap), gap.gtid) for gap in view.gaps] == [(True, "")]
    assert mirror.stats.breaks_by_reason["target_short"] == 1
    await world.beat("0-1-2")
    view = await world.until(lambda v: len(v.gaps) > 1)
    assert [(is_unapplied(gap), gap.gtid) for gap in view.gaps[1:]] == [(True, "0-1-2")]
    gate.apply("0-1-2")
    await world.until(lambda v: not is_unapplied(v.gaps[-1]))


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


async def test_a_replay_whose_beginning_was_trimmed_is_not_claimed_by_a_mirror_that_begins_in_its_middle(
    world: MirrorWorld,
) -> None:
    gate = ScriptedGate(applied="0-1-9")
    await world.write(Gap("the origin replays"))
    await world.change(1)
    await world.change(2)
    world.origin.trim((await world.origin.read_before(None, count=1))[0].stamp)
    mirror = world.start(gate)
    await world.until(lambda v: v.keys == ["t:2"])
    await mirror.kill()
    world.start(gate)
    await world.write(Replayed(1_000, gtid="0-1-2"))
    await world.change(3)
    view = await world.until(lambda v: v.keys == ["t:2", "t:3"])
    assert "0-1-2" not in [body.gtid for body in view.replays]
    await world.write(Gap("the origin replays again"), Replayed(2_000, gtid="0-1-3"))
    await world.until(lambda v: [body.gtid for body in v.replays][-1:] == ["0-1-3"])


async def test_at_its_end_a_mirror_writes_what_has_passed_the_gate_and_leaves_the_rest(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await world.change(2)
    await world.change(3)
    await until_async(lambda: mirror.stats.held == 2, "two are held back")
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    gate.apply("0-1-2")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    mirror.stop.set()
    slow.may_end.set()
    await asyncio.wait_for(mirror.task, DEADLINE_S)
    assert (await world.until(lambda _: True)).keys == ["t:1", "t:2"]
    world.start(gate, options=PATIENT)
    gate.apply("0-1-3")
    await world.until(lambda v: v.keys == ["t:1", "t:2", "t:3"])


async def test_a_target_that_does_not_answer_holds_up_the_end_for_a_time_only(
    world: MirrorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_run, "FLUSH_MAX_S", 0.05)
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=PATIENT)
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    await world.beat("0-1-1")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    mirror.stop.set()
    await asyncio.wait_for(mirror.task, DEADLINE_S)


async def test_a_mirror_that_waits_for_a_dead_target_ages(world: MirrorWorld) -> None:
    clock = Clock()
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=PATIENT, pulse=Pulse(clock_s=clock))
    await world.beat("0-1-1")
    await world.until(lambda v: bool(v.heartbeats))
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    await world.beat("0-1-1")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    clock.now_s += 60
    assert mirror.pulse.complaint() == "the working loop has not turned for 60 s"
    slow.may_end.set()
    await until_async(lambda: mirror.pulse.complaint() is None, "its loop turns again")
