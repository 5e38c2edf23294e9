"""What the load is made of: popularity, arrival times, shapes."""

import itertools
import random

import pytest

from loadtests.arrivals import Arrivals
from loadtests.shapes import SHAPES, users_at
from loadtests.zipf import Zipf


def test_ranks_are_picked_by_their_share():
    zipf, chance = Zipf(1_000), random.Random(1)
    picked = [zipf.pick(chance) for _ in range(20_000)]
    assert min(picked) >= 1
    assert max(picked) <= 1_000
    for rank in (1, 2, 10):
        assert picked.count(rank) / len(picked) == pytest.approx(zipf.share(rank), rel=0.25)
    assert zipf.share(1) / zipf.share(10) == pytest.approx(10**0.99)
    assert sum(zipf.share(rank) for rank in range(1, 1_001)) == pytest.approx(1)


def test_a_ttl_cache_in_its_steady_state_agrees_with_one_that_was_simulated():
    """The formula against a deliberately dumb twin: reads one by one, with a clock."""
    zipf, chance = Zipf(200), random.Random(2)
    per_s, ttl_s, now_s, hits, reads = 50.0, 20.0, 0.0, 0, 0
    expires_s: dict[int, float] = {}
    while now_s < 40 * ttl_s:
        now_s += chance.expovariate(per_s)
        rank = zipf.pick(chance)
        if now_s > 5 * ttl_s:
            reads += 1
            hits += expires_s.get(rank, 0.0) > now_s
        if expires_s.get(rank, 0.0) <= now_s:
            expires_s[rank] = now_s + ttl_s
    assert hits / reads == pytest.approx(zipf.hit_rate(per_s * ttl_s), abs=0.01)
    held = sum(at_s > now_s for at_s in expires_s.values())
    assert len(list(zipf.residents(per_s * ttl_s, chance))) == pytest.approx(held, rel=0.15)


def test_residents_have_any_age():
    left = [share for _, share in Zipf(1_000).residents(1e9, random.Random(3))]
    assert len(left) == pytest.approx(1_000, rel=0.05)
    assert 0 < min(left) < 0.05
    assert 0.95 < max(left) <= 1


def test_arrivals_come_at_their_rate_whatever_the_caller_does():
    arrivals = Arrivals(100.0, random.Random(4), start_s=1_000.0)
    due_s = [arrivals.next_s() for _ in range(10_000)]
    assert due_s == sorted(due_s)
    assert due_s[-1] - 1_000.0 == pytest.approx(100.0, rel=0.05)
    gaps = [after - before for before, after in itertools.pairwise(due_s)]
    # Exponential gaps: as many below the median as above it, and the deviation is the mean.
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.01 * 0.693, rel=0.1)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        Arrivals(0.0, random.Random(1), 0.0)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("plateau", [100, 100, 100]), ("ramp", [1, 50, 99]), ("spike", [25, 100, 25]), ("soak", [50, 50, 50])],
)
def test_shapes(shape, expected):
    assert [users_at(shape, passed_s, 100.0, 100) for passed_s in (0.0, 50.0, 99.0)] == expected
    assert users_at(shape, 100.0, 100.0, 100) is None


def test_every_shape_keeps_somebody():
    assert all(users_at(shape, 0.0, 60.0, 1) == 1 for shape in SHAPES)
