"""The ``MirrorState`` of the last window of the stream: at a start; and after a loss, with what was known before it.

Law: entries are folded in the order they were written in, as a mirror that was there has taken them. What that one knew
and the stream has lost is pending, and due to be said again.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from replicator.mirror import reasons
from replicator.mirror.options import PROMISED_MAX
from replicator.mirror.position import MirrorPosition
from replicator.mirror.state import MirrorState
from replicator.mirror.words import (
    Mark,
    Named,
    is_lost_word,
    is_own_gap,
    just_after,
    mark_of,
    names_of,
    own_origin,
    speaks_of_data,
)
from versioning import stamp as stamps
from versioning.backends.base import History, StreamBackend
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Origin
from versioning.limits import CLOCK_ERROR_MS

PAGE_ENTRIES: Final = 1_000


async def read_window(
    stream: StreamBackend, new_state: Callable[[], MirrorState], before: MirrorState | None, now_ms: int
) -> "WindowFold":
    """``before``: what was known until the stream lost entries; None at a start. Raises BackendError."""
    while True:
        fold = await _read_once(stream, new_state(), before, now_ms)
        if fold is not None:
            return fold


async def _read_once(
    stream: StreamBackend, state: MirrorState, before: MirrorState | None, now_ms: int
) -> "WindowFold | None":
    """Return None where entries were lost between two pages: those that were read first are none of this history."""
    history = await stream.history()  # Before what is read: a loss meanwhile is noticed.
    newest = await stream.read_before(None, count=1)
    since = stamps.make(max(stamps.ms_of(newest[0].stamp) - state.window_ms, 0)) if newest else stamps.ZERO
    page = await stream.read_after(max(since - 1, stamps.ZERO), count=PAGE_ENTRIES)
    # Asked for last: while an older one is there, nothing of the window has been trimmed.
    is_whole = since > stamps.ZERO and bool(await stream.read_before(since, count=1))
    fold = WindowFold(state, before, now_ms, history, is_whole=is_whole)
    while page:
        if state.last and not state.follows(page[0]):
            last = await stream.read_one(state.last)
            if last is None or last.nonce != state.nonce:
                return None
        for entry in page:
            fold.take(entry)
        page = await stream.read_after(state.last, count=PAGE_ENTRIES)
    fold.end()
    return fold


class WindowFold:
    """``is_whole``: the stream reaches back beyond the window, so that nothing of it was trimmed."""

    def __init__(
        self, state: MirrorState, before: MirrorState | None, now_ms: int, history: History, *, is_whole: bool
    ) -> None:
        self.history = history
        self._state = state
        self._before = before
        self._now_ms = now_ms
        self._is_whole = is_whole
        self._whole_since = stamps.ZERO
        """Stamp of the first entry since which none is missing."""
        self._beat_ms = 0
        """Unix time of the last heartbeat."""
        self._unclaimed_ms = 0
        """``MirrorState.unclaimed_ms``, unless the window tells of all that is pending."""
        self._words: dict[tuple[type[Named], str], tuple[int, int]] = {}
        """Stamp of the last word on a name, and the highest stamp that words on it have in the origin's stream."""
        self._gap_stamp = stamps.ZERO
        self._furthest = MirrorPosition()
        self._beat: tuple[str, int] | None = None
        self._is_told_since = False
        """A heartbeat behind all that was known before tells how far the replicas are."""
        self.lost: list[Change] = []
        """What databases had that went back, as it is said in the window."""
        self._acknowledged: deque[tuple[str, int]] = deque(maxlen=PROMISED_MAX)
        if before is not None:
            state.lags.applied_ms, state.is_short = before.lags.applied_ms, before.is_short

    def take(self, entry: Entry) -> None:
        if not (self._state.last and self._state.follows(entry)):
            self._begin_with(entry)
        body, written_ms = entry.body, stamps.ms_of(entry.stamp)
        if isinstance(body, Heartbeat):
            self._beat_ms = written_ms
            self._take_heartbeat(body, entry.stamp)
        elif origin := own_origin(entry, self._state.dc):
            self._take_own(entry, origin, written_ms)
        self._state.take(entry, self._now_ms)

    def _begin_with(self, entry: Entry) -> None:
        """It is the oldest one, or those in front of it were deleted: then all before them tells no more.

        The first entry of a history follows none, and so does the next one behind someone else's. Only a mirror's own
        gap, which comes with the former, says that there was nothing before.
        """
        self._is_whole &= not self._state.last
        self._whole_since = entry.stamp
        if self._before is None or self._may_lack(entry, self._before):
            self._miss(entry.stamp)

    def _may_lack(self, entry: Entry, before: MirrorState) -> bool:
        """Whether entries may have come and been deleted while the mirror that knows ``before`` stood still."""
        if entry.stamp <= before.last:
            return False
        if entry.previous:
            return entry.previous != before.nonce
        return not (own_origin(entry, self._state.dc) and is_own_gap(entry.body))

    def end(self) -> None:
        """All that is there is taken: the last ones may have been deleted, too."""
        last, before = self.history.last, self._before
        if last <= self._state.last:
            return
        self._is_whole, self._whole_since = False, last
        if before is None or last > before.last:
            self._miss(last)

    def _miss(self, stamp: int) -> None:
        """Take note of what mirrors may have said up to there that is not there any more."""
        self._state.is_short = True
        self._unclaimed_ms = just_after(stamp)

    def _tells_all(self) -> bool:
        """Whether what is pending is in the window: nothing of it was trimmed, and there were mirrors.

        A heartbeat enters only when all that is pending was said within half a window. Where none has in the younger
        half, the last word may be just beyond the window: a bump is nobody's word on that, and of many words a mirror
        that came back may have said some again.
        """
        half_ms = self._state.window_ms // 2
        return self._is_whole and self._beat_ms >= stamps.ms_of(self._state.last) - half_ms

    def _take_heartbeat(self, body: Heartbeat, stamp: int) -> None:
        if body.gtid:
            self._beat = body.gtid, stamps.ms_of(stamp)
        if self._before is not None and stamp > self._before.last:
            self._is_told_since |= bool(body.applied_ms)
        if self._is_whole and self._before is None and self._state.lags.is_untold:
            # How the replicas lagged before a whole window concerns nobody.
            self._state.lags.applied_ms = body.applied_ms

    def _take_own(self, entry: Entry, origin: Origin, written_ms: int) -> None:
        body, stamp = entry.body, stamps.parse(origin.id)
        if stamp > self._furthest.stamp:
            self._furthest = MirrorPosition(stamp, origin.nonce)
        if isinstance(body, Gap):
            self._gap_stamp = entry.stamp
        if not isinstance(body, Change | Generation) or not speaks_of_data(body):
            return
        if is_lost_word(body):
            self.lost.append(body)
        if body.gtid and not body.pending:
            self._acknowledged.append((body.gtid, min(written_ms, self._now_ms)))
        if self._before is not None:
            self._note_words(body, mark_of(entry, body, written_ms))

    def _note_words(self, body: Named, mark: Mark) -> None:
        for name in names_of(body):
            _, highest = self._words.get((type(body), name), (stamps.ZERO, stamps.ZERO))
            self._words[type(body), name] = mark.stamp, max(highest, mark.origin_stamp)

    @property
    def acknowledged(self) -> list[tuple[str, int]]:
        """GTIDs that every replica had applied when they entered, and when (Unix ms), in that order.

        Those of entries may be ahead of any heartbeat's.
        """
        told = [self._beat, *self._acknowledged] if self._beat else self._acknowledged
        return sorted(told, key=lambda one: one[1])

    def carrying(self, copied: MirrorPosition | None) -> MirrorState:
        """Return the state, with the words known before that are gone from the stream.

        ``copied``: the origin's last entry that is there, by the checkpoint; None where that is lost. What is behind it
        will be copied again, and must not be said before that: an entry of an origin proves that everything up to it is
        there.
        """
        state, before, copied = self._state, self._before, copied or self._furthest
        if not state.last and before is None:
            state.unclaimed_ms = self._now_ms + CLOCK_ERROR_MS
        if self._tells_all():
            state.is_short &= before is not None and before.is_short
        else:
            state.unclaimed_ms = max(state.unclaimed_ms, self._unclaimed_ms)
        if state.applied_ms >= stamps.ms_of(self._whole_since) + CLOCK_ERROR_MS:
            state.is_short = False  # All replicas had what was deleted.
        if before is not None:
            self._carry(before, copied)
        return state

    def _carry(self, before: MirrorState, copied: MirrorPosition) -> None:
        state = self._state
        state.lags.merge(before.lags)
        if before.lags.is_rewound and not self._is_told_since:
            state.rewind(before.lags.until_ms)  # What told of it is gone, the heartbeats before it are still there.
        state.unclaimed_ms = max(state.unclaimed_ms, before.unclaimed_ms)
        if before.last:
            # In the history that was lost it may have been trimmed: readers that began there do not know of it.
            state.must_say_all()
        lost: dict[Mark, Mark] = {}
        for kind, name, mark in before.words():
            if self._is_decided(kind, name, mark):
                continue
            if not _is_copied(mark, copied.stamp):
                state.unclaimed_ms = max(state.unclaimed_ms, just_after(mark.stamp))
                continue
            names = state.keys if kind is Change else state.namespaces
            names[name] = lost.setdefault(mark, replace(mark, written_ms=0))
            state.settled.pop((kind, name), None)
        gaps = [before.gap, before.of_replicas]
        if state.gap is None:  # Else only the end of it is lost.
            gaps.append(before.young_settled_gap)
        gap = next(filter(None, (self._carried(gap, copied) for gap in gaps)), None)
        if gap is not None:
            state.gap, state.is_gap_lost = gap, True
        state.settled_gap = state.settled_gap or before.settled_gap

    def _carried(self, gap: Mark | None, copied: MirrorPosition) -> Mark | None:
        """Return what is to be said again of a gap known before; None for nothing."""
        if gap is None or self._gap_stamp >= gap.stamp:
            return None
        body, origin = cast("Gap", gap.body), gap.origin
        if not _is_copied(gap, copied.stamp):
            if not reasons.is_of_replicas(body.reason):
                return None
            origin = copied.origin(self._state.dc)  # It says nothing of the origin, so nobody copies it again.
        return replace(gap, body=replace(body, pending=True), origin=origin, written_ms=0)

    def _is_decided(self, kind: type[Named], name: str, mark: Mark) -> bool:
        """Whether the words that are there put an end to this one."""
        last, highest = self._words.get((kind, name), (stamps.ZERO, stamps.ZERO))
        is_pending = not cast("Named", mark.body).settled
        return last >= mark.stamp and not (is_pending and mark.origin_stamp > highest)


def _is_copied(mark: Mark, copied: int) -> bool:
    return mark.origin is not None and mark.origin_stamp <= copied
