"""Words: what an entry of the target stream says of names, and what mirrors keep of it."""

from dataclasses import dataclass, replace
from typing import Final, TypeGuard

from replicator.mirror import reasons
from versioning import stamp as stamps
from versioning.entries import Body, Change, Entry, Gap, Generation, Origin, Poisoned, ReadBody
from versioning.errors import FormatError
from versioning.limits import CLOCK_ERROR_MS, SPREAD_LATE_MS
from versioning.pending import word_of

Named = Change | Generation

LOST_KEY: Final = "stampline:replica_rewound"
"""Tells what a replica had that went back, of which no entry may be here yet. No value is kept under it: an entry
has to name some key (PROTOCOL.md, Entries). Nothing waits for it, since what was lost may never come again."""


def is_lost_word(body: ReadBody) -> TypeGuard[Change]:
    """Whether it tells what a replica had that went back."""
    return isinstance(body, Change) and body.keys == (LOST_KEY,)


@dataclass(slots=True, eq=False)
class Mark:
    """One entry that says of names, or as a gap of all, whether the replicas have their data; several keys share it."""

    body: Named | Gap
    origin: Origin | None
    since_ms: int
    """Unix time in ms: when the first entry with this GTID entered."""
    written_ms: int
    """Unix time in ms: when the last one did; 0: it is due to be said again."""
    stamp: int
    """Of that last one."""
    is_placed: bool
    """False: a gap of which no heartbeat has told yet what the replicas must have for it, beside what the one waited
    for whose place it has taken."""
    is_taken_back: bool = False
    """Another mirror has found that a replica lacks what all had by the stream until then."""

    @property
    def told_gtid(self) -> str:
        """What its entry says that the replicas must have."""
        return self.body.gtid if self.is_placed else ""

    @property
    def origin_stamp(self) -> int:
        """Of the origin's entry."""
        return stamps.parse(self.origin.id) if self.origin is not None else stamps.ZERO


def mark_of(entry: Entry, body: Named | Gap, written_ms: int) -> Mark:
    is_placed = bool(body.gtid) or not isinstance(body, Gap)
    return Mark(body, entry.origin, written_ms, written_ms, entry.stamp, is_placed)


def speaks_of_data(body: Body) -> bool:
    return isinstance(body, Change | Generation) and word_of(body) is not None


def names_of(body: Named) -> tuple[str, ...]:
    return body.keys if isinstance(body, Change) else body.namespaces


def is_own_gap(body: ReadBody) -> bool:
    """Whether a mirror wrote it for itself: it begins anew there, or has found something missing."""
    return isinstance(body, Gap) and reasons.is_own(body.reason)


def own_origin(entry: Entry, dc: str) -> Origin | None:
    """Return which entry of the origin it is; None where it is none of this datacenter, or names none (by hand)."""
    origin = entry.origin
    if origin is None or origin.dc != dc:
        return None
    try:
        stamps.parse(origin.id)
    except FormatError:
        return None
    return origin


def bars_replays(entry: Entry, dc: str) -> bool:
    """Whether a replay of the origin, even one that goes on after this entry, says nothing of what is below it.

    A gap said again may lie in the middle of a replay, and stands for loads from a replica that lagged until then; the
    replay of one origin is silent on the gaps of another.
    """
    body = entry.body
    if not isinstance(body, Gap):
        return isinstance(body, Poisoned)
    return not own_origin(entry, dc) or reasons.is_of_replicas(body.reason) or reasons.is_said_again(body.reason)


def stands_for_all(body: Gap) -> bool:
    """Whether it stands for all that was pending before it: said again, for what was before the first one only."""
    return not (reasons.is_rewound(body.reason) or reasons.is_said_again(body.reason))


def spreading_from(body: Generation, now_ms: int) -> Generation:
    return replace(body, start_ms=max(body.start_ms, now_ms))


def as_pending(body: Body) -> Body:
    match body:
        case Change() | Generation() if body.gtid:
            return replace(body, pending=True)
        case Gap():
            return replace(body, pending=True)
    return body


def is_unapplied(body: Body | Poisoned) -> TypeGuard[Change | Generation | Gap]:
    """Whether the mirror that wrote this found that some replica lacks its data."""
    return isinstance(body, Change | Generation | Gap) and body.pending


def spreads_late_until(body: Body | Poisoned) -> int:
    """Return until when (Unix ms) a generation spreads over values too old to be vouched for; 0 for none.

    What it ages out was superseded at its commit. One that is told long after that, behind an outage of source or link,
    would let values be FRESH once more that readers had ceased to be served, each until its moment (P9).
    """
    if not isinstance(body, Generation) or not body.committed_ms:
        return 0
    ends_ms = body.start_ms + body.spread_ms
    return ends_ms + CLOCK_ERROR_MS if ends_ms - body.committed_ms > SPREAD_LATE_MS else 0


def just_after(stamp: int) -> int:
    """Return a Unix time in ms."""
    return stamps.ms_of(stamp) + 1
