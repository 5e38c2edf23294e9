"""Origin entries between their reading and their append, where another mirror goes on meanwhile."""

from dataclasses import replace

import pytest

from replicator.mirror.options import BATCH_KEYS_MAX
from replicator.mirror.position import MirrorPosition, ReplayClaim
from replicator.mirror.queue import NAMESPACE_KEYS, BrokenOriginError, MirrorQueue, Released
from versioning import stamp as stamps
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Origin, Replayed

CLAIM = ReplayClaim(1, stamps.make(4))
FIRST = stamps.make(1)
"""What was before it is hidden by the gap that is in the target stream."""


def entry(number: int, body: Body | None = None) -> Entry:
    body = body or Change((f"t:{number}",), gtid=f"0-1-{number}")
    return Entry(stamps.make(number), f"n{number}", f"n{number - 1}" if number > 1 else "", body)


def position(number: int, claim: ReplayClaim | None = None) -> MirrorPosition:
    return MirrorPosition(stamps.make(number), f"n{number}", claim)


def queue_of(*numbers: int, claim: ReplayClaim | None = None) -> MirrorQueue:
    queue = MirrorQueue("a", MirrorPosition(claim=claim), until=FIRST)
    for number in numbers:
        queue.put(entry(number), 0)
    return queue


def queue_of_replay() -> MirrorQueue:
    """The origin has begun anew, with the gap of a source, and a replay of it is owed."""
    queue = queue_of(claim=CLAIM)
    queue.put(entry(1, Gap("begun")), 0)
    return queue


def released(queue: MirrorQueue) -> Released:
    return queue.release(0, 1_000, lambda _: True, has_gates=True)


def replays(queue: MirrorQueue) -> list[Body]:
    return [body for body, _ in released(queue).bodies if isinstance(body, Replayed)]


def test_generations_of_many_namespaces_do_not_all_fit_into_one_append() -> None:
    """As of hundreds of statements that cannot be parsed: the script would hold up Redis for seconds."""
    queue, body = (
        MirrorQueue("a", MirrorPosition(), until=FIRST),
        Generation(tuple(f"n{n}" for n in range(100)), 1, 2, "r", "0-1-1"),
    )
    for number in range(1, 100):
        queue.put(entry(number, body), 0)
    first = released(queue)
    assert first.is_cut
    assert 1 <= len(first.bodies) * 100 * NAMESPACE_KEYS <= BATCH_KEYS_MAX
    queue.drop(first.taken)
    assert released(queue).bodies


def test_each_domain_has_a_first_entry_of_those_that_stay() -> None:
    queue = MirrorQueue("a", MirrorPosition(), until=FIRST)
    for number, gtid in enumerate(("0-1-1", "0-1-2", "1-1-7", "0-1-3"), 1):
        queue.put(entry(number, Change((f"t:{number}",), gtid)), 0)
    queue.put(entry(5, Heartbeat(1, gtid="0-1-3,1-1-7")), 0)
    queue.put(entry(6, Change(("by hand",))), 0)
    assert [[item.gtid for item in queue.fronts(taken)] for taken in range(5)] == [
        ["0-1-1", "1-1-7"], ["0-1-2", "1-1-7"], ["0-1-3", "1-1-7"], ["0-1-3"], []
    ]  # fmt: skip
    queue.drop(2)
    assert [item.gtid for item in queue.fronts(0)] == ["0-1-3", "1-1-7"]


def test_what_another_mirror_has_gone_on_from_must_be_there() -> None:
    queue = queue_of(1)
    assert queue.drop_through(position(3)) == 1
    queue.put(entry(2), 0)
    with pytest.raises(BrokenOriginError, match="not there"):
        queue.put(entry(4), 0)


def test_what_a_mirror_wrote_is_not_copied() -> None:
    copy = replace(entry(2), origin=Origin("b", "1-0", "n"))
    with pytest.raises(BrokenOriginError, match="a mirror's, of datacenter b"):
        queue_of(1).put(copy, 0)


def test_what_another_mirror_has_appended_is_not_appended_again() -> None:
    queue = queue_of(1)
    queue.drop_through(position(3))
    for number in (2, 3, 4):
        queue.put(entry(number), 0)
    assert [body.keys for body, _ in released(queue).bodies if isinstance(body, Change)] == [("t:4",)]


@pytest.mark.parametrize(("owed", "claimed"), [(CLAIM, 1), (None, 0)])
def test_of_a_replay_is_owed_what_the_mirror_that_is_ahead_says(owed: ReplayClaim | None, claimed: int) -> None:
    """It may be paid, or such that nobody can pay it any more."""
    queue = queue_of_replay()
    queue.drop_through(position(2, owed))
    queue.put(entry(2), 0)
    queue.put(entry(4, Heartbeat(4, gtid="0-1-4")), 0)
    assert len(replays(queue)) == claimed


def test_a_replay_is_owed_until_it_is_appended_and_no_longer() -> None:
    queue = queue_of_replay()
    assert released(queue).position == position(1, CLAIM)
    queue.put(entry(4, Heartbeat(4, gtid="0-1-4")), 0)
    assert replays(queue) == [Replayed(1, "0-1-4")]
    assert released(queue).position == position(4)


def test_no_replay_is_owed_any_more_when_entries_of_it_are_gone() -> None:
    queue = queue_of_replay()
    queue.put_tear(entry(3), 0)
    for number in (3, 4):
        queue.put(entry(number, Heartbeat(number, gtid=f"0-1-{number}")), 0)
    assert replays(queue) == []
    assert released(queue).position == position(4)


def test_where_another_mirror_has_gone_on_it_has_said_what_is_missing() -> None:
    queue = queue_of(1)
    queue.drop_through(position(3))
    queue.put_tear(entry(3), 0)
    queue.put(entry(3), 0)
    assert released(queue).bodies == ()


def test_a_tear_is_said_until_another_mirror_has_copied_what_is_behind_it() -> None:
    queue = queue_of(1)
    queue.put_tear(entry(3), 0)
    queue.put(entry(3), 0)
    queue.put(entry(4, Heartbeat(4, gtid="0-1-4")), 0)
    queue.drop_through(position(1))
    assert [type(body) for body, _ in released(queue).bodies] == [Gap, Change]
    queue.drop_through(position(3))
    assert released(queue).bodies == ()
