"""Which replays of the origin repeat what a gap in the target stream stands for."""

import pytest

from replicator.mirror.hidden import Hidden
from replicator.mirror.words import mark_of
from versioning import stamp as stamps
from versioning.entries import Entry, Gap, Origin


@pytest.mark.parametrize(
    ("gaps", "replay", "claimed_ms"),
    [
        ([], 5, 0),
        ([3], 5, 0),
        ([7], 5, 1_001),
        ([5], 5, 1_001),
        ([0], 5, 0),
        ([7, 0], 5, 1_001),
        ([9, 0, 3, 7], 5, 4_001),
        ([9, 0, 3, 7], 8, 1_001),
        ([7, 0, 9, 0], 8, 3_001),
        ([7, 0, 9, 0], 9, 3_001),
        ([7, 0, 9, 0], 10, 0),
    ],
)
def test_a_replay_reaches_below_the_gaps_that_are_in_front_of_it_in_the_origin_s_stream(
    gaps: list[int], replay: int, claimed_ms: int
) -> None:
    hidden = Hidden()
    for number, place in enumerate(gaps, 1):
        entry = Entry(stamps.make(1_000 * number), "n", "", Gap("gone"), Origin("a", f"{place}-0", "n"))
        hidden.take(mark_of(entry, Gap("gone"), 0))
    assert hidden.claimable_ms(stamps.make(replay)) == claimed_ms
