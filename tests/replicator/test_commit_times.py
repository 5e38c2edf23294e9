from replicator.source.commit_times import AHEAD_MAX_MS, CommitTimes

NOW_MS = 1_000_000


def test_no_commit_is_before_the_latest_time_in_front_of_it() -> None:
    """A statement that ran for long has the time of its start, SET timestamp any."""
    times = CommitTimes(lambda: NOW_MS)
    assert [times.take(ms) for ms in (500_000, 100_000, 500_001)] == [500_000, 500_000, 500_001]


def test_a_time_that_no_clock_can_have_says_nothing() -> None:
    times = CommitTimes(lambda: NOW_MS)
    assert times.take(NOW_MS + AHEAD_MAX_MS + 1) == 0
    assert times.take(NOW_MS - 5) == NOW_MS - 5
    assert times.take(NOW_MS + 86_400_000) == NOW_MS - 5
    assert times.take(NOW_MS + 1_000) == NOW_MS + 1_000, "clocks differ"
