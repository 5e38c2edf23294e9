"""What the target stream says of an origin, told by an entry after the other and read a window at a time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.mirror.beats import Place
from replicator.mirror.fold import WindowFold
from replicator.mirror.lags import filled_safely_ms
from replicator.mirror.plan import make_plan, next_heartbeat
from replicator.mirror.position import MirrorPosition
from replicator.mirror.queue import Released
from replicator.mirror.reasons import OWN, REWOUND, SHORT, UNREADABLE, said_again
from replicator.mirror.settle import Look, judge_by_replicas, judge_by_time
from replicator.mirror.state import MirrorState
from replicator.mirror.words import LOST_KEY, Mark
from versioning import stamp as stamps
from versioning.backends.base import History
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Origin, Replayed
from versioning.limits import CLOCK_ERROR_MS, LOSS_LEAD_MS, MAX_LAG_MS, REPLAY_SLACK_MS, SPREAD_MAX_MS

FAR_MS = 10**12

COPIED = MirrorPosition(stamps.parse("1-0"), "n")
THIRD = MirrorPosition(stamps.parse("3-0"), "n")
BEFORE = MirrorPosition(COPIED.stamp - 1, "m")
"""All entries here are of this one of the origin."""

keys = st.lists(st.sampled_from(["t:1", "t:2", "t:3"]), min_size=1, max_size=2, unique=True).map(tuple)
gtids = st.sampled_from(["", "0-1-1", "0-1-2", "0-1-3"])
flags = st.sampled_from([(False, False), (True, False), (False, True)])
reasons = st.sampled_from(["gone", said_again("gone"), UNREADABLE + "gone", said_again("gone", is_poisoned=True)])
bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(lambda k, g, f: Change(k, g, pending=f[0], settled=f[1]), keys, gtids, flags),
    st.builds(lambda g, f: Generation(("t",), 1, 2, "r", g, pending=f[0], settled=f[1]), gtids, flags),
    st.builds(Gap, reasons, gtids, pending=st.booleans()),
    st.builds(Heartbeat, st.just(9), st.just(5)),
    st.builds(Replayed, st.sampled_from([3, 7]), settled=st.booleans()),
)


def entries_of(found: list[Body], dc: str = "a", origins: str = "1" * 20) -> list[Entry]:
    """``origins``: the place in the origin's stream of each, a digit."""
    made = []
    for number, (body, place) in enumerate(zip(found, origins, strict=False), 1):
        origin = None if isinstance(body, Heartbeat) else Origin(dc, f"{place}-0", "n")
        made.append(
            Entry(stamps.make(1_000 * number), f"{number}", f"{number - 1}" if number > 1 else "", body, origin)
        )
    return made


def live(entries: list[Entry]) -> MirrorState:
    """As a mirror knows it that was there when they were written."""
    state = MirrorState("a")
    for entry in entries:
        state.take(entry, FAR_MS)
    return state


def window(entries: list[Entry], before: MirrorState | None = None, *, is_whole: bool = False) -> WindowFold:
    fold = WindowFold(MirrorState("a"), before, FAR_MS, History(), is_whole=is_whole)
    for entry in entries:
        fold.take(entry)
    return fold


def told(mark: Mark | None) -> object:
    return None if mark is None else (mark.body, mark.written_ms)


@given(st.lists(bodies, max_size=14), st.text("123", min_size=20, max_size=20), st.integers(0, 14))
def test_a_mirror_knows_the_same_whether_it_was_there_or_lost_nothing(
    found: list[Body], origins: str, read: int
) -> None:
    """Having read ``read`` of the entries, and the window then; only all that is pending is due to be said again."""
    # A heartbeat first: what the replicas have applied is known from then on.
    entries = entries_of([Heartbeat(9, 5), *found], origins=origins)
    state, other = (
        live(entries),
        window(entries, live(entries[: 1 + read])).carrying(THIRD),
    )
    assert (state.last, state.nonce, state.is_poisoned) == (other.last, other.nonce, other.is_poisoned)
    assert (state.gap and state.gap.body) == (other.gap and other.gap.body)
    assert (state.unclaimed_ms, state.lags) == (other.unclaimed_ms, other.lags)
    assert {k: m.body for k, m in state.keys.items()} == {k: m.body for k, m in other.keys.items()}
    assert {k: m.body for k, m in state.namespaces.items()} == {k: m.body for k, m in other.namespaces.items()}
    assert {k: told(m) for k, m in state.settled.items()} == {k: told(m) for k, m in other.settled.items()}


def test_a_key_said_again_has_been_pending_since_the_first_time() -> None:
    entries = entries_of([Change(("t:1",), "0-1-1", pending=True)] * 3)
    for state in (live(entries), window(entries).carrying(COPIED)):
        assert (state.keys["t:1"].since_ms, state.keys["t:1"].written_ms) == (1_000, 3_000)


@pytest.mark.parametrize("late", [{"settled": True}, {"pending": True}, {}])
def test_an_older_word_said_late_leaves_a_key_pending_and_due(late: dict[str, bool]) -> None:
    """A mirror that stood still for a while knows no newer one."""
    pending = Change(("t:1", "t:2"), "0-1-2", pending=True)
    entries = entries_of([Heartbeat(9, 5), pending, Change(("t:1",), "0-1-1", **late)], origins="021")
    for state in (live(entries), window(entries).carrying(MirrorPosition(stamps.parse("2-0"), "n"))):
        assert {name: told(mark) for name, mark in state.keys.items()} == {"t:1": (pending, 0), "t:2": (pending, 2_000)}


def test_a_stamp_ahead_of_the_clock_makes_nothing_wait_longer() -> None:
    [entry] = entries_of([Change(("t:1",), "0-1-1", pending=True)])
    state = MirrorState("a")
    state.take(entry, 400)
    assert (state.keys["t:1"].since_ms, state.keys["t:1"].written_ms) == (400, 400)


def test_that_a_replica_had_gone_back_is_known_by_each_word_on_what_was_copied() -> None:
    copied = [Change((f"t:{number}",), f"0-1-{number}") for number in (1, 2)]
    first, second = (replace(change, pending=True) for change in copied)
    state = live(entries_of([*copied, first, Heartbeat(9, 5), second], origins="12102"))
    assert not state.lags.applied_ms


def test_of_what_a_replica_has_lost_nothing_is_pending_for_ever() -> None:
    """No key is concerned, and after a failover that lost it in A, too, no replica will ever have it."""
    state = live(entries_of([Heartbeat(9, 5), Change((LOST_KEY,), "0-1-9", pending=True)]))
    assert (state.pending_count, state.applied_ms) == (0, 0)


def test_another_origin_s_entries_say_nothing() -> None:
    entries = entries_of([Change(("t:1",), "0-1-1", pending=True)], dc="c")
    assert live(entries).pending_count == window(entries).carrying(COPIED).pending_count == 0


def test_a_gap_is_open_until_a_later_gap_of_a_known_position() -> None:
    gap = Gap("gone", "0-1-5", pending=True)
    assert live(entries_of([gap, Gap(UNREADABLE + "bad")])).gap is not None
    assert live(entries_of([gap, Gap("gone", "0-1-5")])).gap is None


def test_a_replay_closes_a_gap_only_when_the_replicas_are_beyond_its_start() -> None:
    opened: list[Body] = [Heartbeat(9, 5), Gap("gone", "0-1-5", pending=True), Heartbeat(9, 5)]
    state = live(entries_of(opened))
    assert [state.claimed(Replayed(since_ms), 0, THIRD.stamp, 0).settled for since_ms in (3, 7)] == [True, False]
    beyond, before = (entries_of([*opened, Replayed(3, settled=settled)]) for settled in (True, False))
    assert live(beyond).gap is None
    assert live(before).gap is not None


def test_values_may_be_filled_up_to_now_whatever_is_left_of_the_stream() -> None:
    """It may have been flushed, and entries with it that this mirror has not read; here no heartbeat has told yet."""
    state, since_ms = MirrorState("a"), FAR_MS - 1_000
    claimed = state.claimed(Replayed(since_ms), 0, THIRD.stamp, FAR_MS)
    assert filled_safely_ms(claimed.since_ms) > FAR_MS + LOSS_LEAD_MS + CLOCK_ERROR_MS
    state.lags.take(FAR_MS - 500, FAR_MS)
    assert state.claimed(Replayed(since_ms), 0, THIRD.stamp, FAR_MS).since_ms == since_ms


def test_a_replay_closes_no_gap_while_what_was_loaded_since_may_lack_what_that_hid() -> None:
    state = live(entries_of([Heartbeat(9, 5)]))
    gaps_ms = (3 + REPLAY_SLACK_MS - 1, 3 + REPLAY_SLACK_MS)
    assert [state.claimed(Replayed(3), gap_ms, THIRD.stamp, 0).settled for gap_ms in gaps_ms] == [False, True]


@pytest.mark.parametrize(("is_old", "is_settled"), [(True, True), (False, False)])
def test_a_gap_may_enter_with_the_replay_that_closes_it(*, is_old: bool, is_settled: bool) -> None:
    now_ms = 3 + REPLAY_SLACK_MS - (not is_old)
    bodies = tuple((body, Origin("a", "1-0", "n")) for body in (Gap("gone", "0-1-5", pending=True), Replayed(3)))
    plan = make_plan([], Released(bodies, MirrorPosition(), 2), None, live(entries_of([Heartbeat(9, 5)])), now_ms)
    assert plan is not None
    assert plan.bodies[1][0] == Replayed(3, settled=is_settled)


def test_a_gap_waits_for_its_own_position_and_for_that_of_the_one_it_takes_the_place_of() -> None:
    gaps = Gap("gone", "0-1-9", pending=True), Gap("gone", "0-1-5,1-1-7")
    released = Released(tuple((gap, Origin("a", "1-0", "n")) for gap in gaps), MirrorPosition(), 2)
    plan = make_plan([], released, None, live(entries_of([Heartbeat(9, 5)])), FAR_MS)
    assert plan is not None
    assert plan.bodies[1][0] == Gap("gone", "0-1-9,1-1-7", pending=True)


def test_a_gap_without_position_between_two_is_no_end_of_what_the_first_one_waits_for() -> None:
    gaps = Gap("gone", "0-1-9", pending=True), Gap("no checkpoint"), Gap("torn", "0-1-5")
    released = Released(tuple((gap, Origin("a", "1-0", "n")) for gap in gaps), MirrorPosition(), 3)
    plan = make_plan([], released, None, live(entries_of([Heartbeat(9, 5)])), FAR_MS)
    assert plan is not None
    assert [body for body, _ in plan.bodies] == [*gaps[:2], Gap("torn", "0-1-9", pending=True)]


@pytest.mark.parametrize("bare", [Gap(SHORT, pending=True), Gap(UNREADABLE + "bad", pending=True)])
def test_a_gap_of_no_position_yet_waits_for_what_the_one_waited_for_whose_place_it_takes(bare: Gap) -> None:
    """The next heartbeat may be of long before that: of all that a mirror which begins anew is still to copy."""
    state = live(entries_of([Heartbeat(9, 5), Gap(OWN + "first", "0-1-9", pending=True), bare]))
    judge = judge_by_replicas(state, FAR_MS, lambda _: True, window_ms=1, oldest=0)
    [renewed] = Look(state).due(state, judge, FAR_MS)
    assert renewed.body == replace(bare, reason=said_again(bare.reason)), "not settled, and still of no position"
    state.place_gap(Place(stamps.parse("2-0"), "0-1-4,1-1-2"))
    assert told(state.gap) == (replace(bare, gtid="0-1-9,1-1-2"), 0)


def test_by_time_a_gap_of_no_position_ends_with_the_one_whose_place_it_has_taken() -> None:
    state = live(entries_of([Gap("gone", "0-1-9", pending=True), Gap("torn", pending=True)]))
    [settled] = Look(state).due(state, judge_by_time(FAR_MS, [1]), FAR_MS)
    assert settled.body == Gap(said_again("torn"), "0-1-9")
    state.take(replace(entries_of([settled.body])[0], stamp=stamps.make(3_000)), FAR_MS)
    assert state.gap is None


def test_a_gap_of_no_position_between_two_of_one_append_keeps_what_the_first_one_waits_for() -> None:
    gaps = Gap("gone", "0-1-9", pending=True), Gap("torn", pending=True), Gap("gone", "0-1-5")
    released = Released(tuple((gap, Origin("a", "1-0", "n")) for gap in gaps), MirrorPosition(), 3)
    plan = make_plan([], released, None, live(entries_of([Heartbeat(9, 5)])), FAR_MS)
    assert plan is not None
    assert plan.bodies[2][0] == Gap("gone", "0-1-9", pending=True)


def test_a_gap_waits_no_longer_for_what_a_replay_in_front_of_it_has_ended() -> None:
    opened, ended, gap = Gap("gone", "0-1-9", pending=True), Replayed(3), Gap("gone", "0-1-5")
    bodies = tuple((body, Origin("a", "1-0", "n")) for body in (opened, ended, gap))
    plan = make_plan([], Released(bodies, MirrorPosition(), 3), None, live(entries_of([Heartbeat(9, 5)])), FAR_MS)
    assert plan is not None
    assert [body for body, _ in plan.bodies] == [opened, replace(ended, settled=True), gap]


def test_no_replay_reaches_below_the_gap_that_follows_on_a_pending_one_which_the_stream_has_lost() -> None:
    """What was loaded in between may lack what that one hid, and who begins with this one does not know since when."""
    before = live(entries_of([Heartbeat(9, 5), Gap("gone", "0-1-1", pending=True)]))
    state = window(entries_of([Heartbeat(9, 5)]), before).carrying(COPIED)
    (first, anew) = entries_of([Heartbeat(9, 5), Gap("anew", "0-1-2", pending=True)])
    bodies = tuple((body, Origin("a", "1-0", "n")) for body in (anew.body, Replayed(3)))
    plan = make_plan([], Released(bodies, MirrorPosition(), 2), None, state, FAR_MS)  # type: ignore[arg-type]
    assert plan is not None
    assert ([type(body) for body, _ in plan.bodies], plan.not_claimed) == ([Gap], 1)
    state.take(anew, FAR_MS)
    assert state.claimed(Replayed(3), 0, THIRD.stamp, 0).since_ms == stamps.ms_of(anew.stamp) + 1
    untouched = live([first])
    assert before.claimed(Replayed(3), 0, THIRD.stamp, 0) == untouched.claimed(Replayed(3), 0, THIRD.stamp, 0)


def test_no_heartbeat_says_less_of_the_replicas_than_the_stream_does() -> None:
    state = live(entries_of([Heartbeat(9, 5)]))
    beat = next_heartbeat(Heartbeat(10), Heartbeat(4, gtid="0-1-1"), state, 9)
    assert beat == Heartbeat(10, 5, "0-1-1")


@pytest.mark.parametrize("end", [Gap(said_again("gone"), "0-1-1"), Replayed(3, settled=True)])
def test_a_gap_that_has_ended_is_pending_again_where_the_stream_has_lost_it_and_its_end(end: Body) -> None:
    """Whatever was loaded while it was pending would be vouched for: nothing else tells."""
    entries = entries_of([Heartbeat(9, 5), Gap("gone", "0-1-1", pending=True), end])
    before = live(entries)
    found = [window(entries[:left], before).carrying(COPIED) for left in (1, 2, 3)]
    assert [state.gap is not None and state.gap.body.pending for state in found] == [True, True, False]
    assert [state.is_gap_lost for state in found] == [True, False, False]
    before.take(Entry(stamps.make(before.window_ms + 4_000), "n", "3", Heartbeat(9, 5), None), FAR_MS)
    assert window(entries[:1], before).carrying(COPIED).gap is None


def test_a_time_that_a_source_repeats_further_on_is_not_said_of_the_place_before() -> None:
    state = live(entries_of([Heartbeat(9, 9)]))
    assert next_heartbeat(Heartbeat(10, gtid="0-1-2"), Heartbeat(10, gtid="0-1-1"), state, 9) == Heartbeat(
        10, 9, "0-1-1"
    )
    assert next_heartbeat(Heartbeat(10, gtid="0-1-2"), Heartbeat(10, gtid="0-1-2"), state, 9) == Heartbeat(
        10, 10, "0-1-2"
    )


def test_what_every_replica_had_is_known_from_the_last_heartbeat_and_the_entries() -> None:
    entries = entries_of(
        [
            Heartbeat(8, 4, "0-1-0"),
            Change(("t:2",), "0-1-2"),
            Heartbeat(9, 5, "0-1-1"),
            Change(("t:3",), "0-1-3"),
            Change(("t:4",), "0-1-4", pending=True),
        ]
    )
    assert window(entries).acknowledged == [("0-1-2", 2_000), ("0-1-1", 3_000), ("0-1-3", 4_000)]


@pytest.mark.parametrize("word", [Change(("t:1",), "0-1-1", pending=True), Change(("t:1",), "0-1-1", settled=True)])
def test_a_word_that_the_stream_has_lost_is_pending_and_due(word: Change) -> None:
    first, *_ = entries = entries_of([Change(("t:1",), "0-1-1"), word])
    state = window([first], live(entries)).carrying(COPIED)
    assert [(mark.written_ms, state.held_by(mark)) for mark in state.pendings()] == [(0, ("t:1",))]


@pytest.mark.parametrize("word", [Change(("t:1",), "0-1-1", pending=True), Gap("gone", "0-1-1", pending=True)])
def test_a_word_on_what_will_be_copied_again_is_not_carried(word: Body) -> None:
    entries = entries_of([word])
    assert not window([], live(entries)).carrying(BEFORE).pending_count


@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize(
    "later", [(), (Gap("the origin's own", "0-1-2", pending=True),)], ids=["last", "before_another"]
)
def test_a_gap_of_the_replicas_is_said_again_in_front_of_what_will_be_copied_again(
    later: list[Body],
    is_settled: bool,  # noqa: FBT001
) -> None:
    entries = entries_of([Gap(REWOUND, "0-1-1", pending=not is_settled), *later])
    gap = window([], live(entries)).carrying(BEFORE).gap
    assert gap is not None
    assert (gap.body, gap.origin, gap.written_ms) == (Gap(REWOUND, "0-1-1", pending=True), BEFORE.origin("a"), 0)


def test_a_word_that_is_still_there_is_not_carried() -> None:
    entries = entries_of([Change(("t:1",), "0-1-1", pending=True), Change(("t:1",), "0-1-1", settled=True)])
    assert not window(entries, live(entries[:1])).carrying(COPIED).pending_count


def test_a_word_that_a_further_one_has_ended_is_not_carried_whatever_was_said_late() -> None:
    pending, further, late = (
        Change(("t:1",), "0-1-2", pending=True),
        Change(("t:1",), "0-1-3"),
        Change(("t:1",), "0-1-1"),
    )
    entries = entries_of([pending, further, late], origins="231")
    assert not window(entries, live(entries[:1])).carrying(THIRD).pending_count


def test_after_a_loss_all_that_is_pending_is_due() -> None:
    """What is lost may have been trimmed already: who began to read there loaded the key as if it were not pending."""
    entries = entries_of([Heartbeat(9, 5), Change(("t:1",), "0-1-2", pending=True), Heartbeat(9, 5)])
    state = window(entries[:2], live(entries)).carrying(COPIED)
    assert [(name, mark.written_ms) for _, name, mark in state.words()] == [("t:1", 0)]


def test_what_was_settled_longer_than_a_window_ago_is_forgotten() -> None:
    state = MirrorState("a", window_ms=1_500)
    for entry in entries_of([Change((f"t:{number}",), "0-1-1", settled=True) for number in range(4)]):
        state.take(entry, FAR_MS)
    assert [name for _, name in state.settled] == ["t:2", "t:3"]


def short(*found: Body, previous: str = "trimmed") -> bool:
    """Whether a mirror that starts takes the stream to be short. Its oldest entry is of second 1."""
    oldest, *later = entries_of(list(found))
    fold = window([replace(oldest, previous=previous), *later])
    return fold.carrying(COPIED).is_short


def test_a_stream_is_short_until_all_replicas_have_what_was_written_when_it_was_trimmed() -> None:
    assert short(Heartbeat(1_000, 0))
    assert short(Heartbeat(1_000, 0), Heartbeat(3_000, 1_500))
    assert not short(Heartbeat(1_000, 0), Heartbeat(3_000, 2_500))


def test_a_stream_that_begins_with_a_mirrors_gap_is_not_short_and_one_behind_someone_elses_entry_is() -> None:
    assert not short(Gap(OWN + "first"), Heartbeat(1_000, 0), previous="")
    assert short(Heartbeat(1_000, 0), previous="")


def test_a_stream_is_not_short_where_a_gap_stands_for_what_was_deleted() -> None:
    assert not short(Heartbeat(1_000, 0), Gap("gone", "0-1-5", pending=True))
    assert short(Heartbeat(1_000, 0), Gap(REWOUND, "0-1-5", pending=True))
    # Said again, it stands for what was deleted before the first one.
    assert short(Heartbeat(1_000, 0), Gap(said_again("gone"), "0-1-5", pending=True))


def test_a_mirror_that_was_there_knows_what_was_deleted() -> None:
    before = live(entries_of([Heartbeat(1_000, 0)]))
    trimmed = [replace(entry, previous="trimmed") for entry in entries_of([Heartbeat(1_000, 0)])]
    assert not window(trimmed, before).carrying(COPIED).is_short


def test_a_mirror_that_stood_still_does_not_know_what_came_and_was_deleted_meanwhile() -> None:
    first, _, last = entries_of([Heartbeat(1_000, 0)] * 3)
    before = live([first])
    assert window([last], before).carrying(COPIED).is_short
    assert not window([replace(last, previous=first.nonce)], before).carrying(COPIED).is_short
    # Behind someone else's entry, or a lost state, nothing tells whether it is the next one; a mirror's gap begins.
    assert window([replace(last, previous="")], before).carrying(COPIED).is_short
    gap = replace(last, previous="", body=Gap(OWN + "first"), origin=Origin("a", "0-0", ""))
    begun = window([gap], before).carrying(COPIED)
    assert not begun.is_short
    assert not begun.unclaimed_ms


def test_no_replay_reaches_below_what_says_that_a_replica_had_gone_back() -> None:
    entries = entries_of([Heartbeat(9, 5), Gap(REWOUND, "0-1-1")])
    assert live(entries).unclaimed_ms == 2_001


@pytest.mark.parametrize(
    ("words", "places", "is_known"),
    [
        ([Gap(REWOUND, "0-1-1", pending=True)], "1", False),
        ([Gap("gone", "0-1-1", pending=True)], "1", True),
        ([Change(("t:1",), "0-1-1"), Change(("t:1",), "0-1-1", pending=True)], "11", False),
        ([Change(("t:1",), "0-1-1", pending=True)] * 2, "11", True),
        ([Change(("t:1",), "0-1-1"), Change(("t:1",), "0-1-2", pending=True)], "12", True),
    ],
    ids=["of all", "of the origin", "of a key", "renewed", "late"],
)
def test_of_replicas_that_had_gone_back_no_earlier_heartbeat_tells_how_far_they_are(
    words: list[Body],
    places: str,
    is_known: bool,  # noqa: FBT001
) -> None:
    entries = entries_of([Heartbeat(9, 5), *words], origins="0" + places)
    for state in (live(entries), window(entries).carrying(COPIED)):
        assert bool(state.applied_ms) == bool(state.lags.applied_ms) == is_known


@pytest.mark.parametrize("is_told", [True, False])
def test_a_stream_that_has_lost_what_said_so_does_not_put_a_replica_back_where_it_was(*, is_told: bool) -> None:
    told: list[Body] = [Heartbeat(9, 5)]
    before = live(entries_of(told))
    before.rewind(FAR_MS)
    state = window(entries_of(told + told * is_told), before).carrying(COPIED)
    assert bool(state.applied_ms) == bool(state.lags.applied_ms) == is_told
    assert state.lags.until_ms == FAR_MS


def test_no_replay_reaches_below_a_gap_said_again_nor_another_origin_s() -> None:
    """The first may lie in the middle of the replay; on the second the replay is silent."""
    again, foreign = (
        entries_of([Heartbeat(9, 5), Gap(said_again("gone"), pending=True)]),
        entries_of([Gap("gone")] * 2, "c"),
    )
    for entries in (again, foreign):
        assert live(entries).unclaimed_ms == 2_001


@pytest.mark.parametrize(("origins", "since_ms"), [("9012", 2_001), ("3015", 3)])
def test_a_replay_that_is_copied_again_does_not_reach_below_a_gap_that_came_after_it(
    origins: str, since_ms: int
) -> None:
    """A tear stands for entries of which that replay could not know; the mirror began anew behind it."""
    tear, anew = Gap(OWN + "torn", "0-1-2"), Gap(OWN + "none shared", "0-1-9")
    state = live(entries_of([Heartbeat(9, 5), tear, anew, Gap("no checkpoint", "0-1-1")], origins="1" + origins[:3]))
    replay = Replayed(3), Origin("a", f"{origins[3]}-0", "n")
    plan = make_plan([], Released((replay,), MirrorPosition(), 1), None, state, FAR_MS)
    assert plan is not None
    [(body, _)] = plan.bodies
    assert isinstance(body, Replayed)
    assert body.since_ms == since_ms


def test_no_replay_reaches_below_what_a_mirror_knows() -> None:
    """It has read the stream from its beginning on, or no stream; of a whole window it knows all."""
    begun = entries_of([Heartbeat(9, 5), Heartbeat(9, 5)])
    assert window(begun).carrying(COPIED).unclaimed_ms == 1_001
    assert window([]).carrying(COPIED).unclaimed_ms > FAR_MS
    assert window(begun, is_whole=True).carrying(COPIED).unclaimed_ms == 0


def test_no_replay_reaches_below_a_lost_word_that_is_not_said_again() -> None:
    before = live(entries_of([Heartbeat(9, 5), Change(("t:1",), "0-1-1", pending=True)]))
    assert window([], before).carrying(MirrorPosition()).unclaimed_ms == 2_001
    assert window([], before).carrying(COPIED).unclaimed_ms == 0


def test_a_lost_word_on_a_replica_that_had_gone_back_is_pending_and_due() -> None:
    before = live(entries_of([Heartbeat(9, 5), Gap(REWOUND, "0-1-1")]))
    state = window(entries_of([Heartbeat(9, 5)]), before).carrying(COPIED)
    assert told(state.gap) == (Gap(REWOUND, "0-1-1", pending=True), 0)


def test_what_hides_nothing_of_the_origin_is_no_less_of_replicas_when_said_again() -> None:
    """Else it would not be said once more where the stream loses it, settled as it is."""
    found: list[Body] = [Heartbeat(9, 5), Gap(REWOUND, "0-1-1", pending=True), Gap(UNREADABLE + "bad")]
    before = live(entries_of(found))
    [again] = Look(before).due(before, lambda _: True, FAR_MS)
    state = live(entries_of([*found, again.body]))
    assert told(state.of_replicas) == (Gap(said_again(REWOUND), "0-1-1"), 4_000)
    assert state.is_poisoned


@pytest.mark.parametrize("word", [{"pending": True}, {"settled": True}])
def test_a_generation_said_again_silences_no_heartbeat(word: dict[str, bool]) -> None:
    """It spreads long after its commit, over what was loaded while it was pending: nobody vouches for that."""
    first = Generation(("t",), 1_000, 500, "ALTER", "0-1-1", committed_ms=1_000, pending=True)
    again = Generation(("t",), 900_000, 500, "ALTER", "0-1-1", committed_ms=1_000, **word)
    assert live(entries_of([first, again])).silent_until_ms == 0
    # Of others the first word may be beyond the window: who does not know of it vouches.
    assert live(entries_of([again])).silent_until_ms
    assert live(entries_of([replace(again, settled=False)])).silent_until_ms


def test_the_longest_spread_is_not_late_by_the_way_it_came() -> None:
    """A bump of a namespace at the origin, as the runbook has it: readers go on being vouched for."""
    bump = Generation(("t",), 100_000, SPREAD_MAX_MS, "new layout", committed_ms=99_000)
    assert live(entries_of([bump])).silent_until_ms == 0
    late = replace(bump, committed_ms=bump.start_ms - MAX_LAG_MS - 1)
    assert live(entries_of([late])).silent_until_ms == bump.start_ms + SPREAD_MAX_MS + CLOCK_ERROR_MS
