"""What a gap's reason tells mirrors: people read all of it, mirrors how it begins and ends (PROTOCOL.md, Entries)."""

from typing import Final

UNREADABLE: Final = "unreadable entry in the origin's stream: "
OWN: Final = "the mirror begins anew: "
"""Of the mirror's own making. The beginning of a replay that the origin is in the middle of is not here."""

REWOUND: Final = "a replica has less than it had before"
SHORT: Final = "entries were deleted here before every replica had them"

_AGAIN: Final = " (said again)"


def is_unreadable(reason: str) -> bool:
    return reason.startswith(UNREADABLE)


def is_own(reason: str) -> bool:
    return reason.startswith(OWN)


def is_rewound(reason: str) -> bool:
    return reason.startswith(REWOUND)


def is_of_replicas(reason: str) -> bool:
    """Whether it says nothing of the origin."""
    return reason.startswith((REWOUND, SHORT))


def is_said_again(reason: str) -> bool:
    """Whether the gap was pending before: the replicas have come to its position, or it is renewed until then.

    A replay that began at the first one has entries below this one. A pending gap without position entered before a
    heartbeat told what the replicas must have for it.
    """
    return reason.endswith(_AGAIN)


def said_again(reason: str, *, is_poisoned: bool = False) -> str:
    """``is_poisoned``: something unreadable came after the gap, which saying it again must not hide."""
    again = reason.removesuffix(_AGAIN) + _AGAIN
    hides = is_poisoned and not is_unreadable(again) and not is_of_replicas(again)
    return UNREADABLE + again if hides else again
