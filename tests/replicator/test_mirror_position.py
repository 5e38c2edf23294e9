"""A mirror's checkpoint says where it is and what it still owes."""

import pytest

from replicator.mirror.position import MirrorPosition, ReplayClaim
from versioning import stamp as stamps
from versioning.entries import Body, Entry, Gap, Heartbeat
from versioning.errors import FormatError
from versioning.limits import CLOCK_ERROR_MS

CLAIM = ReplayClaim(1_795_000_000_000, stamps.make(1_795_000_500_000, 3))


@pytest.mark.parametrize(
    ("position", "text"),
    [
        (MirrorPosition(), "0-0/"),
        (MirrorPosition(stamps.make(17, 2), "00ff"), "17-2/00ff"),
        (MirrorPosition(stamps.make(17, 2), "00ff", CLAIM), "17-2/00ff replay=1795000000000..1795000500000-3"),
        (MirrorPosition(claim=CLAIM), "0-0/ replay=1795000000000..1795000500000-3"),
    ],
)
def test_a_position_is_read_as_it_was_written(position: MirrorPosition, text: str) -> None:
    assert position.encode() == text
    assert MirrorPosition.decode(text) == position


@pytest.mark.parametrize("text", ["", "17", "17-2", "17-2/00ff replay=5", "0-1-15", "17-2/00ff more", "01-0/x"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        MirrorPosition.decode(text)


def test_a_replay_that_is_done_is_ahead_of_one_that_is_owed() -> None:
    owed, done = MirrorPosition(9, "n", CLAIM), MirrorPosition(9, "n")
    assert done.reaches(owed)
    assert not owed.reaches(done)
    assert MirrorPosition(10, "m", CLAIM).reaches(done)


def test_a_beginning_is_reached_by_what_came_after_the_same_gap_only() -> None:
    begun = MirrorPosition(nonce="gap", claim=CLAIM)
    assert begun.reaches(begun)
    assert not MirrorPosition(nonce="older", claim=CLAIM).reaches(begun)
    assert MirrorPosition(9, "n").reaches(begun)


@pytest.mark.parametrize(
    ("first_ms", "previous", "body", "since_ms"),
    [
        (1_795_000_400_000, "", Gap("begun"), CLAIM.since_ms),
        (1_795_000_600_000, "", Gap("begun"), None),
        (1_794_000_000_000, "n", Heartbeat(0), CLAIM.since_ms),
        (1_795_000_400_000, "n", Heartbeat(0), 1_795_000_400_000 + CLOCK_ERROR_MS),
        (1_795_000_400_000, "", Heartbeat(0), 1_795_000_400_000 + CLOCK_ERROR_MS),
        (1_795_000_500_000, "n", Heartbeat(0), None),
    ],
)
def test_nothing_is_claimed_of_what_was_trimmed_or_lost_before_the_copy(
    first_ms: int, previous: str, body: Body, since_ms: int | None
) -> None:
    left = CLAIM.beginning_with(Entry(stamps.make(first_ms), "m", previous, body))
    assert (left and left.since_ms) == since_ms
