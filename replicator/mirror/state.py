"""What the target stream says of this origin: a fold over its entries, so that any mirror can take over from any other.

The last window at a start (``fold``), then every own append, and after a refusal what another mirror wrote. A key is
pending from the last entry that says so until one with a GTID, or a settled one, says otherwise. An entry for an older
one of the origin does not end that (a mirror that stood still for a while may write it); but followers go by the last
entry, so what is pending is then due to be said again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import cast

from replicator.mirror import reasons
from replicator.mirror.beats import Place
from replicator.mirror.gtids import joined
from replicator.mirror.hidden import Hidden
from replicator.mirror.lags import Lags, filled_safely_ms
from replicator.mirror.words import (
    Mark,
    Named,
    bars_replays,
    is_lost_word,
    is_unapplied,
    just_after,
    mark_of,
    names_of,
    own_origin,
    speaks_of_data,
    spreads_late_until,
    stands_for_all,
)
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, ReadBody, Replayed
from versioning.limits import CLOCK_ERROR_MS, LOSS_LEAD_MS, WINDOW_MS


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
    copied: int = stamps.ZERO
    """The furthest entry of the origin that says of names, by its stamp there."""
    keys: dict[str, Mark] = field(default_factory=dict)
    namespaces: dict[str, Mark] = field(default_factory=dict)
    settled: dict[tuple[type[Named], str], Mark] = field(default_factory=dict)
    """Names whose last word, not older than the window, is that all replicas have the data by now."""
    gap: Mark | None = None
    settled_gap: Mark | None = None
    """The last gap that was pending, or the one that ended it: where the stream loses both, it is to be said again."""
    is_gap_lost: bool = False
    """The pending gap is not in the target stream any more. Nobody vouches for what was loaded since it entered, but
    who begins with the next gap does not know since when: no replay may be claimed to reach below that one."""
    of_replicas: Mark | None = None
    """The last gap that says nothing of the origin, pending or not."""
    is_poisoned: bool = False
    """An unreadable entry came after the last gap of the origin: no replay may reach below it."""
    torn: int = stamps.ZERO
    """Stamp of the last gap if that is a mirror's own: see ``MirrorQueue``; ``stamp.ZERO`` if it is the origin's."""
    unclaimed_ms: int = 0
    """No replay may be claimed to reach below this (Unix ms): up to then there were words which it does not repeat,
    that a replica had gone back above all, or some that followers may not have from it (``bars_replays``)."""
    silent_until_ms: int = 0
    """No heartbeat may enter before (Unix ms): a generation spreads late (``spreads_late_until``)."""
    hidden: Hidden = field(default_factory=Hidden)
    lags: Lags = field(init=False)
    is_short: bool = False
    """Entries were deleted before every replica had them: some may have been pending, and no gap stands for them."""

    def __post_init__(self) -> None:
        self.lags = Lags(self.window_ms)

    @property
    def pending_count(self) -> int:
        return len(self.keys) + len(self.namespaces) + (self.gap is not None)

    @property
    def young_settled_gap(self) -> Mark | None:
        """The last gap that has ended; None where all that was loaded before it has ended by now, too."""
        gap = self.settled_gap
        is_young = gap is not None and stamps.ms_of(self.last) - stamps.ms_of(gap.stamp) <= self.window_ms
        return gap if is_young else None

    def follows(self, entry: Entry) -> bool:
        return self.nonce in {"", entry.previous}

    def take(self, entry: Entry, now_ms: int, *, is_ours: bool = False) -> None:
        """Fold in the next entry of the target stream. ``is_ours``: this mirror has just written it."""
        self.last, self.nonce = entry.stamp, entry.nonce
        body = entry.body
        if bars_replays(entry, self.dc):
            self.unclaimed_ms = max(self.unclaimed_ms, just_after(entry.stamp))
        # Stamps may be ahead of the clock (P1).
        written_ms = min(stamps.ms_of(entry.stamp), now_ms)
        if not self._is_said_again(body, written_ms):
            self.silent_until_ms = max(self.silent_until_ms, spreads_late_until(body))
        if isinstance(body, Heartbeat):
            self._take_heartbeat(body, stamps.ms_of(entry.stamp))
        elif own_origin(entry, self.dc):
            self._take_own(entry, written_ms, is_ours=is_ours)

    def _is_said_again(self, body: ReadBody, now_ms: int) -> bool:
        """Such a generation ages out what was loaded while it was pending: who knows that does not vouch for it."""
        if not isinstance(body, Generation):
            return False
        held = filter(None, map(self.namespaces.get, body.namespaces))
        return any(mark.body.gtid == body.gtid and not self.is_forgotten(mark, now_ms) for mark in held)

    def has_forgotten(self, now_ms: int) -> bool:
        """Whether readers may not know of something that is pending: it must be said again before they may vouch."""
        # Names are kept in the order of their last words.
        oldest = (next(iter(where.values()), None) for where in (self.keys, self.namespaces))
        return any(mark is not None and self.is_forgotten(mark, now_ms) for mark in oldest)

    def is_forgotten(self, mark: Mark, now_ms: int) -> bool:
        """Whether readers may have forgotten it, as they do, by stamps, what was not said again for a window.

        Or will while a generation spreads that says it again; or do not find it when they start a while from now.
        """
        said_ago_ms = max(now_ms - mark.written_ms, stamps.ms_of(self.last) - stamps.ms_of(mark.stamp))
        return said_ago_ms > self.window_ms // 2

    def rewind(self, written_ms: int) -> None:
        """Take in that a replica had gone back by then (Unix ms): no heartbeat before tells what it has."""
        self.applied_ms = 0
        self.lags.rewind(written_ms)

    def _take_heartbeat(self, body: Heartbeat, written_ms: int) -> None:
        self.applied_ms = max(self.applied_ms, body.applied_ms)
        if body.applied_ms:
            self.lags.take(body.applied_ms, written_ms)

    def claimable_ms(self, since_ms: int, replay: int, now_ms: int) -> int:
        """Return since when a replay that says ``since_ms`` may be claimed in the target stream.

        ``replay``: its stamp in the origin's stream.
        """
        if not self.is_timed:
            # Not up to the last entry: behind it may have been others, that were lost before this mirror read them.
            filled_ms = max(stamps.ms_of(self.last), now_ms + CLOCK_ERROR_MS + LOSS_LEAD_MS)
            since_ms = self.lags.claimable_ms(since_ms, filled_ms)
        return max(since_ms, self.unclaimed_ms, self.hidden.claimable_ms(replay))

    def claimed(self, body: Replayed, gap_ms: int, replay: int, now_ms: int) -> Replayed:
        """Return the origin's replay as it may enter the target stream now (Unix ms).

        ``replay``: its stamp in the origin's stream; ``gap_ms``: when the gap entered that is pending (Unix ms), 0 for
        none.
        """
        since_ms = self.claimable_ms(body.since_ms, replay, now_ms)
        # What a gap hid is either applied (it is older) or named again, and pending where it is not. But what was
        # loaded since the gap may lack it, unless that was long ago by then.
        is_old = since_ms <= self.applied_ms and (not gap_ms or filled_safely_ms(since_ms) <= gap_ms)
        return replace(body, since_ms=since_ms, settled=self.is_timed or is_old)

    def _take_own(self, entry: Entry, written_ms: int, *, is_ours: bool) -> None:
        match entry.body:
            case Change() as body if is_lost_word(body):
                self.rewind(stamps.ms_of(entry.stamp))
            case Change(keys=names) | Generation(namespaces=names) as body if speaks_of_data(body):
                where = self.keys if isinstance(body, Change) else self.namespaces
                mark = mark_of(entry, body, written_ms)
                if mark.origin_stamp <= self.copied and any(self._is_rewound(where.get(name), body) for name in names):
                    self.rewind(stamps.ms_of(entry.stamp))
                    mark.is_taken_back = not is_ours
                self.copied = max(self.copied, mark.origin_stamp)
                for name in names:
                    self._take_word(where, name, mark)
            case Gap() as body:
                self._take_gap(body, entry, written_ms, is_ours=is_ours)
            case Replayed(settled=True):
                self.gap, self.is_gap_lost, self.settled_gap = None, False, self.gap or self.settled_gap

    @staticmethod
    def _is_rewound(held: Mark | None, body: Named) -> bool:
        """Whether a word that a mirror says again makes a name pending that was not: a replica has gone back."""
        return body.pending and (held is None or held.body.gtid != body.gtid)

    def _take_word(self, where: dict[str, Mark], name: str, mark: Mark) -> None:
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
        gtid = joined(gap.body.gtid, place.gtid)
        self.gap = replace(gap, body=replace(gap.body, gtid=gtid), written_ms=0, is_placed=True)

    def _take_gap(self, body: Gap, entry: Entry, written_ms: int, *, is_ours: bool) -> None:
        self.is_short &= not stands_for_all(body)
        if self.is_gap_lost:
            self.is_gap_lost, self.unclaimed_ms = False, max(self.unclaimed_ms, just_after(entry.stamp))
        mark = mark_of(entry, body, written_ms)
        if reasons.is_of_replicas(body.reason):
            self.of_replicas = mark
        else:
            self.hidden.take(mark)
            self.is_poisoned = reasons.is_unreadable(body.reason)
            if not self.is_poisoned:
                self.torn = entry.stamp if reasons.is_own(body.reason) else stamps.ZERO
        if is_unapplied(body):
            if reasons.is_rewound(body.reason):
                self.rewind(stamps.ms_of(entry.stamp))
                mark.is_taken_back = not is_ours
            self.gap = self._following_on(self.gap, mark) if self.gap else mark
        elif self.gap is not None and (body.gtid or not self.gap.body.gtid):
            self.gap, self.settled_gap = None, mark

    @staticmethod
    def _following_on(held: Mark, gap: Mark) -> Mark:
        """Return a pending gap as it takes the place of another: without position, it waits for that one's too."""
        gtid = gap.body.gtid or held.body.gtid
        since_ms = held.since_ms if held.told_gtid == gap.told_gtid else gap.since_ms
        return replace(gap, body=replace(gap.body, gtid=gtid), since_ms=since_ms)

    def must_say_all(self, before: int = stamps.STAMP_MAX) -> None:
        """All that is pending, and was last said below this stamp, is due to be said again."""
        for mark in self.pendings():
            if mark.stamp < before:
                mark.written_ms = 0

    def pendings(self) -> list[Mark]:
        """Each pending entry, oldest first; before them the gap."""
        gaps = [] if self.gap is None else [self.gap]
        return [*gaps, *dict.fromkeys(self.keys.values()), *dict.fromkeys(self.namespaces.values())]

    def held_by(self, mark: Mark) -> tuple[str, ...]:
        """Return the names of which an entry is still the last word."""
        body = mark.body
        if isinstance(body, Gap):
            return ()
        where = self.keys if isinstance(body, Change) else self.namespaces
        return tuple(name for name in names_of(body) if where.get(name) is mark)

    def words(self) -> Iterator[tuple[type[Named], str, Mark]]:
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
