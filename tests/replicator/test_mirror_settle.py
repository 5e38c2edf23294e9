"""What is pending is said again in parts: however much it is, nothing else of the mirror waits long."""

from dataclasses import replace

import pytest

from replicator.mirror.options import BATCH_ENTRIES_MAX
from replicator.mirror.reasons import REWOUND
from replicator.mirror.settle import LOOK_ENTRIES, TAKEN_BACK_MS, Look, judge_by_replicas
from replicator.mirror.state import MirrorState
from replicator.mirror.words import Mark
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Origin
from versioning.limits import WINDOW_MS

NOW_MS = 10**12
MANY = 3 * LOOK_ENTRIES


def take(state: MirrorState, number: int, *keys: str) -> None:
    body = Change(keys, f"0-1-{number}", pending=True)
    state.take(Entry(stamps.make(number), f"{number}", state.nonce, body, Origin("a", f"{number}-0", "n")), NOW_MS)


def pending(count: int) -> MirrorState:
    state = MirrorState("a")
    for number in range(1, count + 1):
        take(state, number, f"t:{number}")
    return state


class Judge:
    def __init__(self, *, is_applied: bool) -> None:
        self.judged = 0
        self._is_applied = is_applied

    def __call__(self, _: Mark) -> bool | None:
        self.judged += 1
        return True if self._is_applied else None


def test_no_part_of_a_look_is_long() -> None:
    state, judge = pending(MANY), Judge(is_applied=False)
    look = Look(state)
    for part in range(1, 4):
        assert not look.is_over
        assert look.due(state, judge, NOW_MS) == []
        assert judge.judged == part * LOOK_ENTRIES
    assert look.is_over


def test_what_takes_many_appends_is_looked_at_once() -> None:
    """Each append began the look anew: an hour without a replica took the mirror minutes to settle."""
    state, judge, said = pending(MANY), Judge(is_applied=True), []
    look = Look(state)
    while not look.is_over:
        part = look.due(state, judge, NOW_MS)
        assert len(part) <= BATCH_ENTRIES_MAX
        said += [key for again in part if isinstance(again.body, Change) for key in again.body.keys]
    assert said == [f"t:{number}" for number in range(1, MANY + 1)]
    assert judge.judged <= MANY + MANY // BATCH_ENTRIES_MAX


def test_what_is_said_meanwhile_is_not_said_again() -> None:
    state = pending(2)
    take(state, 3, "t:4", "t:5")
    look = Look(state)
    take(state, 4, "t:1", "t:5")
    said = [again.body for again in look.due(state, Judge(is_applied=True), NOW_MS)]
    assert said == [Change((key,), gtid, settled=True) for key, gtid in (("t:2", "0-1-2"), ("t:4", "0-1-3"))]


def test_after_a_loss_of_the_stream_nothing_is_said_of_what_was_looked_at_before() -> None:
    look = Look(pending(2))
    assert look.due(pending(2), Judge(is_applied=True), NOW_MS) == []
    assert look.is_over


@pytest.mark.parametrize("first", [Change(("t:1",), "0-1-1"), Change(("t:1",), "0-1-1", settled=True)])
def test_what_another_mirror_has_taken_back_is_left_to_it_for_a_while(first: Change) -> None:
    """With other databases listed, each would contradict the other at every look."""
    ours, theirs = MirrorState("a"), MirrorState("a")
    for state in (ours, theirs):
        say(state, 1, first)
        say(state, 2, replace(first, pending=True, settled=False), is_ours=state is ours)
    assert settles_at(ours, 2) == settles_at(theirs, 2 + TAKEN_BACK_MS) == 1
    assert settles_at(theirs, 1 + TAKEN_BACK_MS) == 0


def test_what_it_only_says_again_is_not() -> None:
    state, word = MirrorState("a"), Change(("t:1",), "0-1-1", pending=True)
    say(state, 1, word)
    say(state, 2, word)
    assert settles_at(state, 2) == 1


def test_a_gap_that_another_mirror_says_of_the_replicas_is_left_to_it_too() -> None:
    ours, theirs = MirrorState("a"), MirrorState("a")
    for state in (ours, theirs):
        say(state, 2, Gap(REWOUND, "0-1-1", pending=True), is_ours=state is ours)
    assert settles_at(ours, 2) == settles_at(theirs, 2 + TAKEN_BACK_MS) == 1
    assert settles_at(theirs, 1 + TAKEN_BACK_MS) == 0


def say(state: MirrorState, at_ms: int, body: Change | Gap, *, is_ours: bool = False) -> None:
    entry = Entry(stamps.make(at_ms), f"{at_ms}", state.nonce, body, Origin("a", "1-0", "n"))
    state.take(entry, NOW_MS, is_ours=is_ours)


def settles_at(state: MirrorState, now_ms: int) -> int:
    """How much, where all databases have it."""
    judge = judge_by_replicas(state, now_ms, lambda _: True, window_ms=WINDOW_MS, oldest=stamps.ZERO)
    return sum(again.is_settled for again in Look(state).due(state, judge, now_ms))
