"""The ``MirrorState`` of one window of the stream, read from the newest entry backwards: at a start, after a loss."""

from dataclasses import replace
from typing import Any, Final, cast

from replicator.mirror.options import PROMISED_MAX
from replicator.mirror.queue import OF_REPLICAS, POISON, as_pending
from replicator.mirror.state import MirrorState
from replicator.mirror.words import (
    Named,
    Pending,
    just_after,
    mark_of,
    names_of,
    speaks_of_data,
    stands_for_all,
    torn_by,
)
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Replayed
from versioning.limits import CLOCK_ERROR_MS, WINDOW_MS
from versioning.pending import PendingGap

_NOTHING: Final = Entry(stamps.ZERO, "", "", Heartbeat(0), None)


class WindowFold:
    """Builds a ``MirrorState`` from the newest entry backwards: the newest word on a name is the one that counts."""

    def __init__(self, dc: str, now_ms: int, *, window_ms: int = WINDOW_MS, is_timed: bool = False) -> None:
        self._now_ms = now_ms
        self.state = MirrorState(dc, window_ms, is_timed)
        self.acknowledged: list[tuple[str, int]] = []
        """GTIDs that every replica had applied when they entered, and when (Unix ms): those of entries may be ahead of
        any heartbeat's."""
        self._decided: dict[tuple[type[Named], str], tuple[int, int]] = {}
        """Stamp of the newest word on a name, and the highest stamp that words on it have in the origin's stream."""
        self._gap_stamp = stamps.ZERO
        self._is_gap_seen = False
        """One that stands for all that was pending before it."""
        self._pending_gap = PendingGap()
        self._is_poison_decided = False
        self._is_torn_decided = False
        self._has_heartbeat = False
        self._beat_ms = 0
        """When the oldest heartbeat that tells of the replicas was written."""
        self._oldest = _NOTHING

    def take_older(self, entry: Entry) -> None:
        state, body = self.state, entry.body
        if not state.last:
            state.last, state.nonce = entry.stamp, entry.nonce
        self._oldest = entry
        state.take_in_any_order(entry)
        if isinstance(body, Heartbeat):
            self._take_heartbeat(body, stamps.ms_of(entry.stamp))
        elif entry.origin is not None and entry.origin.dc == state.dc:
            self._take_own(entry, min(stamps.ms_of(entry.stamp), self._now_ms))

    def _take_heartbeat(self, body: Heartbeat, written_ms: int) -> None:
        if body.applied_ms:
            self._take_lag(body.applied_ms, written_ms)
        self.state.applied_ms = max(self.state.applied_ms, body.applied_ms)
        if body.gtid and not self._has_heartbeat:
            self._has_heartbeat = True
            self.acknowledged.append((body.gtid, written_ms))

    def _take_own(self, entry: Entry, written_ms: int) -> None:
        match entry.body:
            case Change() | Generation() as body if speaks_of_data(body):
                self._acknowledge(body, written_ms)
                self._take_named(body, entry, written_ms)
            case Gap() as body:
                self._take_gap(body, entry, written_ms)
            case Replayed() as body:
                self._pending_gap.older(entry.stamp, body)

    def _take_lag(self, applied_ms: int, written_ms: int) -> None:
        if self._beat_ms:
            self.state.lags.join(applied_ms, self._beat_ms)
        else:
            self.state.lags.applied_ms = applied_ms
        self._beat_ms = written_ms

    def _acknowledge(self, body: Named, written_ms: int) -> None:
        if len(self.acknowledged) < PROMISED_MAX and body.gtid and not body.pending:
            self.acknowledged.append((body.gtid, written_ms))

    def _take_named(self, body: Named, entry: Entry, written_ms: int) -> None:
        kind, where = type(body), self.state.keys if isinstance(body, Change) else self.state.namespaces
        mark = mark_of(entry, body, written_ms)
        told = entry.stamp, mark.origin_stamp
        for name in names_of(body):
            if (kind, name) in self._decided:
                self._take_older_word(where, name, mark, told[1])
                continue
            self._decided[kind, name] = told
            if body.pending:
                where[name] = mark
            elif body.settled:
                self.state.settled[kind, name] = mark

    def _take_older_word(self, where: dict[str, Pending], name: str, mark: Pending, origin_stamp: int) -> None:
        body = cast("Named", mark.body)
        newest, highest = self._decided[type(body), name]
        if origin_stamp > highest:
            self._decided[type(body), name] = newest, origin_stamp
            if body.pending:
                where[name] = replace(mark, written_ms=0)
                self.state.settled.pop((type(body), name), None)
        elif body.pending and name in where and where[name].body.gtid == body.gtid:
            where[name].since_ms = min(where[name].since_ms, mark.written_ms)

    @property
    def covers_window(self) -> bool:
        return stamps.ms_of(self.state.last) - stamps.ms_of(self._oldest.stamp) > self.state.window_ms

    def _is_short(self) -> bool:
        """Whether what was deleted may have been pending: nothing that is left says that all replicas had it.

        Within a window every pending entry is said again, and with no database listed time settles it.
        """
        state, oldest = self.state, self._oldest
        if state.is_timed or self.covers_window or self._is_gap_seen or not oldest.previous:
            return False
        return state.applied_ms < stamps.ms_of(oldest.stamp) + CLOCK_ERROR_MS

    def carrying(self, before: MirrorState | None, copied: int) -> MirrorState:
        """Return the state, with the words of the one before it (None at a start) that are gone from the stream.

        ``copied``: stamp of the origin's last entry that is there. What is behind it will be copied again, and must not
        be said before that: an entry of an origin proves that everything up to it is there.
        """
        state = self.state
        is_all = before is None and self.covers_window
        if before is None or self._begins_after(before):
            state.is_short, state.unclaimed_ms = self._is_short(), max(state.unclaimed_ms, self._unknown_ms())
        before = before or MirrorState(state.dc)
        if self._beat_ms and not is_all:
            state.lags.join(before.lags.applied_ms, self._beat_ms)
        state.lags.merge(before.lags)
        # A mirror that was there when entries were deleted still knows what they said.
        state.is_short |= before.is_short
        state.unclaimed_ms = max(state.unclaimed_ms, before.unclaimed_ms)
        for where in (state.keys, state.namespaces, state.settled):
            _turn_round(where)  # Oldest first, as if it had been read forwards.
        if before.last:
            # In the history that was lost it may have been trimmed: readers that began there do not know of it.
            for mark in (*state.keys.values(), *state.namespaces.values()):
                mark.written_ms = 0
        lost: dict[Pending, Pending] = {}
        for kind, name, mark in before.words():
            if self._is_decided(kind, name, mark):
                continue
            if not _is_copied(mark, copied):
                state.unclaimed_ms = max(state.unclaimed_ms, just_after(mark.stamp))
                continue
            names = state.keys if kind is Change else state.namespaces
            names[name] = lost.setdefault(mark, replace(mark, written_ms=0))
            state.settled.pop((kind, name), None)
        gap = before.gap or before.of_replicas
        if gap is not None and self._gap_stamp < gap.stamp and _is_copied(gap, copied):
            state.gap = replace(gap, body=cast("Gap", as_pending(gap.body)), written_ms=0)
        return state

    def _begins_after(self, before: MirrorState) -> bool:
        """Whether entries came and were deleted while the mirror that knows ``before`` stood still."""
        oldest = self._oldest
        return oldest.stamp > before.last and oldest.previous not in {"", before.nonce}

    def _is_decided(self, kind: type[Named], name: str, mark: Pending) -> bool:
        """Whether the words that are there put an end to this one."""
        newest, highest = self._decided.get((kind, name), (stamps.ZERO, stamps.ZERO))
        is_pending = not cast("Named", mark.body).settled
        return newest >= mark.stamp and not (is_pending and mark.origin_stamp > highest)

    def _unknown_ms(self) -> int:
        """Until when mirrors may have said what is not there any more."""
        if self._oldest is _NOTHING:
            return self._now_ms + CLOCK_ERROR_MS
        return 0 if self.covers_window else just_after(self._oldest.stamp)

    def _take_gap(self, body: Gap, entry: Entry, written_ms: int) -> None:
        self._gap_stamp = max(self._gap_stamp, entry.stamp)
        self._is_gap_seen |= stands_for_all(body)
        if body.reason.startswith(OF_REPLICAS):
            state = self.state
            state.of_replicas = state.of_replicas or mark_of(entry, body, written_ms)
        else:
            self._decide_replays(body, entry.stamp)
        self._pending_gap.older(entry.stamp, body)
        if self._pending_gap.stamp == entry.stamp:
            self.state.gap = mark_of(entry, body, written_ms)

    def _decide_replays(self, body: Gap, stamp: int) -> None:
        is_poison = body.reason.startswith(POISON)
        if not self._is_poison_decided:
            self._is_poison_decided, self.state.is_poisoned = True, is_poison
        if not self._is_torn_decided and not is_poison:
            self._is_torn_decided, self.state.torn = True, torn_by(body, stamp)


def _is_copied(mark: Pending, copied: int) -> bool:
    return mark.origin is not None and mark.origin_stamp <= copied


def _turn_round(where: dict[Any, Pending]) -> None:
    turned = dict(reversed(where.items()))
    where.clear()
    where.update(turned)
