"""Where a mirror goes on: behind the last entry that both streams share (P3), else behind a gap.

Law: a checkpoint is believed only when the origin still has its entry under the same nonce. A mirror never claims more
than its origin does: after a gap of its own it owes a replay from the origin's own horizon, and says so when it is
copied.
"""

from dataclasses import dataclass
from typing import Final

from replicator.mirror.beats import Place
from replicator.mirror.options import Break
from replicator.mirror.position import MirrorPosition, ReplayClaim, hides_more
from replicator.mirror.words import own_origin
from versioning import stamp as stamps
from versioning.backends.base import StreamBackend
from versioning.checkpoint import Checkpoint
from versioning.client.nonces import new_nonces
from versioning.entries import Heartbeat
from versioning.limits import CLOCK_ERROR_MS

PAGE_ENTRIES: Final = 1_000
FIRST_PAGE_ENTRIES: Final = 20
"""Of the origin's end, where a heartbeat is mostly near: entries may be 30 KiB each, and have a slow link to cross."""


@dataclass(frozen=True, slots=True)
class Resume:
    position: MirrorPosition
    gap: str = ""
    """Reason of the gap to write first; empty for none."""
    break_name: Break | None = None
    """Kind of break that was found, for counting; None where the checkpoint was good."""
    gtid: str | None = None
    """What the replicas must have for that gap; None where the origin does not tell yet."""
    until: int = stamps.ZERO
    """Where the position is ``stamp.ZERO``: stamp of the origin's heartbeat that tells. What is trimmed up to there is
    hidden by the gap, whoever copies what is left; what is trimmed above it is not."""


async def find_resume(
    origin: StreamBackend,
    target: StreamBackend,
    dc: str,
    stored: Checkpoint | None,
    *,
    last: int,
    now_ms: int,
    window_ms: int,
) -> Resume:
    """Raises BackendError of either stream. ``last`` is that of the ``MirrorState`` for ``stored``.

    What another mirror writes meanwhile does not count: the next append proves what is there up to ``last`` only.
    """
    position = MirrorPosition.of(stored)
    if position is not None and await is_there(origin, position):
        return Resume(position, until=_until(position))
    name = _what_broke(stored, position)
    shared = await _last_shared(origin, target, dc, last=last, since_ms=now_ms - window_ms)
    if shared is not None:
        return Resume(shared, break_name=name if stored else Break.CHECKPOINT_LOST)
    state = await origin.state()
    place = await _last_place(origin)
    # Where no heartbeat is left, the first one to come is above all that may be trimmed before.
    until, gtid = (place.stamp, place.gtid) if place else (state.last, None)
    claim = _claim(state.since, until, now_ms=now_ms, window_ms=window_ms)
    [nonce] = new_nonces(1)
    return Resume(MirrorPosition(nonce=nonce, claim=claim), gap=_REASONS[name], break_name=name, gtid=gtid, until=until)


def _what_broke(stored: Checkpoint | None, position: MirrorPosition | None) -> Break:
    if stored is None:
        return Break.FIRST_START
    return Break.CHECKPOINT_UNREADABLE if position is None else Break.ORIGIN_CHANGED


_REASONS: Final = {
    Break.FIRST_START: "this stream has nothing of the origin yet",
    Break.CHECKPOINT_UNREADABLE: "this stream no longer says how far the origin is copied",
    Break.ORIGIN_CHANGED: "the origin's stream has none of the entries that are here",
}


async def is_there(origin: StreamBackend, position: MirrorPosition) -> bool:
    """Whether the origin still has the entry; for ``stamp.ZERO``, all behind the gap. Raises BackendError."""
    if position.stamp == stamps.ZERO:
        oldest = await origin.read_after(stamps.ZERO, count=1)
        return not (oldest and hides_more(oldest[0], _until(position)))
    entry = await origin.read_one(position.stamp)
    return entry is not None and entry.nonce == position.nonce


def _until(position: MirrorPosition) -> int:
    return position.claim.until if position.claim else stamps.ZERO


async def _last_shared(
    origin: StreamBackend, target: StreamBackend, dc: str, *, last: int, since_ms: int
) -> MirrorPosition | None:
    """Find the last entry both have. What is lost is always the end of a stream, so it is found by halving."""
    oldest = await origin.read_after(stamps.ZERO, count=1)
    if not oldest:
        return None
    known = await _mirrored(target, dc, last=last, since_ms=since_ms)
    candidates = sorted((p for p in known if p.stamp >= oldest[0].stamp), key=lambda p: (p.stamp, p.nonce))
    low, high = 0, len(candidates)
    while low < high:
        middle = (low + high) // 2
        if await is_there(origin, candidates[middle]):
            low = middle + 1
        else:
            high = middle
    return candidates[low - 1] if low else None


async def _mirrored(target: StreamBackend, dc: str, *, last: int, since_ms: int) -> set[MirrorPosition]:
    found: set[MirrorPosition] = set()
    before = last + 1
    while page := await target.read_before(before, count=PAGE_ENTRIES):
        for entry in page:
            if origin := own_origin(entry, dc):
                found.add(MirrorPosition(stamps.parse(origin.id), origin.nonce))
        before = page[-1].stamp
        if stamps.ms_of(before) < since_ms:
            break
    return {position for position in found if position.stamp != stamps.ZERO}


async def _last_place(origin: StreamBackend) -> Place | None:
    before, count = None, FIRST_PAGE_ENTRIES
    while page := await origin.read_before(before, count=count):
        for entry in page:
            if isinstance(entry.body, Heartbeat):
                return Place(entry.stamp, entry.body.gtid)
        before, count = page[-1].stamp, min(2 * count, PAGE_ENTRIES)
    return None


def _claim(since: int, until: int, *, now_ms: int, window_ms: int) -> ReplayClaim | None:
    if not (until and since):
        return None
    since_ms = max(stamps.ms_of(since), now_ms - window_ms) + CLOCK_ERROR_MS
    return ReplayClaim(since_ms, until) if since_ms < stamps.ms_of(until) else None
