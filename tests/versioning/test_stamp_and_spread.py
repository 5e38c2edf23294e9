import pytest
from hypothesis import given
from hypothesis import strategies as st

from versioning import stamp as stamps
from versioning.errors import StampFormatError
from versioning.spread import moment_ms, scaled

positions = st.tuples(st.integers(0, stamps.MS_MAX), st.integers(0, stamps.SEQUENCE_MAX))


@given(positions, positions)
def test_stamps_order_like_stream_ids_and_survive_text(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert (stamps.make(*a) < stamps.make(*b)) == (a < b)
    assert stamps.parse(stamps.text(stamps.make(*a))) == stamps.make(*a)
    assert stamps.ms_of(stamps.make(*a)) == a[0]


NO_STAMPS = ["", "1", "1-", "-1", "01-0", "1-00", "+1-0", "1-1048576", "9" * 15 + "-0", "1-1-1", "\u0661-0"]


@pytest.mark.parametrize("text", NO_STAMPS)
def test_what_is_no_canonical_stamp_is_refused(text: str) -> None:
    with pytest.raises(StampFormatError):
        stamps.parse(text)


@given(st.text(min_size=1), st.integers(0, 10**13), st.integers(0, 10**6))
def test_every_keys_moment_lies_within_the_spread(key: str, start_ms: int, spread_ms: int) -> None:
    assert start_ms <= moment_ms(key, start_ms, spread_ms) <= start_ms + spread_ms


def test_moments_of_many_keys_are_spread_evenly() -> None:
    moments = [moment_ms(f"tracker_web:{i}", 0, 10) for i in range(10_000)]
    assert all(900 < moments.count(tenth) < 1_100 for tenth in range(10))


@given(st.text(min_size=1))
def test_a_scaled_limit_stays_within_its_range(key: str) -> None:
    assert 168_000 <= scaled(key, 240_000, 0.7) <= 240_000
