"""Whether a gap is pending: the same whichever way a follower has come by the entries."""

from itertools import product

import pytest

from versioning.entries import Gap, Replayed
from versioning.pending import PendingGap

Body = Gap | Replayed

PENDING, PENDING_NOWHERE = Gap("g", "0-1-5", pending=True), Gap("g", pending=True)
PLAIN, PLAIN_NOWHERE = Gap("g", "0-1-5"), Gap("g")
SETTLED = Replayed(0, settled=True)
BODIES: tuple[Body, ...] = (PENDING, PENDING_NOWHERE, PLAIN, PLAIN_NOWHERE, SETTLED, Replayed(0))
LENGTH = 4


def is_pending(bodies: tuple[Body, ...], covered: int = 0, late: int = 0) -> bool:
    """``covered``: so many of the oldest are read backwards. ``late``: so many of the newest come behind them."""
    gap, stamped = PendingGap(), list(enumerate(bodies, 1))
    gap.begin_covering()
    for stamp, body in stamped[covered : len(bodies) - late]:
        gap.newer(stamp, body)
    for stamp, body in reversed(stamped[:covered]):
        gap.older(stamp, body)
    for stamp, body in stamped[len(bodies) - late :]:
        gap.newer(stamp, body)
    return bool(gap.stamp)


@pytest.mark.parametrize(
    ("bodies", "expected"),
    [
        ((PENDING_NOWHERE, PLAIN_NOWHERE), False),
        ((PENDING, PLAIN_NOWHERE), True),
        ((PENDING, PENDING_NOWHERE, PLAIN_NOWHERE), True),
        ((PENDING, PENDING_NOWHERE, PLAIN), False),
        ((PENDING, PLAIN, PENDING_NOWHERE, PLAIN_NOWHERE), False),
        ((PENDING, SETTLED, PENDING_NOWHERE, PLAIN_NOWHERE), False),
    ],
)
def test_a_gap_without_position_waits_for_the_one_whose_place_it_takes(
    bodies: tuple[Body, ...], *, expected: bool
) -> None:
    assert is_pending(bodies) is expected


def test_what_is_read_backwards_says_the_same_as_what_came() -> None:
    splits = [(covered, late) for covered in range(1, LENGTH + 1) for late in range(LENGTH + 1 - covered)]
    for bodies in product(BODIES, repeat=LENGTH):
        for covered, late in splits:
            assert is_pending(bodies, covered, late) is is_pending(bodies), (bodies, covered, late)
