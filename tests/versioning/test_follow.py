"""Continuity (P2), recovery by replay (P3) and starting backwards (P8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.versioning.world import START_MS, at, beat_at, history, stamp_at
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Poisoned, ReadBody, Replayed
from versioning.follow import ContinuityError, Follow
from versioning.index import Index
from versioning.limits import REPLAY_SLACK_MS
from versioning.verdict import Verdict

NOW = at(100)


def following(entries: list[Entry], *, page: int = 100, window_ms: int = 10**9) -> Follow:
    """Follow a stream from its end back to wherever coverage ends, ``page`` entries at a time."""
    follow = Follow(Index(window_ms=window_ms))
    newest_first = entries[::-1]
    follow.begin(newest_first[:page], NOW)
    while follow.wants_older:
        older = [entry for entry in newest_first if entry.stamp < follow.oldest]
        follow.take_older(older[:page], NOW)
    return follow


def both_ways(entries: list[Entry]) -> tuple[Index, Index]:
    """Return the index of who reads them backwards, and of who was there as they came."""
    forwards = Follow(Index())
    forwards.begin([], NOW)
    forwards.take(entries, NOW)
    return following(entries).index, forwards.index


STREAM = history((0, Gap("start")), *((n, Change((f"t:{n}",))) for n in range(1, 20)), (100, beat_at(100)))


@pytest.mark.parametrize("page", [1, 2, 7, 100])
def test_coverage_does_not_depend_on_the_size_of_pages(page: int) -> None:
    follow = following(STREAM, page=page)
    index = follow.index
    assert (index.horizon, index.watermark) == (stamp_at(0), stamp_at(100))
    assert all(index.last_stamp(f"t:{n}") == stamp_at(n) for n in range(1, 20))
    assert index.verdict("t:5", stamp_at(5), NOW) is Verdict.FRESH


def test_each_page_lowers_the_horizon_so_that_the_newest_values_are_checkable_first() -> None:
    follow = Follow(Index())
    follow.begin(STREAM[:-4:-1], NOW)
    assert follow.index.horizon == stamp_at(18)
    assert follow.wants_older


def test_coverage_ends_with_one_window() -> None:
    follow = following(STREAM, page=2, window_ms=85_000)
    assert follow.index.horizon == stamp_at(15)
    assert follow.index.last_stamp("t:14") == 0


def test_a_trimmed_stream_is_known_from_its_first_entry_on() -> None:
    assert following(STREAM[5:]).index.horizon == stamp_at(5)


def test_a_hole_inside_the_stream_ends_coverage_above_it() -> None:
    assert following(STREAM[:7] + STREAM[8:]).index.horizon == stamp_at(8)


def test_a_replay_makes_values_older_than_the_gap_checkable_again() -> None:
    since_ms = START_MS - 3_000_000
    stream = history((0, Gap("flushed")), (1, Change(("t:1",))), (2, Replayed(since_ms)), (100, beat_at(100)))
    for index in both_ways(stream):
        assert index.horizon >> 20 == since_ms + REPLAY_SLACK_MS
        assert index.verdict("t:1", stamp_at(-100), NOW) is Verdict.STALE
        assert index.verdict("t:2", stamp_at(-100), NOW) is Verdict.FRESH


def test_a_replay_whose_gap_was_not_read_says_nothing() -> None:
    """Some of what it stamped again may be gone with the gap."""
    stream = history((0, Gap("x")), (1, Change(("t:1",))), (2, beat_at(2)), (3, Replayed(START_MS - 10**6)))
    follow = following(stream[2:3])
    follow.take(stream[3:], NOW)
    assert follow.index.horizon == stamp_at(2)


def test_a_later_replay_does_not_bring_back_what_was_pruned_after_an_earlier_one() -> None:
    since_ms = START_MS - 3_000_000
    stream = history((0, Gap("x")), (1, Replayed(since_ms)), (2, Replayed(since_ms + 1_000)))
    follow = following(stream[:2])
    follow.index.horizon += 10_000 << 20
    follow.take(stream[2:], NOW)
    assert follow.index.horizon >> 20 == since_ms + 1_000 + REPLAY_SLACK_MS


def test_what_lies_below_a_gap_is_still_superseded_after_a_replay() -> None:
    """A forced bump has no commit behind it: no replay says it again."""
    since_ms = START_MS - 3_000_000
    index = following(history((0, Change(("t:1",))), (1, Gap("flushed")), (2, Replayed(since_ms)))).index
    assert index.verdict("t:1", stamp_at(-100), at(2)) is Verdict.STALE


def test_no_replay_makes_known_what_is_trimmed_below_its_gap() -> None:
    since_ms = START_MS - 3_000_000
    stream = history((0, Change(("t:1",))), (1, beat_at(1)), (2, Gap("flushed")), (3, Replayed(since_ms)))
    for read_before in (1, 2):
        follow = following(stream[1:][:read_before])
        follow.take(stream[1:][read_before:], NOW)
        assert follow.index.horizon == stamp_at(1)


def test_no_replay_makes_known_what_is_missing_in_the_middle() -> None:
    above = ((2, beat_at(2)), (3, Gap("flushed")), (4, Replayed(START_MS - 3_000_000)))
    first, _, *later = history((0, Change(("t:1",))), (1, Change(("t:1",))), *above)
    assert following([first, *later]).index.horizon == stamp_at(2)


def test_a_replay_counts_once_all_below_its_gap_is_read() -> None:
    since_ms = START_MS - 3_000_000
    stream = history((0, Gap("start")), (1, Gap("flushed")), (2, Replayed(since_ms)), (3, beat_at(3)))
    follow = Follow(Index())
    follow.begin(stream[2:0:-1], NOW)
    follow.take(stream[3:], NOW)
    assert follow.index.horizon == stamp_at(1)
    follow.take_older(stream[:1], NOW)
    follow.take_older((), NOW)
    assert follow.index.horizon >> 20 == since_ms + REPLAY_SLACK_MS


def test_behind_a_link_that_was_lost_no_replay_makes_known_what_was_before() -> None:
    """A bump may be there: the next entry behind a state that was lost follows none, as the first of a history does."""
    before = history((0, Gap("start")), (1, Change(("t:1",))))
    behind = history((2, beat_at(2)), (3, Gap("flushed")), (4, Replayed(START_MS - 3_000_000)), name="m")
    assert following([*before, *behind]).index.horizon == stamp_at(2)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Entry(stamp_at(2), "n", "", beat_at(2)), id="behind someone else's entry, or a lost state"),
        pytest.param(Entry(stamp_at(2), "n", "", Change(("t:2",))), id="a bump"),
        pytest.param(Entry(stamp_at(2), "", "", Poisoned("by hand")), id="someone else's"),
    ],
)
def test_no_replay_makes_known_what_is_trimmed_below_a_lost_link(first: Entry) -> None:
    """Only a gap says that a history begins with it."""
    since_ms = START_MS - 3_000_000
    behind = history((3, Gap("flushed")), (4, Replayed(since_ms)), previous=first.nonce, name="m")
    assert [index.horizon for index in both_ways([first, *behind])] == [stamp_at(2)] * 2


def test_a_poisoned_entry_inside_a_replay_spoils_it() -> None:
    stream = history((0, Gap("x")), (1, Poisoned("x")), (2, Replayed(START_MS - 10**6)), (100, beat_at(100)))
    assert following(stream).index.horizon == stamp_at(1)
    for read_before in (0, 1, 2):
        follow = following(stream[:read_before])
        follow.take(stream[read_before:], NOW)
        assert follow.index.horizon == stamp_at(1)


def test_someone_elses_entry_below_the_first_of_a_history_makes_nothing_known() -> None:
    """Its stamp may be below those of a stream that was deleted: the clock was put back."""
    foreign = Entry(stamp_at(1), "", "", Poisoned("by hand"))
    stream = [foreign, *history((50, beat_at(50)), (100, beat_at(100)))]
    assert [index.horizon for index in both_ways(stream)] == [stamp_at(50)] * 2
    assert following([foreign]).index.horizon == stamp_at(1)


def test_forwards_every_entry_must_name_the_one_before_it() -> None:
    follow = following(STREAM[:10])
    follow.take(STREAM[10:12], NOW)
    with pytest.raises(ContinuityError, match="missing"):
        follow.take(STREAM[13:], NOW)
    assert follow.index.watermark == stamp_at(11)


def test_an_empty_stream_is_followed_from_its_first_entry() -> None:
    follow = following([])
    follow.take(STREAM, NOW)
    assert follow.index.horizon == stamp_at(0)
    with pytest.raises(ContinuityError):
        following([]).take(STREAM[3:], NOW)


@pytest.mark.parametrize(
    "last",
    [None, STREAM[3], Entry(STREAM[-1].stamp, "other", "", Heartbeat(0))],
    ids=["flushed", "shortened", "stamp handed out twice"],
)
def test_an_idle_follower_notices_that_the_end_of_the_stream_is_not_its_own(last: Entry | None) -> None:
    follow = following(STREAM)
    follow.check_tail(STREAM[-1])
    with pytest.raises(ContinuityError):
        follow.check_tail(last)


def test_after_a_break_the_lost_history_stays_unknown_even_if_a_new_one_covers_it() -> None:
    follow = following(STREAM)
    follow.lose()
    assert follow.index.verdict("t:5", stamp_at(100), NOW) is Verdict.UNKNOWN
    recovered = history((0, Gap("start")), (101, beat_at(100)), name="m")
    follow.begin(recovered[::-1], NOW)
    follow.take_older((), NOW)
    assert follow.index.verdict("t:5", stamp_at(100), NOW) is Verdict.UNKNOWN
    assert follow.index.verdict("t:5", stamp_at(101), NOW) is Verdict.FRESH


@pytest.mark.parametrize("first", [beat_at(98), Gap("start"), Poisoned("not JSON")])
def test_after_a_break_the_lost_history_stays_unknown_even_if_an_empty_stream_begins_below_its_end(
    first: ReadBody,
) -> None:
    follow = following(STREAM)
    follow.lose()
    follow.begin([], NOW)
    follow.take(history((98, first), (99, beat_at(100)), name="m"), NOW)
    assert follow.index.verdict("t:5", stamp_at(99), NOW) is Verdict.UNKNOWN


def test_a_history_given_up_while_it_is_covered_leaves_no_doubt_to_the_one_that_begins_empty() -> None:
    follow = Follow(Index())
    follow.begin(STREAM[:-4:-1], NOW)
    follow.lose()
    follow.begin([], NOW)
    follow.take(history((101, Gap("start")), (102, beat_at(102)), name="m"), at(102))
    assert follow.index.verdict("t:5", stamp_at(102), at(102)) is Verdict.FRESH


def test_a_replay_above_the_lost_history_makes_it_checkable_and_one_below_does_not() -> None:
    for gap_second, expected in ((101, Verdict.FRESH), (50, Verdict.UNKNOWN)):
        follow = following(STREAM)
        follow.lose()
        replay = ((gap_second, Gap("flushed")), (gap_second + 1, Replayed(START_MS - 10**6)), (102.5, beat_at(100)))
        follow.begin(history(*replay, name="m")[::-1], NOW)
        follow.take_older((), NOW)
        assert follow.index.verdict("t:5", stamp_at(99), NOW) is expected


def test_while_a_lost_history_is_replayed_its_last_heartbeat_vouches_for_nothing() -> None:
    follow = following(STREAM)
    follow.lose()
    replay = history(
        (101, Gap("flushed")), (102, Replayed(START_MS - 10**6)), (103, Change(("t:1",))), (104, beat_at(100)), name="m"
    )
    follow.begin(replay[1::-1], NOW)
    follow.take_older((), NOW)
    assert follow.index.horizon < stamp_at(50)
    # Its change is among those that are still to come.
    assert follow.index.verdict("t:1", stamp_at(50), NOW) is Verdict.UNKNOWN
    follow.take(replay[2:], NOW)
    assert follow.index.verdict("t:2", stamp_at(50), NOW) is Verdict.FRESH


def test_while_the_window_is_covered_a_key_that_may_be_pending_further_back_gets_no_fill_stamp() -> None:
    pending, decided, bump = Change(("t:1",), "0-1-5", pending=True), Change(("t:2",), "0-1-6"), Change(("t:3",))
    stream = history((0, Gap("start")), (1, pending), (2, decided), (3, bump), (100, beat_at(100)))
    follow = Follow(Index(window_ms=10**9))
    follow.begin(stream[:1:-1], NOW)
    assert [follow.index.fill_stamp(key) for key in ("t:1", "t:2", "t:3")] == [0, stamp_at(100), stamp_at(3)]
    assert [follow.index.is_pending(key) for key in ("t:1", "t:2", "t:3")] == [False, False, True]
    follow.take_older(stream[1::-1], NOW)
    follow.take_older((), NOW)
    assert [follow.index.fill_stamp(key) for key in ("t:1", "t:2", "t:3")] == [stamp_at(100)] * 3
    assert [follow.index.is_pending(key) for key in ("t:1", "t:2", "t:3")] == [True, False, False]


@pytest.mark.parametrize(
    "pending", [Gap("g", "0-1-5", pending=True), Generation(("t",), START_MS, 0, "DDL", "0-1-5", pending=True)]
)
def test_while_the_window_is_covered_nothing_is_vouched_for_that_may_be_doubtful_by_what_is_further_back(
    pending: Body,
) -> None:
    stream = history((0, Gap("start", "0-1-1")), (1, pending), (99, beat_at(99)), (100, beat_at(100)))
    follow = Follow(Index(window_ms=10**9))
    follow.begin(stream[:1:-1], NOW)
    assert follow.index.verdict("t:1", stamp_at(99), NOW) is Verdict.UNKNOWN
    follow.take_older(stream[1::-1], NOW)
    follow.take_older((), NOW)
    assert follow.index.verdict("t:1", stamp_at(99), NOW) is Verdict.UNKNOWN
    assert follow.index.verdict("u:1", stamp_at(99), NOW) is (
        Verdict.UNKNOWN if isinstance(pending, Gap) else Verdict.FRESH
    )


@pytest.mark.parametrize("bump_second", [2, 4])
def test_what_a_key_was_told_beside_a_bump_decides_it_while_the_window_is_covered(bump_second: int) -> None:
    pending, applied, bump = Change(("t:1",), "0-1-5", pending=True), Change(("t:1",), "0-1-6"), Change(("t:1",))
    told = sorted(((6 - bump_second, applied), (bump_second, bump)), key=lambda one: one[0])
    stream = history((0, Gap("start")), (1, pending), *told)
    follow = Follow(Index(window_ms=10**9))
    follow.begin(stream[2:3], NOW)
    follow.take(stream[3:], NOW)
    follow.take_older(stream[1::-1], NOW)
    follow.take_older((), NOW)
    assert not follow.index.is_pending("t:1")


def test_a_bump_of_its_namespace_decides_nothing_of_a_key_while_the_window_is_covered() -> None:
    pending, bump = Change(("t:1",), "0-1-5", pending=True), Generation(("t",), START_MS, 0, "by hand")
    stream = history((0, Gap("start")), (1, pending), (3, bump), (100, beat_at(100)))
    follow = Follow(Index(window_ms=10**9))
    follow.begin(stream[:1:-1], NOW)
    assert follow.index.fill_stamp("t:1") == 0
    follow.take_older(stream[1::-1], NOW)
    follow.take_older((), NOW)
    assert follow.index.is_pending("t:1")


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (Gap("g (said again)", "0-1-5"), Verdict.FRESH),
        (Replayed(START_MS, settled=True), Verdict.FRESH),
        (Replayed(START_MS), Verdict.UNKNOWN),
        (Gap("another, of no position"), Verdict.UNKNOWN),
    ],
)
def test_as_long_as_a_gap_is_pending_no_value_that_was_loaded_since_is_vouched_for(end: Body, verdict: Verdict) -> None:
    opened = ((0, Gap("start")), (1, Gap("g", "0-1-5", pending=True)), (2, Change(("t:1",), "0-1-6")))
    pending = following(history(*opened, (100, beat_at(100)))).index
    assert pending.verdict("t:1", stamp_at(2), NOW) is Verdict.UNKNOWN
    assert pending.verdict("u:1", stamp_at(1), NOW) is Verdict.UNKNOWN
    for ended in both_ways(history(*opened, (3, end), (100, beat_at(100)))):
        assert ended.verdict("t:1", stamp_at(3), NOW) is verdict


def test_a_pending_gap_of_no_position_is_ended_by_another_one_that_is_not_pending() -> None:
    stream = history((0, Gap("start")), (1, Gap("g", pending=True)), (2, Gap("g (said again)")), (100, beat_at(100)))
    for pending in both_ways([*stream[:2], *history((100, beat_at(100)), previous="n1", name="m")]):
        assert pending.verdict("t:1", stamp_at(2), NOW) is Verdict.UNKNOWN
    for ended in both_ways(stream):
        assert ended.verdict("t:1", stamp_at(2), NOW) is Verdict.FRESH


@pytest.mark.parametrize(
    ("lost", "found", "verdict"),
    [
        (Gap("g", "0-1-5", pending=True), Gap("flushed", "0-1-5"), Verdict.FRESH),
        (Gap("start", "0-1-5"), Gap("flushed", "0-1-5", pending=True), Verdict.UNKNOWN),
    ],
)
def test_whether_a_gap_is_pending_is_forgotten_with_its_history(lost: Body, found: Body, verdict: Verdict) -> None:
    follow = following(history((0, lost), (100, beat_at(100))))
    follow.lose()
    follow.begin(history((101, found), (102, beat_at(102)), name="m")[::-1], at(102))
    follow.take_older((), NOW)
    assert follow.index.verdict("t:1", stamp_at(102), at(102)) is verdict


def test_a_pending_gap_that_nobody_says_again_is_forgotten_after_a_window() -> None:
    stream = history((1, Gap("g", "0-1-5", pending=True)), (2, beat_at(2)), (20, beat_at(20)))
    follow = following(stream[:2], window_ms=10_000)
    assert follow.index.verdict("t:1", stamp_at(2), at(20)) is Verdict.UNKNOWN
    follow.take(stream[2:], at(20))
    assert follow.index.verdict("t:1", stamp_at(20), at(20)) is Verdict.FRESH


def test_backwards_the_newest_word_on_pending_wins() -> None:
    pending = Change(("t:1",), gtid="0-1-5", pending=True)
    settled = Change(("t:1",), gtid="0-1-5", settled=True)
    bump = Change(("t:1",))
    assert following(history((1, pending), (2, bump))).index.is_pending("t:1")
    assert not following(history((1, pending), (2, settled), (3, bump))).index.is_pending("t:1")
    assert following(history((1, settled), (2, pending))).index.is_pending("t:1")


NAMES = ("t", "u")
KEYS = ("t:1", "t:2", "u:1")
WORDS = [
    {},
    {"gtid": "0-1-5"},
    {"gtid": "0-1-5", "pending": True},
    {"gtid": "0-1-5", "settled": True},
    {"settled": True},
]
changes = st.builds(
    lambda keys, words: Change(tuple(keys), **words), st.sets(st.sampled_from(KEYS), min_size=1), st.sampled_from(WORDS)
)
generations = st.builds(
    lambda names, words: Generation(tuple(names), 0, 0, "r", **words),
    st.sets(st.sampled_from(NAMES), min_size=1),
    st.sampled_from(WORDS),
)
gaps = st.builds(Gap, st.just("g"), st.sampled_from(["", "0-1-5"]), st.booleans())
replays = st.builds(Replayed, st.sampled_from([START_MS - 10**6, START_MS - 10**7]), settled=st.booleans())
marks = gaps | replays | st.just(Poisoned("p"))


@given(st.lists(changes | generations | marks, min_size=1, max_size=12), st.data())
def test_whatever_comes_while_the_window_is_covered_the_index_is_that_of_one_who_read_all_forwards(
    bodies: list[Body], data: st.DataObject
) -> None:
    stream = history(*enumerate(bodies))
    plain = Follow(Index())
    plain.begin([], NOW)
    plain.take(stream, NOW)
    seen = data.draw(st.integers(1, len(stream)), "entries there at the start")
    follow = Follow(Index())
    follow.begin(stream[:seen][: -data.draw(st.integers(1, 3), "first page") - 1 : -1], NOW)
    while follow.wants_older or seen < len(stream):
        new = data.draw(
            st.integers(0, len(stream) - seen) if follow.wants_older else st.just(len(stream) - seen), "new"
        )
        follow.take(stream[seen : seen + new], NOW)
        seen += new
        if follow.wants_older:
            older = [entry for entry in stream[::-1] if entry.stamp < follow.oldest]
            follow.take_older(older[: data.draw(st.integers(1, 3), "page")], NOW)
    assert {key: follow.index.is_pending(key) for key in KEYS} == {key: plain.index.is_pending(key) for key in KEYS}
    doubts, plain_doubts = follow.index.generations.doubts, plain.index.generations.doubts
    assert [doubts(key, stream[-1].stamp) for key in KEYS] == [plain_doubts(key, stream[-1].stamp) for key in KEYS]
    assert follow.index.ceiling == plain.index.ceiling
    assert follow.index.last_stamps(KEYS) == plain.index.last_stamps(KEYS)
    assert follow.index.pending_count == plain.index.pending_count
    assert follow.index.horizon == plain.index.horizon
