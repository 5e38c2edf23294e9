"""Durations in buckets: bounds are inclusive, nothing is lost, and a negative duration is none."""

from hypothesis import given
from hypothesis import strategies as st

from versioning.histogram import BOUNDS_MS, Histogram


def test_a_bound_belongs_to_its_own_bucket() -> None:
    found = Histogram()
    for bound in BOUNDS_MS:
        found.observe(bound)
    assert found.counts == [1] * len(BOUNDS_MS) + [0]


@given(st.lists(st.integers(-10_000, 10_000_000), max_size=20))
def test_it_counts_what_a_plain_list_would(durations: list[int]) -> None:
    found = Histogram()
    for duration in durations:
        found.observe(duration)
    kept = [max(duration, 0) for duration in durations]
    assert found.sum_ms == sum(kept)
    for index, bound in enumerate(BOUNDS_MS):
        assert sum(found.counts[: index + 1]) == sum(duration <= bound for duration in kept)
    assert sum(found.counts) == len(kept)
