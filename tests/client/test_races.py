"""A reader's thread is stopped in the middle of a look into the index, and the follower's goes on meanwhile.

Wherever that happens, nothing superseded is called FRESH: what says that all is known must have held before the stamps
were looked at, and after.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from tests.versioning.world import START_MS, at, beat_at, history, stamp_at
from versioning.client.hit import make_hit, make_hits
from versioning.client.local import LocalCache
from versioning.entries import Change, Entry, Gap, Generation, Replayed
from versioning.follow import Follow
from versioning.generations import Aging
from versioning.held import hold
from versioning.index import Index
from versioning.options import CacheOptions
from versioning.read import Counters
from versioning.verdict import Verdict

KEY = "t:1"
OPTIONS = CacheOptions()
Advance = Callable[[], object]
V = TypeVar("V")


class Looked(dict[str, V]):
    """Stamps, or generations, at which the reader that looks next is stopped, once, right behind its look."""

    advance: Advance | None = None

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        advance, self.advance = self.advance, None
        if advance is not None:
            advance()
        return found


Stamps = Looked[int]


def index_of() -> tuple[Index, Stamps]:
    index = Index()
    index.stamps = found = Stamps()
    return index, found


def take(index: Index, entries: Sequence[Entry]) -> None:
    for entry in entries:
        index.apply(entry, at((entry.stamp >> 20) / 1000 - START_MS / 1000))


def while_older_entries_come_in() -> tuple[Index, Stamps, Advance]:
    index, found = index_of()
    follow = Follow(index)
    *older, newest = history((1, Change(("u:1",))), (20, Change((KEY,))), (30, beat_at(30)))
    follow.begin([newest], at(30))
    return index, found, lambda: follow.take_older(older[::-1], at(30))


def while_what_was_missed_comes_in() -> tuple[Index, Stamps, Advance]:
    """A link has come back, and the heartbeats with it."""
    index, found = index_of()
    index.horizon = stamp_at(0)
    first, *later = history((1, beat_at(1)), (20, Change((KEY,))), (30, beat_at(30)))
    take(index, [first])
    return index, found, lambda: take(index, later)


def while_a_pending_gap_ends() -> tuple[Index, Stamps, Advance]:
    index, found = index_of()
    index.horizon = stamp_at(0)
    gap, beat = Gap("lost", "0-1-2", pending=True), beat_at(29)
    change, end = Change((KEY,), "0-1-2"), Replayed(START_MS, "0-1-2", settled=True)
    entries = history((2, gap), (29, beat), (29.1, change), (29.2, end))
    take(index, entries[:2])
    return index, found, lambda: take(index, entries[2:])


def verdict(index: Index) -> bool:
    return index.verdict(KEY, stamp_at(10), at(30)) is Verdict.FRESH


def judge(index: Index) -> bool:
    found, proven_ago_ms = index.judge(KEY, stamp_at(10), at(30))
    return found is Verdict.FRESH or (proven_ago_ms is not None and proven_ago_ms < 10_000)


def fresh(index: Index) -> bool:
    return bool(index.fresh({KEY: (stamp_at(10), START_MS + 10_000, b"")}, at(30)))


def local_of(index: Index) -> tuple[Any, ...]:
    local = LocalCache(4, lambda: 0)
    held = hold("old", stamp_at(10), START_MS + 10_000, at(30), OPTIONS)
    assert held is not None
    local.put(KEY, held)
    return index, local, Counters(), (lambda _: 30.0, 0), lambda: at(30).ms


def hit(index: Index) -> bool:
    return make_hit(*local_of(index))(KEY) is not None


def hits(index: Index) -> bool:
    return bool(make_hits(*local_of(index))((KEY,)))


@pytest.mark.parametrize("is_served", [verdict, judge, fresh, hit, hits])
@pytest.mark.parametrize(
    "world", [while_older_entries_come_in, while_what_was_missed_comes_in, while_a_pending_gap_ends]
)
def test_what_was_superseded_while_the_reader_stood_still_is_not_fresh(
    world: Callable[[], tuple[Index, Stamps, Advance]], is_served: Callable[[Index], bool]
) -> None:
    index, found, found_advance = world()
    found.advance = found_advance
    assert not is_served(index)


class Forgetful(Stamps):
    """The reader is stopped right before its look instead, or looks right behind each stamp that is dropped."""

    look: Advance | None = None

    def get(self, key: str, default: Any = None) -> Any:
        advance, self.advance = self.advance, None
        if advance is not None:
            advance()
        return super().get(key, default)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self._look()

    def clear(self) -> None:
        super().clear()
        self._look()

    def _look(self) -> None:
        if self.look is not None:
            self.look()


def known() -> tuple[Index, Forgetful]:
    index = Index(window_ms=5_000)
    index.stamps = found = Forgetful()
    index.horizon = stamp_at(0)
    take(index, history((20, Change((KEY,))), (23, beat_at(23))))
    return index, found


def forget(index: Index) -> None:
    index.forget()


def prune(index: Index) -> None:
    take(index, history((30, beat_at(30))))


@pytest.mark.parametrize("is_served", [verdict, judge, fresh, hit, hits])
@pytest.mark.parametrize("drop", [forget, prune])
def test_what_is_forgotten_as_a_reader_looks_is_not_fresh(
    drop: Callable[[Index], None], is_served: Callable[[Index], bool]
) -> None:
    index, found = known()
    found.advance = lambda: drop(index)
    assert not is_served(index)
    assert KEY not in found


@pytest.mark.parametrize("is_served", [verdict, judge, fresh, hit, hits])
@pytest.mark.parametrize("drop", [forget, prune])
def test_between_two_steps_of_forgetting_nothing_superseded_is_fresh(
    drop: Callable[[Index], None], is_served: Callable[[Index], bool]
) -> None:
    index, found = known()
    served: list[bool] = []
    found.look = lambda: served.append(is_served(index))
    drop(index)
    assert served
    assert not any(served)


@pytest.mark.parametrize("is_served", [verdict, judge, fresh, hit, hits])
def test_a_look_at_what_is_left_between_a_lost_history_and_the_next_one_proves_nothing(
    is_served: Callable[[Index], bool],
) -> None:
    """Both know of the change, and vouch for the rest."""
    index = Index()
    index.stamps = found = Forgetful()
    follow = Follow(index)
    follow.begin([], at(0))
    follow.take(history((0, Gap("start")), (20, Change((KEY,))), (29, beat_at(29))), at(29))
    replay = Replayed(START_MS - 100_000)
    *older, newest = history((33, Gap("lost")), (33.1, Change((KEY,))), (33.2, replay), (33.3, beat_at(29)), name="m")

    def cover() -> None:
        follow.begin([newest], at(30))
        follow.take_older(older[::-1], at(30))
        follow.take_older((), at(30))

    def lose() -> None:
        follow.lose()
        found.advance = cover

    found.advance = lose
    assert not is_served(index)
    assert index.verdict("t:2", stamp_at(10), at(30)) is Verdict.FRESH, "the next one is there"


@pytest.mark.parametrize("is_served", [verdict, judge, fresh, hit, hits])
def test_a_doubt_that_ends_as_a_reader_looks_leaves_nothing_fresh_that_was_loaded_under_it(
    is_served: Callable[[Index], bool],
) -> None:
    index = Index(window_ms=28_000)
    index.generations.by_namespace = namespaces = Looked[tuple[Aging, ...]]()
    index.horizon = stamp_at(0)
    pending = Generation(("t",), START_MS + 2_000, 0, "ALTER", "0-1-2", pending=True)
    settled = Generation(("t",), START_MS + 28_000, 0, "ALTER", "0-1-2", settled=True)
    entries = history((2, pending), (25, beat_at(25)), (28, settled), (29.5, beat_at(29.5)))
    take(index, entries[:2])
    namespaces.advance = lambda: take(index, entries[2:])
    assert not is_served(index)
    assert len(namespaces["t"]) == 1, "what was pending is covered by what ended it"
