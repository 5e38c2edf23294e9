"""Where a mirror goes on, and what it believes of the two streams for that."""

from dataclasses import replace

import pytest

from replicator.mirror.beats import Place
from replicator.mirror.options import Break
from replicator.mirror.plan import make_plan
from replicator.mirror.position import MirrorPosition, ReplayClaim
from replicator.mirror.queue import BrokenOriginError, MirrorQueue, Released
from replicator.mirror.reasons import said_again
from replicator.mirror.resume import Resume, find_resume
from replicator.mirror.settle import Again
from replicator.mirror.state import MirrorState
from versioning import stamp as stamps
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Body, Change, Entry, Gap, Heartbeat, NewEntry, Origin, Replayed
from versioning.limits import CLOCK_ERROR_MS

NOW_MS = 1_700_000_000_000


async def write(stream: MemoryStream, *bodies: Body, origin: Origin | None = None) -> list[Entry]:
    count = len(await stream.read_after(stamps.ZERO, count=1_000))
    entries = tuple(NewEntry(f"n{count + number}", body, origin) for number, body in enumerate(bodies))
    first, *_ = await stream.append(Append(entries, clock_ms=0))
    return await stream.read_after(first - 1, count=len(bodies))


async def resume(origin: MemoryStream, target: MemoryStream, stored: Checkpoint | None, *, last: int) -> Resume:
    return await find_resume(origin, target, "a", stored, last=last, now_ms=NOW_MS, window_ms=60_000)


def checkpoint(position: MirrorPosition) -> Checkpoint:
    return Checkpoint(position.encode(), 0, "c")


async def test_what_another_mirror_writes_meanwhile_does_not_count() -> None:
    """A failover may take it back, and the next append would still find the checkpoint that it expects."""
    origin, target = MemoryStream(lambda: NOW_MS), MemoryStream(lambda: NOW_MS)
    (entry,) = await write(origin, Heartbeat(1))
    (before,) = await write(target, Heartbeat(1))
    copied = MirrorPosition(entry.stamp, entry.nonce)
    (after,) = await write(target, Heartbeat(2), origin=copied.origin("a"))
    stored = checkpoint(MirrorPosition(stamps.make(1), "gone"))
    assert (await resume(origin, target, stored, last=after.stamp)).position == copied
    assert (await resume(origin, target, stored, last=before.stamp)).gap


async def test_behind_a_damaged_checkpoint_a_mirror_goes_on_where_the_streams_are_one() -> None:
    origin, target = MemoryStream(lambda: NOW_MS), MemoryStream(lambda: NOW_MS)
    (entry,) = await write(origin, Heartbeat(1))
    damaged = Checkpoint.decode("edited by hand")
    begun = await resume(origin, target, damaged, last=0)
    assert (bool(begun.gap), begun.break_name) == (True, Break.CHECKPOINT_UNREADABLE)
    copied = MirrorPosition(entry.stamp, entry.nonce)
    (copy,) = await write(target, Heartbeat(1), origin=copied.origin("a"))
    found = await resume(origin, target, damaged, last=copy.stamp)
    assert (found.position, found.gap, found.break_name) == (copied, "", Break.CHECKPOINT_UNREADABLE)


async def test_the_beginning_of_an_origin_is_believed_only_while_nothing_was_trimmed_since() -> None:
    origin, target = MemoryStream(lambda: NOW_MS), MemoryStream(lambda: NOW_MS)
    first, second = await write(origin, Heartbeat(1), Heartbeat(2))
    seen, unseen = ReplayClaim(0, second.stamp), ReplayClaim(0, first.stamp)
    assert not (await resume(origin, target, checkpoint(MirrorPosition(claim=unseen)), last=0)).gap
    origin.trim(second.stamp)
    assert not (await resume(origin, target, checkpoint(MirrorPosition(claim=seen)), last=0)).gap
    assert (await resume(origin, target, checkpoint(MirrorPosition(claim=unseen)), last=0)).gap
    assert (await resume(origin, target, checkpoint(MirrorPosition()), last=0)).gap


async def test_a_gap_stands_for_what_may_be_trimmed_before_the_copy_begins() -> None:
    """The replicas must have all of that for it: whoever copies later, when it is trimmed, writes no other gap."""
    clock_ms = NOW_MS - 10_000
    origin, target = MemoryStream(lambda: clock_ms), MemoryStream(lambda: NOW_MS)
    await write(origin, Heartbeat(1, gtid="0-1-1"), Change(("t:2",), gtid="0-1-2"))
    clock_ms = NOW_MS
    beat, after = await write(origin, Heartbeat(2, gtid="0-1-2"), Change(("t:3",), gtid="0-1-3"))
    begun = await resume(origin, target, None, last=0)
    assert (begun.gtid, begun.until) == ("0-1-2", beat.stamp)
    origin.trim(beat.stamp)
    assert not (await resume(origin, target, checkpoint(begun.position), last=0)).gap
    origin.trim(after.stamp)
    assert (await resume(origin, target, checkpoint(begun.position), last=0)).gap


@pytest.mark.parametrize("known_ms", [50_000, 70_000])
async def test_a_replay_is_owed_of_what_the_origin_knows_and_a_window_holds_whatever_the_clocks(known_ms: int) -> None:
    clock_ms = NOW_MS - known_ms
    origin, target = MemoryStream(lambda: clock_ms), MemoryStream(lambda: NOW_MS)
    await write(origin, Heartbeat(1))
    clock_ms = NOW_MS
    (beat,) = await write(origin, Heartbeat(2))
    since_ms = max(stamps.ms_of((await origin.state()).since), NOW_MS - 60_000)
    claim = (await resume(origin, target, None, last=0)).position.claim
    assert claim == ReplayClaim(since_ms + CLOCK_ERROR_MS, beat.stamp)


async def test_a_gap_waits_for_the_first_heartbeat_of_an_origin_that_has_none() -> None:
    origin, target = MemoryStream(lambda: NOW_MS), MemoryStream(lambda: NOW_MS)
    (change,) = await write(origin, Change(("t:3",), gtid="0-1-3"))
    begun = await resume(origin, target, None, last=0)
    assert (begun.gtid, begun.until) == (None, change.stamp)


class Narrow(MemoryStream):
    """Over a link that carries no larger page in time."""

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        page = await super().read_before(before, count=count)
        if len(page) > 50:
            raise UnavailableError("no answer in time")
        return page


async def test_a_slow_link_carries_what_a_mirror_must_know_of_the_origin_to_begin() -> None:
    origin, target = Narrow(lambda: NOW_MS), MemoryStream(lambda: NOW_MS)
    changes = [Change((f"t:{number}",), gtid="0-1-3") for number in range(200)]
    await write(origin, *changes)
    (beat,) = await write(origin, Heartbeat(2, gtid="0-1-2"))
    await write(origin, *changes[:30])
    begun = await resume(origin, target, None, last=0)
    assert (begun.gtid, begun.until) == ("0-1-2", beat.stamp)


def test_entries_trimmed_between_the_gap_and_the_first_copy_break_the_history() -> None:
    trimmed = Entry(stamps.make(2_000), "b", "a", Heartbeat(1))
    MirrorQueue("a", MirrorPosition(), until=stamps.make(2_000)).put(trimmed, 0)
    MirrorQueue("a", MirrorPosition()).put(Entry(stamps.make(2_000), "b", "", Gap("begun")), 0)
    for what in (trimmed, replace(trimmed, previous="")):  # The second is behind an entry of someone else's.
        with pytest.raises(BrokenOriginError, match="trimmed before they were copied"):
            MirrorQueue("a", MirrorPosition(), until=stamps.make(1_999)).put(what, 0)


def test_no_heartbeat_places_a_gap_that_stands_for_more_than_is_in_front_of_it() -> None:
    queue = MirrorQueue("a", MirrorPosition(), until=stamps.make(2_000))
    queue.put(Entry(stamps.make(1_000), "b", "a", Heartbeat(1, gtid="0-1-1")), 0)
    assert queue.place is None
    queue.put(Entry(stamps.make(2_000), "c", "b", Heartbeat(2, gtid="0-1-2")), 0)
    assert queue.place == Place(stamps.make(2_000), "0-1-2")


@pytest.mark.parametrize(("unclaimed_ms", "claimed_ms"), [(0, 500), (400, 500), (900, 900)])
def test_no_replay_is_claimed_below_what_mirrors_had_said_by_themselves(unclaimed_ms: int, claimed_ms: int) -> None:
    released = Released(((Replayed(500, "0-1-1"), Origin("a", "1-0", "n")),), MirrorPosition(stamps.make(1), "n"), 1)
    plan = make_plan([], released, None, MirrorState("a", unclaimed_ms=unclaimed_ms), 0)
    assert plan is not None
    assert plan.released == (Replayed(claimed_ms, "0-1-1"),)


def test_a_gap_said_again_is_appended_before_what_leaves_the_gate() -> None:
    released = Released(((Replayed(500, "0-1-1"), Origin("a", "1-0", "n")),), MirrorPosition(stamps.make(1), "n"), 1)
    again = Again(Gap(said_again("gone"), "0-1-1"), Origin("a", "0-0", ""), is_settled=True)
    plan = make_plan([again], released, Heartbeat(9), MirrorState("a"), 0)
    assert plan is not None
    assert (plan.bodies, plan.position, plan.taken) == (((again.body, again.origin),), None, 0)
