"""A replay is claimed as far back as heartbeats prove that the replicas had what it does not stamp again."""

import pytest

from replicator.mirror.lags import Lags
from versioning.limits import REPLAY_SLACK_MS, WINDOW_MS

BEGUN_MS = 10 * WINDOW_MS


def lags_of(*beats: tuple[int, int]) -> Lags:
    """Return what heartbeats tell, each as when it was written and how far the replicas were; ms after the start."""
    lags = Lags(WINDOW_MS, applied_ms=BEGUN_MS)
    for written_ms, applied_ms in beats:
        lags.take(BEGUN_MS + applied_ms, BEGUN_MS + written_ms)
    return lags


def claimed(lags: Lags, since_ms: int, filled_ms: int = 400_000) -> int:
    return lags.claimable_ms(BEGUN_MS + since_ms, BEGUN_MS + filled_ms) - BEGUN_MS


STOPPED = lags_of((1_000, 900), (200_000, 900), (300_000, 299_000))


@pytest.mark.parametrize(
    ("since_ms", "claimed_ms"),
    [
        (-5_000, -5_000),
        (900, 900),
        (901, 300_001 - REPLAY_SLACK_MS),
        (200_000, 300_001 - REPLAY_SLACK_MS),
        (250_000, 250_000),
        (299_001, 400_001 - REPLAY_SLACK_MS),
    ],
)
def test_a_value_is_vouched_for_from_the_first_heartbeat_on_that_says_the_replicas_had_what_is_older(
    since_ms: int, claimed_ms: int
) -> None:
    assert claimed(STOPPED, since_ms) == claimed_ms


def test_replicas_that_are_never_far_behind_cost_no_claim() -> None:
    lags = lags_of(*((second * 1_000, second * 1_000 - 200) for second in range(1, 400)))
    assert [claimed(lags, since_ms) for since_ms in (-(10**6), 5, 200_000)] == [-(10**6), 5, 200_000]


def test_a_lag_of_longer_than_a_window_ago_is_forgotten() -> None:
    lags = lags_of((300_000, 299_000))
    lags.take(BEGUN_MS + 300_000 + WINDOW_MS, BEGUN_MS + 400_000 + WINDOW_MS)
    assert lags.since_ms == BEGUN_MS + 299_000


def test_what_the_stream_has_lost_of_it_is_still_known() -> None:
    lags = Lags(WINDOW_MS, STOPPED.applied_ms)
    lags.merge(STOPPED)
    assert lags == STOPPED


def test_once_a_replica_has_gone_back_nothing_is_vouched_for_until_a_heartbeat_tells_what_it_has() -> None:
    lags = lags_of((1_000, 900))
    lags.rewind(BEGUN_MS + 2_000)
    assert claimed(lags, -5_000) == 400_001 - REPLAY_SLACK_MS
    lags.take(BEGUN_MS + 89_000, BEGUN_MS + 90_000)
    assert [claimed(lags, since_ms) for since_ms in (-5_000, 50_000)] == [90_001 - REPLAY_SLACK_MS, 50_000]
