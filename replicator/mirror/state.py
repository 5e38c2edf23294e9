"""What the target stream says of this origin: a fold over its entries, so that any mirror can take over from any other.

Read backwards over one window at start (``WindowFold``), then forwards: every own append, and after a refusal what
another mirror wrote. A key is pending from the last entry that says so until one with a GTID, or a settled one, says
otherwise. One of an older entry of the origin, as a mirror that stood still for a while may write, does not; but after
it the pending one is due, since followers go by the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from replicator.mirror.lags import Lags
from replicator.mirror.options import PROMISED_MAX
from replicator.mirror.queue import AGAIN, OF_REPLICAS, OWN, POISON, REWOUND, UNAPPLIED, Place, as_pending, is_unapplied
from versioning import stamp as stamps
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, Origin, Poisoned, Replayed
from versioning.limits import CLOCK_ERROR_MS, WINDOW_MS

Named = Change | Generation


@dataclass(slots=True, eq=False)
class Pending:
    """One pending entry; several keys share it."""

    body: Named | Gap
    origin: Origin | None
    since_ms: int
    """Unix time in ms: when the first entry with this GTID entered as pending."""
    written_ms: int
    """Unix time in ms: when the last one did."""
    stamp: int
    """Of that last one."""
    is_placed: bool
    """False: a gap of which no heartbeat has told yet what the replicas must have for it."""

    @property
    def origin_stamp(self) -> int:
        """Of the origin's entry."""
        return stamps.parse(self.origin.id) if self.origin is not None else stamps.ZERO


@dataclass(slots=True)
class MirrorState:
    dc: str
    window_ms: int = WINDOW_MS
    is_timed: bool = False
    """No database is listed: the replicas are taken to lag by seconds, not by more than a replay allows for."""
    last: int = stamps.ZERO
    """Last entry of the target stream that is folded in, whoever wrote it."""
    nonce: str = ""
    applied_ms: int = 0
    keys: dict[str, Pending] = field(default_factory=dict)
    namespaces: dict[str, Pending] = field(default_factory=dict)
    settled: dict[tuple[type[Named], str], Pending] = field(default_factory=dict)
    """Names whose last word, not older than the window, is that all replicas have the data by now."""
    gap: Pending | None = None
    of_replicas: Pending | None = None
    """The last gap that says nothing of the origin, pending or not."""
    is_poisoned: bool = False
    """An unreadable entry came after the last gap of the origin: no replay may reach below it."""
    torn: int = stamps.ZERO
    """Stamp of the last gap if that is a mirror's own: see ``MirrorQueue``; ``stamp.ZERO`` if it is the origin's."""
    unclaimed_ms: int = 0
    """No replay may be claimed to reach below this (Unix ms): up to then there were words which it does not repeat,
    that a replica had gone back above all, or some that followers may not have from it (``_bars_replays``)."""
    lags: Lags = field(init=False)
    is_short: bool = False
    """Entries were deleted before every replica had them: some may have been pending, and no gap stands for them."""

    def __post_init__(self) -> None:
        self.lags = Lags(self.window_ms)

    @property
    def pending_count(self) -> int:
        return len(self.keys) + len(self.namespaces) + (self.gap is not None)

    def follows(self, entry: Entry) -> bool:
        return self.nonce in {"", entry.previous}

    def take(self, entry: Entry, now_ms: int) -> None:
        """Fold in the next entry of the target stream."""
        self.last, self.nonce = entry.stamp, entry.nonce
        body = entry.body
        self.bar_replays(entry)
        if isinstance(body, Heartbeat):
            self._take_heartbeat(body, stamps.ms_of(entry.stamp))
        elif entry.origin is not None and entry.origin.dc == self.dc:
            # Stamps may be ahead of the clock (P1).
            self._take_own(entry, min(stamps.ms_of(entry.stamp), now_ms))

    def bar_replays(self, entry: Entry) -> None:
        """Take in what no replay may reach below; in any order."""
        if _bars_replays(entry, self.dc):
            self.unclaimed_ms = max(self.unclaimed_ms, _just_after(entry.stamp))

    def _take_heartbeat(self, body: Heartbeat, written_ms: int) -> None:
        self.applied_ms = max(self.applied_ms, body.applied_ms)
        if body.applied_ms:
            self.lags.take(body.applied_ms, written_ms)

    def claimable_ms(self, since_ms: int) -> int:
        """Return since when a replay that says ``since_ms`` may be claimed in the target stream."""
        if not self.is_timed:
            since_ms = self.lags.claimable_ms(since_ms, stamps.ms_of(self.last))
        return max(since_ms, self.unclaimed_ms)

    def _take_own(self, entry: Entry, written_ms: int) -> None:
        match entry.body:
            case Change(keys=names) | Generation(namespaces=names) as body if speaks_of_data(body):
                where = self.keys if isinstance(body, Change) else self.namespaces
                mark = _mark_of(entry, body, written_ms)
                for name in names:
                    self._take_word(where, name, mark)
            case Gap() as body:
                self._take_gap(body, entry, written_ms)
            case Replayed() as body if self.is_timed or body.since_ms <= self.applied_ms:
                # What the gap hid is either applied (it is older) or named again, and pending where it is not.
                self.gap = None

    def _take_word(self, where: dict[str, Pending], name: str, mark: Pending) -> None:
        body, held = cast("Named", mark.body), where.pop(name, None)
        if held is not None and mark.origin_stamp < held.origin_stamp:
            where[name] = replace(held, written_ms=0)
            return
        if body.pending:
            if held is not None and held.body.gtid == body.gtid:
                mark.since_ms = min(mark.since_ms, held.since_ms)
            where[name] = mark
        self.settled.pop((type(body), name), None)
        if body.settled:
            self.settled[type(body), name] = mark
            self._forget_settled(mark.written_ms - self.window_ms)

    def _forget_settled(self, before_ms: int) -> None:
        while self.settled:
            oldest = next(iter(self.settled))
            if self.settled[oldest].written_ms >= before_ms:
                return
            del self.settled[oldest]

    def place_gap(self, place: Place) -> None:
        """A gap that entered without a position takes that of a heartbeat behind it in the origin's stream."""
        gap = self.gap
        if gap is None or gap.is_placed or place.stamp <= gap.origin_stamp:
            return
        # Due now: who mirrors next must wait for no later place than this.
        self.gap = replace(gap, body=replace(gap.body, gtid=place.gtid), written_ms=0, is_placed=True)

    def _take_gap(self, body: Gap, entry: Entry, written_ms: int) -> None:
        self.is_short &= body.reason.startswith(REWOUND)
        if body.reason.startswith(OF_REPLICAS):
            self.of_replicas = _mark_of(entry, body, written_ms)
        else:
            self.is_poisoned = body.reason.startswith(POISON)
            if not self.is_poisoned:
                self.torn = _torn_by(body, entry.stamp)
        if is_unapplied(body):
            since_ms = self.gap.since_ms if self.gap and self.gap.body.gtid == body.gtid else written_ms
            self.gap = replace(_mark_of(entry, body, written_ms), since_ms=since_ms)
        elif self.gap is not None and (body.gtid or not self.gap.body.gtid):
            self.gap = None

    def pendings(self) -> Iterator[tuple[Pending, tuple[str, ...]]]:
        """Each pending entry with the names it still holds, oldest first; before them the gap."""
        if self.gap is not None:
            yield self.gap, ()
        for where in (self.keys, self.namespaces):
            groups: dict[Pending, list[str]] = {}
            for name, mark in where.items():
                groups.setdefault(mark, []).append(name)
            for mark, names in groups.items():
                yield mark, tuple(names)

    def words(self) -> Iterator[tuple[type[Named], str, Pending]]:
        """Each name that is pending or was settled, with its last word."""
        for name, mark in self.keys.items():
            yield Change, name, mark
        for name, mark in self.namespaces.items():
            yield Generation, name, mark
        for (kind, name), mark in self.settled.items():
            yield kind, name, mark

    def first_pending_gtid(self) -> str:
        marks = (next(iter(where.values()), None) for where in (self.keys, self.namespaces))
        return next((mark.body.gtid for mark in (*marks, self.gap) if mark is not None and mark.body.gtid), "")


def _mark_of(entry: Entry, body: Named | Gap, written_ms: int) -> Pending:
    is_placed = bool(body.gtid) or not isinstance(body, Gap)
    return Pending(body, entry.origin, written_ms, written_ms, entry.stamp, is_placed)


def speaks_of_data(body: Body) -> bool:
    return isinstance(body, Change | Generation) and bool(body.gtid or body.pending or body.settled)


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
        self._is_gap_decided = False
        self._is_plain_gap_seen = False
        self._replayed_since_ms: int | None = None
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
        state.bar_replays(entry)
        if isinstance(body, Heartbeat):
            self._take_heartbeat(body, stamps.ms_of(entry.stamp))
        elif entry.origin is not None and entry.origin.dc == state.dc:
            self._take_own(entry, min(stamps.ms_of(entry.stamp), self._now_ms))

    def _take_heartbeat(self, body: Heartbeat, written_ms: int) -> None:
        if body.applied_ms:
            self._take_lag(body.applied_ms, written_ms)
        self.state.applied_ms = max(self.state.applied_ms, body.applied_ms)
        if self._replayed_since_ms is not None:
            self._is_gap_decided |= self._replayed_since_ms <= body.applied_ms
            self._replayed_since_ms = None
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
                self._is_gap_decided |= self.state.is_timed
                self._replayed_since_ms = body.since_ms

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
        mark = _mark_of(entry, body, written_ms)
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
        lost: dict[Pending, Pending] = {}
        for kind, name, mark in before.words():
            if self._is_decided(kind, name, mark):
                continue
            if not _is_copied(mark, copied):
                state.unclaimed_ms = max(state.unclaimed_ms, _just_after(mark.stamp))
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
        return 0 if self.covers_window else _just_after(self._oldest.stamp)

    def _take_gap(self, body: Gap, entry: Entry, written_ms: int) -> None:
        self._gap_stamp = max(self._gap_stamp, entry.stamp)
        self._is_gap_seen |= not body.reason.startswith(REWOUND)
        if body.reason.startswith(OF_REPLICAS):
            state = self.state
            state.of_replicas = state.of_replicas or _mark_of(entry, body, written_ms)
        else:
            self._decide_replays(body, entry.stamp)
        is_pending = is_unapplied(body)
        if not self._is_gap_decided and is_pending and (body.gtid or not self._is_plain_gap_seen):
            self.state.gap = _mark_of(entry, body, written_ms)
        self._is_gap_decided |= is_pending or bool(body.gtid)
        self._is_plain_gap_seen |= not is_pending

    def _decide_replays(self, body: Gap, stamp: int) -> None:
        is_poison = body.reason.startswith(POISON)
        if not self._is_poison_decided:
            self._is_poison_decided, self.state.is_poisoned = True, is_poison
        if not self._is_torn_decided and not is_poison:
            self._is_torn_decided, self.state.torn = True, _torn_by(body, stamp)


def _bars_replays(entry: Entry, dc: str) -> bool:
    """Whether a replay of the origin, even one that goes on after this entry, says nothing of what is below it.

    A gap said again may lie in the middle of a replay, and stands for loads from a replica that lagged until then; the
    replay of one origin is silent on the gaps of another.
    """
    body = entry.body
    if not isinstance(body, Gap):
        return isinstance(body, Poisoned)
    is_own = entry.origin is not None and entry.origin.dc == dc
    return not is_own or body.reason.startswith(OF_REPLICAS) or body.reason.removesuffix(UNAPPLIED).endswith(AGAIN)


def _just_after(stamp: int) -> int:
    return stamps.ms_of(stamp) + 1


def _is_copied(mark: Pending, copied: int) -> bool:
    return mark.origin is not None and mark.origin_stamp <= copied


def _turn_round(where: dict[Any, Pending]) -> None:
    turned = dict(reversed(where.items()))
    where.clear()
    where.update(turned)


def _torn_by(body: Gap, stamp: int) -> int:
    return stamp if body.reason.startswith(OWN) else stamps.ZERO


def names_of(body: Named) -> tuple[str, ...]:
    return body.keys if isinstance(body, Change) else body.namespaces
