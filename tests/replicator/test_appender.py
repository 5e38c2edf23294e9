"""Appending against a checkpoint: who is behind gives way, what is covered is dropped, what is lost is read again."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from replicator.position import Flavor, PositionFormatError, parse
from replicator.source.anchor import Anchor, Trail
from replicator.source.appender import Appender, Identity, RewoundError
from replicator.source.batch import Rules
from replicator.source.commit_times import HEADER_LAG_MS
from replicator.source.handover import Item, ReadUpTo
from replicator.source.progress import Progress, Replay
from replicator.source.stats import SourceStats
from replicator.source.transaction import Transaction
from versioning import stamp as stamps
from versioning.backends.base import Append, DigestRefusedError
from versioning.backends.memory import MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, Gap, Generation, Heartbeat, NewEntry, Replayed

NOW_MS = 1_700_000_000_000
BEGIN = parse("0-1-1", Flavor.MARIADB)
RULES = Rules(heartbeat_ms=500, keys_per_entry=2, generation_spread_ms=30_000, window_ms=60_000)
REPLAYING = (f"replay={NOW_MS - 60_000}..{NOW_MS}",)


class World:
    """A stream, and sources that share one checkpoint in it."""

    def __init__(self, start: str = "0-1-1", flavor: Flavor = Flavor.MARIADB) -> None:
        self.start, self.flavor = start, flavor
        self.now_ms = NOW_MS
        self.stream = MemoryStream(lambda: self.now_ms)

    async def source(self, digest: str = "d", stats: SourceStats | None = None) -> Appender:
        stats = stats or SourceStats()
        made = Appender(
            self.stream, Identity("source:a", digest, False), RULES, now_ms=lambda: self.now_ms, stats=stats
        )
        stored = await made.stored()
        if stored is None:
            progress = Progress(parse(self.start, self.flavor), Replay(NOW_MS - 60_000, NOW_MS))
            await made.begin(None, progress, "first start", self.flavor, end=progress.position)
        else:
            made.resume(stored, self.flavor)
        return made

    async def bodies(self) -> list[Any]:
        return [entry.body for entry in await self.stream.read_after(0, count=1_000)]

    async def keys(self) -> list[str]:
        return [key for body in await self.bodies() if isinstance(body, Change) for key in body.keys]


@pytest.fixture
def world() -> World:
    return World()


def changed(number: int, *keys: str, committed_ms: int = NOW_MS) -> Transaction:
    position = parse(f"0-1-{number}", Flavor.MARIADB)
    return Transaction(f"0-1-{number}", position, committed_ms, keys or (f"item:{number}",), read_ms=committed_ms)


def read(source: Appender, gtid: str, position: str = "") -> Transaction:
    """By the connection of this source, at this position then."""
    anchor = Anchor(gtid, "", NOW_MS)
    source.trail = source.trail or Trail(parse("0-1-1,1-1-1", Flavor.MARIADB))
    source.trail.add(gtid, anchor.changed_ms)
    return Transaction(gtid, parse(position or gtid, Flavor.MARIADB), NOW_MS, (f"item:{gtid}",), anchor=anchor)


def at_offset(offset: int) -> Transaction:
    return Transaction(f"b.000001/{offset}", parse(f"1:b.000001/{offset}", Flavor.FILE), NOW_MS, (f"item:{offset}",))


def read_up_to(number: int, read_ms: int) -> Item:
    return ReadUpTo(read_ms, parse(f"0-1-{number}", Flavor.MARIADB))


async def test_a_transaction_is_appended_in_pieces_with_one_position(world: World) -> None:
    source = await world.source()
    await source.append([changed(2, "a:1", "a:2", "a:3")])
    changes = [body for body in await world.bodies() if isinstance(body, Change)]
    assert [body.keys for body in changes] == [("a:1", "a:2"), ("a:3",)]
    assert {body.gtid for body in changes} == {"0-1-2"}


async def test_a_generation_starts_now_and_names_its_reason(world: World) -> None:
    source = await world.source()
    position = parse("0-1-2", Flavor.MARIADB)
    await source.append([Transaction("0-1-2", position, NOW_MS - 5, (), (("statement: TRUNCATE", ("a", "b")),))])
    assert Generation(("a", "b"), NOW_MS, 30_000, "statement: TRUNCATE", "0-1-2", NOW_MS - 5) in await world.bodies()


async def test_each_generation_is_logged_once_by_the_source_that_appended_it(world: World) -> None:
    first, second = await world.source(), await world.source()
    position = parse("0-1-2", Flavor.MARIADB)
    reasons = (("statement: TRUNCATE", ("a", "b")), ("transaction with more than 9 keys", ("c",)))
    with capture_logs() as logs:
        for source in (first, second):
            await source.append([Transaction("0-1-2", position, NOW_MS, (), reasons)])
    lines = [{**line, "log_level": "warning"} for line in logs if line["event"] == "generation"]
    assert logs == lines
    assert [(line["reason"], line["namespaces"], line["gtid"]) for line in lines] == [
        ("statement: TRUNCATE", ("a", "b"), "0-1-2"),
        ("transaction with more than 9 keys", ("c",), "0-1-2"),
    ]


async def test_of_two_sources_each_change_is_stamped_once(world: World) -> None:
    one, two = await world.source(), await world.source()
    await one.append([changed(2), changed(3)])
    await two.append([changed(2), changed(3), changed(4)])
    await one.append([changed(4), changed(5)])
    assert await world.keys() == ["item:2", "item:3", "item:4", "item:5"]


async def test_of_two_sources_by_file_and_offset_the_slower_one_does_not_set_the_other_back() -> None:
    world = World(start="1:b.000001/4", flavor=Flavor.FILE)
    one, two = await world.source(), await world.source()
    await one.append([at_offset(100), at_offset(200), at_offset(300)])
    for offset in (100, 200, 300, 400):
        await two.append([at_offset(offset)])
    await one.append([at_offset(400), at_offset(500)])
    assert await world.keys() == ["item:100", "item:200", "item:300", "item:400", "item:500"]


async def test_a_source_that_lost_the_race_takes_no_lead(world: World) -> None:
    one, two = await world.source(), await world.source()
    await two.append([changed(2)])
    world.now_ms += 10_000
    await one.append([changed(2), changed(3)])
    entries = await world.stream.read_after(0, count=100)
    assert stamps.ms_of(entries[-1].stamp) == world.now_ms


async def test_heartbeats_come_when_due_and_from_one_source_only(world: World) -> None:
    one, two = await world.source(), await world.source()
    for step in range(1, 11):
        world.now_ms = NOW_MS + step * 250
        for source in (one, two):
            await source.append([read_up_to(1, world.now_ms)])
    beats = [body.read_ms - NOW_MS for body in await world.bodies() if isinstance(body, Heartbeat)]
    assert beats == [250, 750, 1250, 1750, 2250]


async def test_a_source_whose_server_is_behind_the_checkpoint_vouches_for_nothing(world: World) -> None:
    """It may read a server that was the primary until a moment ago."""
    source = await world.source()
    await source.append([changed(5)])
    world.now_ms += 5_000
    await source.append([read_up_to(4, world.now_ms)])
    assert Heartbeat(world.now_ms, gtid="0-1-5") not in await world.bodies()
    await source.append([read_up_to(5, world.now_ms)])
    assert Heartbeat(world.now_ms, gtid="0-1-5") in await world.bodies()


async def test_a_transaction_out_of_order_is_not_taken_for_one_that_is_stamped(world: World) -> None:
    source = await world.source()
    late = Transaction("0-2-4", parse("0-1-5", Flavor.MARIADB), NOW_MS, ("item:late",), is_out_of_order=True)
    await source.append([changed(5), late])
    assert await world.keys() == ["item:5", "item:late"]


async def test_a_transaction_out_of_order_that_the_stream_lost_is_missed(world: World) -> None:
    """It moved no position, so the checkpoint that a failover brings back says the same as the one that was lost."""
    source, other = await world.source(), await world.source()
    world.now_ms += 3_000
    await source.append([changed(5), read_up_to(5, world.now_ms)])
    kept = world.stream.snapshot()
    late = Transaction("0-2-3", parse("0-1-5", Flavor.MARIADB), NOW_MS, ("item:3",), is_out_of_order=True)
    await source.append([late])
    world.now_ms += 1_000
    other.resume(await other.stored(), Flavor.MARIADB)  # type: ignore[arg-type]
    await other.append([read_up_to(5, world.now_ms)])
    world.now_ms += 1_000
    await source.append([read_up_to(5, world.now_ms)])  # another source was first, and the entry is there
    world.stream.restore(kept)
    with pytest.raises(RewoundError):
        await source.append([changed(6)])


async def test_a_busy_binlog_shows_its_backlog_in_the_heartbeat(world: World) -> None:
    source = await world.source()
    await source.append([changed(2, committed_ms=NOW_MS - 40_000)])
    assert Heartbeat(NOW_MS - 40_000, gtid="0-1-2") in await world.bodies()


async def test_of_a_backlog_the_times_claim_nothing(world: World) -> None:
    """Sessions set them (`SET timestamp`): one ahead of the rest would hide the backlog, and end a replay in it."""
    source = await world.source()
    await source.append([changed(2, committed_ms=NOW_MS + 30_000)._replace(read_ms=0)])
    assert not [body for body in await world.bodies() if isinstance(body, Heartbeat | Replayed)]
    await source.append([changed(3, committed_ms=NOW_MS - 20_000)])
    assert Heartbeat(NOW_MS - 20_000, gtid="0-1-3") in await world.bodies()


async def test_a_backlog_that_needs_no_stamps_moves_the_checkpoint_and_claims_nothing_new(world: World) -> None:
    """Else a link that is lost every few seconds would begin it again each time."""
    source = await world.source()
    stored = await source.stored()
    assert stored is not None
    await source.append([read_up_to(2, 0)])
    moved = await source.stored()
    assert moved is not None
    assert (moved.position.split()[0], moved.read_ms) == ("0-1-2", stored.read_ms)
    assert (await world.bodies())[-1] == Heartbeat(stored.read_ms, gtid="0-1-2")


async def test_a_clock_ahead_of_ours_never_claims_the_future(world: World) -> None:
    source = await world.source()
    await source.append([changed(2, committed_ms=NOW_MS + 90_000)])
    beats = [body for body in await world.bodies() if isinstance(body, Heartbeat)]
    assert [body.read_ms for body in beats] == [NOW_MS]


async def test_how_far_a_source_has_read_is_said_again_when_its_clock_is_put_right(world: World) -> None:
    """Else it would be ready for a day, however far it fell behind."""
    stats = SourceStats()
    source = await world.source(stats=stats)
    world.now_ms += 86_400_000
    await source.append([read_up_to(1, world.now_ms)])
    world.now_ms -= 86_390_000
    await source.append([read_up_to(1, NOW_MS + 4_000)])
    assert stats.read_ms == NOW_MS + 4_000


async def test_heartbeats_come_again_when_a_clock_that_ran_a_day_ahead_is_put_right(world: World) -> None:
    source = await world.source()
    world.now_ms += 86_400_000
    await source.append([read_up_to(1, world.now_ms)])
    world.now_ms = NOW_MS + 2_000
    for restarted in (source, await world.source()):
        world.now_ms += 1_000
        await restarted.append([read_up_to(1, world.now_ms)])
    beats = [body.read_ms - NOW_MS for body in await world.bodies() if isinstance(body, Heartbeat)]
    assert beats == [86_400_000, 3_000, 4_000]


async def test_a_replay_leaves_out_only_what_is_surely_older_than_its_window(world: World) -> None:
    """A time in the binlog may be that of a statement that ended much later, and 0 is none."""
    source = await world.source()
    times = (NOW_MS - 60_000 - HEADER_LAG_MS, NOW_MS - 60_000 - HEADER_LAG_MS + 1, 0)
    await source.append([changed(number, committed_ms=ms) for number, ms in enumerate(times, 2)])
    assert await world.keys() == ["item:3", "item:4"]


async def test_a_time_that_is_not_known_proves_nothing(world: World) -> None:
    source = await world.source()
    await source.append([changed(2, committed_ms=0)])
    assert not [body for body in await world.bodies() if isinstance(body, Heartbeat | Replayed)]


async def test_a_replay_ends_once_everything_before_its_gap_is_read(world: World) -> None:
    source = await world.source()
    await source.append([changed(2, committed_ms=NOW_MS - 10_000)])
    successor = await world.source()
    world.now_ms += 5_000
    await successor.append([read_up_to(2, NOW_MS + 2_000)])
    assert isinstance((await world.bodies())[0], Gap)
    assert Replayed(NOW_MS - 60_000, "0-1-2") in await world.bodies()
    assert Replayed not in [type(body) for body in (await world.bodies())[:-2]]
    await successor.append([changed(3, committed_ms=NOW_MS + 4_000)])
    assert [type(body) for body in await world.bodies()].count(Replayed) == 1


async def test_a_stream_set_back_is_read_again_from_there(world: World) -> None:
    source = await world.source()
    await source.append([changed(2)])
    old = world.stream.snapshot()
    await source.append([changed(3)])
    world.stream.restore(old)
    with pytest.raises(RewoundError, match="0-1-2"):
        await source.append([changed(4)])


async def test_a_gap_that_the_stream_lost_again_is_noticed_though_the_checkpoint_before_it_is_further(
    world: World,
) -> None:
    """MySQL was set back and Redis failed over: what MySQL wrote under the same numbers is stamped by nobody."""
    first, second = await world.source(), await world.source()
    await first.append([changed(9)])
    stored, kept = await first.stored(), world.stream.snapshot()
    world.now_ms += 5_000
    progress = Progress(parse("0-1-1", Flavor.MARIADB), Replay(NOW_MS - 60_000, world.now_ms))
    await first.begin(stored, progress, "another transaction 0-1-9", Flavor.MARIADB, end=progress.position)
    in_replay = await first.stored()
    assert in_replay is not None
    second.resume(in_replay, Flavor.MARIADB)
    world.stream.restore(kept)
    for source in (first, second):
        with pytest.raises(RewoundError):
            await source.append([changed(2)])


async def test_what_a_stopped_source_held_of_a_lost_history_hides_nothing_of_the_new_one(world: World) -> None:
    stopped, other = await world.source(), await world.source()
    await stopped.append([read(stopped, "0-1-2"), read(stopped, "0-1-3")])
    await other.append([read(other, "0-2-2")])  # seems to be stamped: what comes next tells
    with pytest.raises(RewoundError, match="has another transaction 0-1-3"):
        await other.append([read(other, "0-2-3"), read(other, "0-2-4")])
    assert "0-2-4" not in str(await world.stream.checkpoint("source:a"))


async def test_nor_where_nobody_watches_what_came_in_its_place(world: World) -> None:
    stopped, other = await world.source(), await world.source()
    await stopped.append([read(stopped, "0-1-2"), read(stopped, "0-1-3")])
    await other.append([read(other, "0-2-2")])
    read(other, "0-2-3")
    with pytest.raises(RewoundError):
        await other.append([read(other, "0-2-4")])


async def test_nor_where_it_is_of_another_domain() -> None:
    world = World("0-1-1,1-1-1")
    stopped, other = await world.source(), await world.source()
    await stopped.append([read(stopped, "1-1-2", "0-1-1,1-1-2")])
    await other.append([read(other, "0-2-2", "0-2-2,1-1-1")])
    stored = await other.stored()
    assert stored is not None
    assert stored.position.split() == ["0-2-2,1-1-2", f"last=0-2-2~@{NOW_MS}", f"last=1-1-2~@{NOW_MS}", *REPLAYING]
    with pytest.raises(RewoundError, match="has another transaction 1-1-2"):
        await other.append([read(other, "1-2-2", "0-2-2,1-2-2"), read(other, "1-2-3", "0-2-2,1-2-3")])


async def test_what_a_checkpoint_was_taken_over_with_is_forgotten_when_it_has_come_by() -> None:
    world = World("0-1-1,1-1-1")
    ahead, other = await world.source(), await world.source()
    await ahead.append([read(ahead, "1-1-2", "0-1-1,1-1-2")])
    await other.append([read(other, "0-1-2", "0-1-2,1-1-1")])
    await other.append([read(other, "1-1-2", "0-1-2,1-1-2"), read(other, "0-1-3", "0-1-3,1-1-2")])
    stored = await other.stored()
    assert stored is not None
    assert stored.position.split() == ["0-1-3,1-1-2", f"last=0-1-3~@{NOW_MS}", *REPLAYING]


async def test_a_source_does_not_wait_for_ever_for_what_its_server_has_lost(world: World) -> None:
    stopped, other = await world.source(), await world.source()
    await stopped.append([read(stopped, "0-1-2"), read_up_to(2, NOW_MS)])
    await other.append([read_up_to(1, NOW_MS + 9_000), changed(2)])
    world.now_ms += 20_000
    with pytest.raises(RewoundError, match="seems to lack"):
        await other.append([read_up_to(1, NOW_MS + 11_000)])


async def test_it_waits_as_long_where_the_checkpoint_is_of_a_replay(world: World) -> None:
    """What that has read stands still, and is of long ago, though the other source is at work."""
    world.now_ms += 60_000
    ahead, behind = await world.source(), await world.source()
    await ahead.append([changed(3)])
    await behind.append([changed(2)])
    world.now_ms += 9_000
    await behind.append([read_up_to(2, world.now_ms)])
    world.now_ms += 2_000
    with pytest.raises(RewoundError, match="seems to lack"):
        await behind.append([read_up_to(2, world.now_ms)])


async def test_a_connection_that_comes_to_the_checkpoint_by_other_ways_is_let_go_on() -> None:
    """It began there, and has proof of it: another domain may come first, however late."""
    world = World("0-1-1,1-1-1")
    before = await world.source()
    await before.append([read(before, "0-1-2", "0-1-2,1-1-1")])
    world.now_ms += 60_000
    source = await world.source()
    late = read(source, "1-1-2", "0-1-1,1-1-2")._replace(read_ms=world.now_ms)
    await source.append([late])
    assert (await world.keys())[-1] == "item:1-1-2"


async def test_a_replay_that_another_source_has_ended_is_over(world: World) -> None:
    one, two = await world.source(), await world.source()
    world.now_ms += 3_000
    await one.append([read_up_to(1, world.now_ms)])
    await two.append([read_up_to(1, world.now_ms), changed(2)])
    assert [type(body) for body in await world.bodies()] == [Gap, Replayed, Heartbeat, Change]


async def test_a_flushed_stream_is_noticed_at_the_next_append(world: World) -> None:
    source = await world.source()
    world.stream.flush()
    with pytest.raises(RewoundError, match="nothing"):
        await source.append([changed(2)])


async def test_the_gap_before_a_replay_is_of_all_that_is_older_and_that_no_entry_names(world: World) -> None:
    source = await world.source()
    world.stream.flush()
    progress = Progress(BEGIN, Replay(NOW_MS - 60_000, NOW_MS))
    await source.begin(None, progress, "flushed", Flavor.MARIADB, end=parse("0-1-9", Flavor.MARIADB))
    assert await world.bodies() == [Gap("flushed", "0-1-9")]


async def test_a_second_source_that_begins_a_replay_gives_way(world: World) -> None:
    late = Appender(
        world.stream, Identity("source:a", "d", False), RULES, now_ms=lambda: world.now_ms, stats=SourceStats()
    )
    await world.source()
    with pytest.raises(RewoundError):
        await late.begin(None, Progress(BEGIN), "first start", Flavor.MARIADB, end=BEGIN)


async def test_stamps_stay_above_all_that_this_writer_ever_got(world: World) -> None:
    source = await world.source()
    await source.append([changed(2)])
    highest = (await world.stream.read_after(0, count=100))[-1].stamp
    world.stream.flush()
    world.now_ms -= 3_600_000
    with pytest.raises(RewoundError):
        await source.append([changed(3)])
    await source.begin(None, Progress(BEGIN), "flushed", Flavor.MARIADB, end=BEGIN)
    assert (await world.stream.read_after(0, count=100))[0].stamp > highest


async def test_other_templates_are_refused(world: World) -> None:
    await world.source()
    odd = await world.source(digest="other")
    with pytest.raises(DigestRefusedError):
        await odd.append([changed(2)])


async def test_new_templates_begin_with_a_generation_at_the_checkpoint_and_shut_the_old_ones_out(world: World) -> None:
    first, second = await world.source(), await world.source()
    await first.append([changed(2)])
    changing = await world.source(digest="new")
    changing.identity = Identity("source:a", "new", True)
    await changing.change_templates(("item",), "changed", before="d")
    last = (await world.bodies())[-1]
    assert isinstance(last, Generation)
    assert (last.namespaces, last.gtid, last.reason) == (("item",), "0-1-2", "changed")
    for old in (first, second):
        with pytest.raises(DigestRefusedError):
            await old.append([changed(3)])
    await changing.append([changed(3)])
    assert await world.keys() == ["item:2", "item:3"]


async def test_new_templates_begin_behind_what_a_source_with_the_old_ones_writes_meanwhile(world: World) -> None:
    other, changing = await world.source(), await world.source(digest="new")
    changing.identity = Identity("source:a", "new", True)
    await other.append([changed(2)])
    await other.append([changed(3)])
    progress = await changing.change_templates(("item",), "changed", before="d")
    assert str(progress.position) == "0-1-3"
    assert (await world.bodies())[-1].gtid == "0-1-3"


async def test_two_sources_that_change_at_once_say_so_once(world: World) -> None:
    one, two = await world.source(digest="new"), await world.source(digest="new")
    for source in (one, two):
        source.identity = Identity("source:a", "new", True)
    for source in (one, two):
        await source.change_templates(("item",), "changed", before="d")
    assert len([body for body in await world.bodies() if isinstance(body, Generation)]) == 1
    await two.append([changed(2)])
    assert await world.keys() == ["item:2"]


async def test_a_checkpoint_of_another_notation_is_another_history(world: World) -> None:
    source = await world.source()
    stored = await world.stream.checkpoint("source:a")
    foreign = Checkpoint("1:b.000001/4", NOW_MS, "0" * 16)
    beat = NewEntry("0" * 16, Heartbeat(NOW_MS))
    await world.stream.append(Append((beat,), NOW_MS, "source:a", stored, foreign))
    with pytest.raises(RewoundError):
        await source.append([changed(2)])


async def test_a_damaged_checkpoint_is_a_lost_one(world: World) -> None:
    source = await world.source()
    world.stream.damage_checkpoints()
    with pytest.raises(RewoundError):
        await source.append([changed(2)])
    stored = await source.stored()
    assert stored is not None
    with pytest.raises(PositionFormatError):
        source.resume(stored, Flavor.MARIADB)
    await source.begin(stored, Progress(BEGIN), "damaged", Flavor.MARIADB, end=BEGIN)
    await source.append([changed(2)])
    assert [type(body) for body in await world.bodies()] == [Gap, Gap, Change, Heartbeat]


async def test_a_source_that_never_wins_still_shows_how_far_it_has_read(world: World) -> None:
    stats = SourceStats()
    winner, loser = await world.source(), await world.source(stats=stats)
    world.now_ms += 1_000
    for source in (winner, loser):
        await source.append([changed(2), read_up_to(2, world.now_ms)])
    assert stats.appends == 0
    assert stats.read_ms == world.now_ms


async def test_the_time_from_each_commit_to_the_stream_is_measured_once(world: World) -> None:
    stats = SourceStats()
    winner, loser = await world.source(stats=stats), await world.source(stats=stats)
    world.now_ms += 300
    for source in (winner, loser):
        await source.append([changed(2)])
    assert (sum(stats.commit_latency.counts), stats.commit_latency.sum_ms) == (1, 300)
