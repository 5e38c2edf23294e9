"""What is pending is said again in parts: however much it is, nothing else of the mirror waits long."""

from replicator.mirror.options import BATCH_ENTRIES_MAX
from replicator.mirror.settle import LOOK_ENTRIES, Look
from replicator.mirror.state import MirrorState
from replicator.mirror.words import Mark
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Origin

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
