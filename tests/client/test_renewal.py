"""``serve_stale_ms``: what is served while a key is refilled, and when that ends. Time is the test's."""

from typing import Any

import pytest

from tests.versioning.world import START_MS, at, beat_at, history, stamp_at
from versioning.client.core import CacheCore
from versioning.entries import Change
from versioning.held import hold
from versioning.options import CacheOptions
from versioning.read import Tier
from versioning.verdict import Verdict

KEY = "t:1"


class World:
    """A value filled at second 1 and superseded at second 2."""

    def __init__(self, **options: Any) -> None:
        self.second = 1.0
        checked = CacheOptions(serve_stale_ms=10_000, **options)
        self.core = CacheCore(checked, None, lambda: at(self.second))
        self.core.index.horizon = 0
        held = hold("old", stamp_at(1), START_MS + 1_000, at(1), checked)
        assert held is not None
        self.core.local.put(KEY, held)
        self.change(2)

    def change(self, second: float) -> None:
        self.second = second
        for entry in history((second, Change((KEY,))), (second, beat_at(second))):
            self.core.index.apply(entry, at(second))

    def renewed_at(self, second: float) -> bool:
        self.second = second
        return self.core.renewed(KEY) is not None


def test_it_ends_with_the_refill() -> None:
    world = World()
    assert not world.renewed_at(3)
    world.core.begin_renewal([KEY])
    assert world.renewed_at(3)
    assert world.core.counters.served == {(Tier.STALE, Verdict.STALE): 1}
    world.core.end_renewal([KEY])
    assert not world.renewed_at(3)


@pytest.mark.parametrize(
    ("options", "ends_s"),
    [
        pytest.param({}, 12, id="so long after the change"),
        pytest.param({"degraded_ttl_ms": 4_000}, 5, id="too old to keep the promise"),
        pytest.param({"local_ttl_ms": 4_000}, 5, id="its own life is over"),
    ],
)
def test_a_refill_that_takes_for_ever_does_not_keep_the_old_value(options: dict[str, int], ends_s: float) -> None:
    world = World(**options)
    world.core.begin_renewal([KEY])
    assert world.renewed_at(ends_s - 0.001)
    assert not world.renewed_at(ends_s)


def test_a_later_change_does_not_prolong_it() -> None:
    world = World()
    world.core.begin_renewal([KEY])
    world.change(10)
    assert not world.renewed_at(12)
