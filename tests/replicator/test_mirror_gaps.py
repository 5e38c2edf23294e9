"""A gap is pending until the replicas have what it stands for, and no replay is claimed beyond it."""

from replicator.mirror.reasons import UNREADABLE, is_said_again, said_again
from replicator.mirror.words import is_unapplied
from tests.replicator.mirror_world import PATIENT, MirrorWorld, ScriptedGate, trim_what_is_pending
from versioning import stamp as stamps
from versioning.entries import Gap, Replayed


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


async def test_a_damaged_checkpoint_is_replaced_and_nothing_is_left_out(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-9")
    await world.copy_one_and_die(gate)
    world.target.damage_checkpoints()
    await world.change(2)
    mirror = world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert len(view.gaps) == 1
    assert view.checkpoint is not None
    assert view.checkpoint.damaged is None
    world.target.damage_checkpoints()
    await world.change(3)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2", "t:3"])
    assert len(view.gaps) == 1
    assert mirror.stats.breaks_by_reason["checkpoint_unreadable"] >= 2


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


async def test_nothing_enters_before_the_gap_that_a_start_needs(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-2")
    await world.until(lambda v: mirror.stats.held == 1)
    assert (await world.entries(), await world.checkpoint()) == ([], None)
    gate.apply("0-1-2")
    view = await world.until(lambda v: bool(v.heartbeats))
    assert isinstance(view.entries[0].body, Gap)


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


async def test_so_is_one_where_time_stands_in_for_the_replicas_until_the_last_delay_is_over(world: MirrorWorld) -> None:
    """The mirror is gone that would have stamped the key again, to supersede what a replica that lagged gave."""
    mirror = world.start()
    await trim_what_is_pending(world, unseen_by=mirror)
    world.start()
    view = await world.until(lambda v: bool(v.gaps) and not is_unapplied(v.gaps[-1]))
    assert is_unapplied(view.gaps[0])
    assert "t:2" not in view.keys


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
