"""The verdicts (P6, P7, P9): proofs before doubts, and every doubt said."""

import pytest

from tests.versioning.world import START_MS, at, beat_at, history, stamp_at
from versioning.entries import Change, Gap, Generation, Poisoned, ReadBody
from versioning.generations import KEPT_MAX, Aging, Generations
from versioning.index import SWEEP_KEYS, Index
from versioning.spread import moment_ms
from versioning.verdict import Verdict

FRESH, STALE, UNKNOWN = Verdict.FRESH, Verdict.STALE, Verdict.UNKNOWN


def index_of(*bodies: tuple[float, ReadBody], horizon: float = 0, **options: int) -> Index:
    index = Index(**options)
    index.horizon = stamp_at(horizon)
    for entry in history(*bodies):
        index.apply(entry, at((entry.stamp >> 20) / 1000 - START_MS / 1000))
    return index


def test_a_value_filled_before_its_keys_last_stamp_is_stale_and_one_filled_with_it_is_fresh() -> None:
    index = index_of((1, Change(("t:1",))), (2, beat_at(2)))
    assert index.verdict("t:1", stamp_at(1) - 1, at(2)) is STALE
    assert index.verdict("t:1", stamp_at(1), at(2)) is FRESH
    assert index.verdict("t:2", stamp_at(0.5), at(2)) is FRESH


def test_below_the_horizon_nothing_is_fresh_but_proofs_are_still_said() -> None:
    index = index_of((5, Change(("t:1",))), (6, beat_at(6)), horizon=3)
    assert index.verdict("t:2", stamp_at(3), at(6)) is FRESH
    assert index.verdict("t:2", stamp_at(3) - 1, at(6)) is UNKNOWN
    assert index.verdict("t:1", stamp_at(1), at(6)) is STALE


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (at(16), FRESH),
        (at(16.1), UNKNOWN),
        (at(0, monotonic=16.1), UNKNOWN),
        (at(16.1, monotonic=2), UNKNOWN),
    ],
)
def test_lag_is_judged_at_the_read_by_the_worse_of_two_clocks(now, verdict) -> None:
    index = index_of((1, beat_at(1)), max_lag_ms=15_000)
    assert index.verdict("t:1", stamp_at(1), now) is verdict


def test_while_lagging_a_proof_is_still_said() -> None:
    index = index_of((1, Change(("t:1",))), (1.5, beat_at(1.5)))
    assert index.verdict("t:1", stamp_at(0), at(1_000)) is STALE


def test_what_a_lag_alone_makes_unknown_was_proven_current_at_the_last_heartbeat() -> None:
    index = index_of((5, Change(("t:1",))), (6, beat_at(6)), horizon=3)
    assert index.judge("t:1", stamp_at(5), at(6.5)) == (FRESH, 500)
    assert index.judge("t:1", stamp_at(5), at(100)) == (UNKNOWN, 94_000)
    assert index.judge("t:1", stamp_at(5), at(5, monotonic=100)) == (UNKNOWN, 94_000)
    assert index.judge("t:1", stamp_at(4), at(100)) == (STALE, None)
    assert index.judge("t:2", stamp_at(3) - 1, at(100)) == (UNKNOWN, None)
    assert index_of((5, Change(("t:1",)))).judge("t:1", stamp_at(5), at(5)) == (UNKNOWN, None)


def test_an_index_that_never_saw_a_heartbeat_vouches_for_nothing() -> None:
    assert index_of((1, Change(("t:1",)))).verdict("t:1", stamp_at(1), at(1)) is UNKNOWN
    assert Index().verdict("t:1", stamp_at(1), at(1)) is UNKNOWN


def test_a_fill_stamp_from_far_beyond_the_watermark_is_not_believed() -> None:
    index = index_of((1, beat_at(1)))
    assert index.verdict("t:1", stamp_at(50), at(2)) is FRESH
    assert index.verdict("t:1", stamp_at(100), at(2)) is UNKNOWN


@pytest.mark.parametrize("body", [Gap("lost"), Poisoned("garbage")])
def test_a_gap_or_a_poisoned_entry_hides_all_before_it(body: ReadBody) -> None:
    index = index_of((1, Change(("t:1",))), (2, body), (3, beat_at(3)))
    assert index.verdict("t:1", stamp_at(1), at(3)) is UNKNOWN
    assert index.verdict("t:1", stamp_at(2), at(3)) is FRESH


def test_a_generation_ages_values_out_each_at_its_own_moment() -> None:
    start_ms = START_MS + 2_000
    index = index_of((2, Generation(("t",), start_ms, 10_000, "bump")), (3, beat_at(3)))
    turn_s = (moment_ms("t:1", start_ms, 10_000) - START_MS) / 1000
    old = stamp_at(1)
    assert index.verdict("t:1", old, at(turn_s - 0.001)) is FRESH
    assert index.verdict("t:1", old, at(turn_s)) is STALE
    assert index.verdict("t:1", stamp_at(2), at(turn_s)) is FRESH
    assert index.verdict("u:1", old, at(turn_s)) is FRESH


def test_a_second_generation_does_not_hide_what_the_first_aged_out() -> None:
    first = Generation(("t",), START_MS, 0, "first")
    second = Generation(("t",), START_MS + 3_000, 200_000, "second")
    index = index_of((2, first), (3, second), (4, beat_at(4)))
    assert index.verdict("t:1", stamp_at(1), at(4)) is STALE
    assert index.verdict("t:1", stamp_at(2), at(4)) is FRESH


def test_a_clock_that_is_behind_holds_up_no_generation() -> None:
    """An hour, as of a machine whose hardware clock has local time: the last heartbeat knows better."""
    truncated = Generation(("t",), START_MS, 30_000, "TRUNCATE")
    index, behind = index_of((1, truncated), (31, beat_at(31))), at(-3_600 + 31, monotonic=31)
    assert index.verdict("t:1", stamp_at(0), behind) is STALE
    assert not index.fresh({"t:1": (stamp_at(0), START_MS, b"")}, behind)
    index.forget()
    assert index.judge("t:1", stamp_at(0), behind) == (UNKNOWN, None)


def test_a_clock_that_was_ahead_for_a_while_hides_nothing_that_a_generation_aged_out() -> None:
    """Two were taken for completed, and the first for covered by the second, whose moment is still to come."""
    index = index_of((1, Generation(("t",), START_MS, 0, "TRUNCATE")), window_ms=60_000)
    second, *beats = history(
        (2, Generation(("t",), START_MS + 2_000, 240_000, "bump")), (10, beat_at(10)), (11, beat_at(11)), previous="n0"
    )
    index.apply(second, at(2))
    index.apply(beats[0], at(3_600 + 10, monotonic=10))
    index.apply(beats[1], at(11))
    late = next(key for key in map("t:{}".format, range(100)) if moment_ms(key, 0, 240_000) > 200_000)
    assert index.verdict(late, stamp_at(0.5), at(11)) is STALE


def test_a_flood_of_generations_stays_bounded_and_errs_towards_stale() -> None:
    flood = [(1 + n / 100, Generation(("t",), START_MS + n * 10, 60_000, "bump")) for n in range(200)]
    index = index_of(*flood, (4, beat_at(4)))
    assert len(index.generations["t"]) <= 32
    assert index.verdict("t:1", stamp_at(0), at(70)) is STALE


def test_generations_that_are_merged_age_out_what_each_of_them_has_already() -> None:
    generations, long, short = Generations(), Aging(1, 0, 240_000), Aging(2, 1_000, 0)
    late = next(key for key in map("t:{}".format, range(100)) if moment_ms(key, 0, 240_000) > 200_000)
    for aging in (long, short):
        generations.add("t", aging)
    assert generations.is_stale(late, 0, now_ms=1_000)
    for stamp in range(3, 3 + KEPT_MAX):
        generations.add("t", Aging(stamp, 2_000 + stamp, 240_000))
    assert len(generations["t"]) == KEPT_MAX
    assert generations.is_stale(late, 0, now_ms=1_000), "what was superseded is FRESH again"


def test_a_flood_of_bumps_makes_nothing_sure_that_was_loaded_while_the_namespace_was_pending() -> None:
    generations = Generations()
    generations.add("t", Aging(1, 0, 240_000, is_pending=True))
    for stamp in range(2, 3 + KEPT_MAX):
        assert not any(generations.vouches(f"t:{number}", 1, now_ms=0) for number in range(100))
        generations.add("t", Aging(stamp, 0, 240_000))
    assert len(generations["t"]) == KEPT_MAX
    assert not any(generations.vouches(f"t:{number}", 1, now_ms=0) for number in range(100))


def test_a_flood_of_bumps_does_not_hide_that_a_namespace_is_pending() -> None:
    pending = Generation(("t",), START_MS, 60_000, "TRUNCATE", gtid="0-1-5", pending=True)
    flood = [(1 + n / 100, Generation(("t",), START_MS + n * 10, 60_000, "bump")) for n in range(1, 200)]
    index = index_of((1, pending), *flood, (4, beat_at(4)))
    assert index.verdict("t:1", stamp_at(4), at(4)) is UNKNOWN


def test_pending_ends_with_the_next_word_of_the_replicas_and_not_with_a_bump() -> None:
    pending = (1, Change(("t:1",), gtid="0-1-5", pending=True))
    assert index_of(pending).is_pending("t:1")
    assert index_of(pending, (2, Change(("t:1",)))).is_pending("t:1")
    assert not index_of(pending, (2, Change(("t:1",), gtid="0-1-5", settled=True))).is_pending("t:1")
    assert not index_of(pending, (2, Change(("t:1",), gtid="0-1-9"))).is_pending("t:1")


def test_a_pending_generation_makes_its_whole_namespace_pending() -> None:
    index = index_of((1, Generation(("t",), 0, 0, "TRUNCATE", gtid="0-1-5", pending=True)))
    assert index.is_pending("t:anything")
    assert not index.is_pending("u:anything")
    assert index.pending_count == 1


def test_what_is_loaded_while_a_namespace_is_pending_lives_long_and_is_not_vouched_for() -> None:
    """Were it kept for a moment only, a DDL statement on a lagging replica would load every key every two seconds."""
    pending = Generation(("t",), START_MS, 0, "ALTER", gtid="0-1-5", pending=True)
    bodies: list[tuple[float, ReadBody]] = [(2, pending), (3, Generation(("t",), START_MS, 0, "bump")), (4, beat_at(4))]
    index = index_of(*bodies)
    assert not index.is_key_pending("t:1")
    assert index.judge("t:1", stamp_at(1), at(4)) == (STALE, None)
    assert index.judge("t:1", stamp_at(3), at(4)) == (UNKNOWN, None)
    assert index.judge("u:1", stamp_at(3), at(4)) == (FRESH, 0)
    assert index.fresh({"t:1": (stamp_at(3), 0, b"")}, at(4)) == []
    settled = Generation(("t",), START_MS + 5_000, 60_000, "ALTER", gtid="0-1-5", settled=True)
    index = index_of(*bodies, (5, settled), (6, beat_at(6)))
    assert index.judge("t:1", stamp_at(3), at(5)) == (UNKNOWN, None)
    assert index.judge("t:1", stamp_at(3), at(65))[0] is STALE
    assert index.judge("t:1", stamp_at(5), at(6)) == (FRESH, 0)


def test_what_a_generation_says_of_the_replicas_outlives_it_until_another_one_speaks() -> None:
    generations = Generations()
    for stamp, word in ((1, True), (2, None)):
        generations.add("t", Aging(stamp, 0, 0, is_pending=word))
    generations.prune(0, now_ms=0)
    assert [aging.stamp for aging in generations["t"]] == [2]
    generations.add("t", Aging(4, 0, 0, is_pending=False))
    assert [generations.doubts("t:1", stamp) for stamp in (1, 2, 3, 4)] == [False, True, True, False]
    generations.prune(3, now_ms=0)
    assert not generations.doubts("t:1", 4)


def test_what_a_generation_says_of_the_replicas_is_forgotten_with_the_window() -> None:
    generations = Generations()
    for stamp, word in ((1, True), (4, None)):
        generations.add("t", Aging(stamp, 0, 0, is_pending=word))
    generations.prune(2, now_ms=0)
    assert not generations.doubts("t:1", 4)


def test_memory_is_bounded_by_the_window_and_what_is_dropped_is_below_the_horizon() -> None:
    index = index_of((0, Change(tuple(f"t:{n}" for n in range(SWEEP_KEYS * 3)))), window_ms=60_000)
    for entry in history(*((second, beat_at(second)) for second in range(30, 120, 5)), previous="n0"):
        index.apply(entry, at(0))
    assert len(index) == 0
    assert index.horizon >= stamp_at(0)


@pytest.mark.parametrize(
    "pending",
    [
        Change(("t:1",), gtid="0-1-5", pending=True),
        Generation(("t",), 0, 0, "TRUNCATE", gtid="0-1-5", pending=True),
        Gap("gone", "0-1-5", pending=True),
    ],
    ids=["key", "namespace", "gap"],
)
def test_what_is_pending_and_was_not_said_again_for_a_window_is_forgotten(pending: ReadBody) -> None:
    index = index_of((1, pending), (62, beat_at(62)), window_ms=60_000)
    assert not index.pending_count
    assert index.verdict("t:1", stamp_at(1) - 1, at(62)) is UNKNOWN


def test_an_index_may_forget_all_in_the_middle_of_a_sweep() -> None:
    index = index_of((1, Change(tuple(f"t:{n}" for n in range(SWEEP_KEYS * 2)))))
    index.forget()
    index.apply(history((2, beat_at(2)))[0], at(2))
    assert len(index) == 0


def test_what_a_generation_older_than_the_window_superseded_is_below_the_horizon() -> None:
    index = index_of((1, Generation(("t",), START_MS, 0, "TRUNCATE")), (100, beat_at(100)), window_ms=60_000)
    assert not index.generations
    assert index.verdict("t:1", stamp_at(0.5), at(100)) is UNKNOWN


def test_the_last_stamp_of_a_key_is_that_of_its_last_change_or_generation() -> None:
    index = index_of((1, Change(("t:1",))), (2, Generation(("u",), 0, 0, "x")), (3, Change(("t:1",))))
    assert index.last_stamp("t:1") == stamp_at(3)
    assert index.last_stamp("u:9") == stamp_at(2)
    assert index.last_stamp("v:1") == 0


def test_what_was_read_while_the_window_was_covered_is_swept_once_it_is() -> None:
    older, newest, *later = history((91, Change(("t:1",))), *((second, beat_at(second)) for second in (100, 105, 106)))
    index = Index(window_ms=10_000)
    index.begin_covering()
    index.apply_older(newest, at(100))
    index.apply(later[0], at(105))
    index.apply_older(older, at(105))
    index.end_covering()
    assert len(index) == 1
    index.apply(later[1], at(106))
    assert len(index) == 0


@pytest.mark.parametrize("body", [Gap("first start"), Poisoned("not JSON"), None])
def test_what_was_proven_current_before_a_gap_or_a_loss_is_known_for_a_while(body: ReadBody | None) -> None:
    index = index_of((4, Change(("t:1",))), (5, Generation(("u",), 0, 0, "bump")), (6, beat_at(6)), horizon=2)
    if body is None:
        index.forget()
    else:
        index.apply(history((7, body))[0], at(7))
    assert index.judge("t:1", stamp_at(4), at(8)) == (UNKNOWN, 2_000)
    assert index.judge("t:1", stamp_at(3), at(8))[1] is None
    assert index.judge("u:1", stamp_at(4), at(8))[1] is None
    assert index.judge("t:2", stamp_at(1), at(8)) == (UNKNOWN, None)


def test_what_was_loaded_while_a_gap_was_pending_was_not_proven_current_before_a_loss() -> None:
    index = index_of((4, Gap("lost", "0-1-5", pending=True)), (6, beat_at(6)))
    index.horizon = stamp_at(2)
    index.forget()
    assert index.judge("t:1", stamp_at(3), at(8)) == (UNKNOWN, 2_000)
    assert index.judge("t:1", stamp_at(5), at(8)) == (UNKNOWN, None)


def test_an_index_keeps_the_first_and_the_last_past_only_and_none_longer_than_the_promise() -> None:
    gaps = [(second, body) for second in range(10, 50, 10) for body in (beat_at(second), Gap("g"))]
    index = index_of((1, Change(("t:1",))), *gaps)
    assert index.judge("t:1", stamp_at(5), at(50)) == (UNKNOWN, 40_000)
    assert index.judge("t:1", stamp_at(15), at(50)) == (UNKNOWN, 40_000)
    assert index.judge("t:1", stamp_at(25), at(50)) == (UNKNOWN, 40_000)
    assert index.judge("t:1", stamp_at(35), at(50)) == (UNKNOWN, 10_000)
    index.apply(history((311, beat_at(311)))[0], at(311))
    assert index.judge("t:1", stamp_at(5), at(311)) == (UNKNOWN, None)
    assert index.judge("t:1", stamp_at(35), at(311)) == (UNKNOWN, 271_000)
    for entry in history((320, Gap("g")), (400, beat_at(400))):
        index.apply(entry, at(400))
    assert index.judge("t:1", stamp_at(35), at(400)) == (UNKNOWN, None)


def test_a_past_may_have_proven_a_value_later_than_the_history_that_is_being_copied() -> None:
    """Its heartbeats come in their order: behind a gap and a replay, none at first, and then old ones."""
    index = index_of((1, Change(("t:1",))), (9, beat_at(9)))
    index.forget()
    index.apply(history((12, Gap("g")))[0], at(12))
    index.horizon = 0
    assert index.judge("t:1", stamp_at(5), at(12)) == (UNKNOWN, 3_000)
    index.apply(history((13, beat_at(2)))[0], at(13))
    assert index.judge("t:1", stamp_at(5), at(40)) == (UNKNOWN, 31_000)


def test_an_index_is_swept_though_the_clock_was_put_back_when_its_stream_was_lost() -> None:
    index = Index(window_ms=8_000)
    for begin_s in (5_000, 0):
        index.forget()
        for entry in history(*((begin_s + second, Change((f"t:{second}",))) for second in range(1, 200))):
            index.apply(entry, at(begin_s + 200))
        assert len(index) <= 10


def test_a_flood_of_unreadable_entries_copies_the_index_once() -> None:
    """Each copy of a million keys takes 20 ms, in every web process."""
    flood = [(10 + n / 100, Poisoned("a kind of a newer version")) for n in range(100)]
    index = index_of((1, Change(("t:1",))), (9, beat_at(9)), *flood)
    [past] = index._pasts._kept
    assert past.horizon == stamp_at(0)
    assert index.judge("t:1", stamp_at(1), at(12)) == (UNKNOWN, 3_000)
