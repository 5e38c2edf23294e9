"""What a reader may have of a refill, its own or one that another had begun before it came. Time is the test's."""

import pytest

from tests.versioning.world import at, beat_at, history, stamp_at
from versioning.client.core import CacheCore
from versioning.entries import Change
from versioning.options import CacheOptions
from versioning.read import Read, Tier
from versioning.verdict import Verdict

KEY = "t:1"


@pytest.mark.parametrize(
    ("now_s", "followed_s", "changed_s", "is_accepted"),
    [
        pytest.param(3, 3, 1, True, id="it is current"),
        pytest.param(3, 3, 3, False, id="a change came between"),
        pytest.param(100, 2, 1, True, id="unknown and young"),
        pytest.param(600, 2, 1, False, id="unknown since the process was stopped for minutes"),
        pytest.param(600, 600, 1, True, id="stopped for minutes and still current"),
    ],
)
def test_a_reader_has_what_it_could_be_served_otherwise(
    *, now_s: float, followed_s: float, changed_s: float, is_accepted: bool
) -> None:
    core = CacheCore(CacheOptions(), None, lambda: at(now_s))
    core.index.horizon = 0
    for entry in history((changed_s, Change((KEY,))), (followed_s, beat_at(followed_s))):
        core.index.apply(entry, at(followed_s))
    began = at(2)
    loaded = Read("value", Tier.LOADED, stamp_at(2), Verdict.UNKNOWN, 0)
    assert core.accepts(KEY, loaded, began.monotonic_ms, at(now_s)) is is_accepted


@pytest.mark.parametrize(
    ("tier", "now_s", "followed_s", "changed_s", "is_in_time"),
    [
        pytest.param(Tier.LOADED, 241, 241, 100, True, id="superseded on the way, by a load that takes minutes"),
        pytest.param(Tier.LOADED, 243, 243, 100, False, id="superseded, and too old to be served unproven"),
        pytest.param(Tier.LOADED, 243, 243, 1, True, id="as old and current"),
        pytest.param(Tier.LOADED, 243, 100, 1, True, id="as old and proven lately"),
        pytest.param(Tier.LOADED, 600, 100, 1, False, id="unknown for minutes"),
        pytest.param(Tier.REDIS, 32, 32, 20, True, id="superseded behind the look"),
        pytest.param(Tier.REDIS, 33, 33, 20, False, id="superseded, and found long ago: nobody knows its age then"),
    ],
)
def test_a_reader_has_what_its_own_call_came_to_unless_that_is_too_old_by_now(
    *, tier: Tier, now_s: float, followed_s: float, changed_s: float, is_in_time: bool
) -> None:
    core = CacheCore(CacheOptions(), None, lambda: at(now_s))
    core.index.horizon = 0
    for entry in history((changed_s, Change((KEY,))), (followed_s, beat_at(followed_s))):
        core.index.apply(entry, at(followed_s))
    found = Read("value", tier, stamp_at(2), Verdict.UNKNOWN, 0)
    assert core.is_in_time(KEY, found, at(2).monotonic_ms) is is_in_time
