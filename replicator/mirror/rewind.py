"""What to say again when a replica has less than it had (restored from an older copy, or newly listed and behind).

Its rows are older than stamps that readers rely on: every key whose last entry it lacked is pending again, even when it
has caught up by now, since values were loaded from it.
When it is behind by more than the window, or has less than it had at the last gap, or may lack what was trimmed from
the stream too soon, keys that no entry names are concerned too: then a gap, to be said again when it has caught up.
"""

from replicator.mirror import reasons
from replicator.mirror.gate import IsApplied
from replicator.mirror.gtids import answer_includes, domain_of, domains_in, joined
from replicator.mirror.settle import Again
from replicator.mirror.target import PAGE_ENTRIES
from replicator.mirror.words import LOST_KEY, is_lost_word, is_own_gap, names_of, own_origin, speaks_of_data
from versioning import stamp as stamps
from versioning.backends.base import StreamBackend
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Origin, Poisoned, ReadBody, Replayed
from versioning.pending import PendingGap


async def unapplied_again(
    target: StreamBackend, last: int, nonce: str, here: Origin, is_kept: IsApplied, *, window_ms: int
) -> list[Again]:
    """``last`` and ``nonce``: of the last entry of the target stream; what others append meanwhile does not count.

    ``here``: the last entry of the origin that is there. Raises BackendError.
    """
    scan = _Scan(is_kept, here)
    before, expected, is_young = last + 1, nonce, True
    while is_young and (page := await target.read_before(before, count=PAGE_ENTRIES)):
        for entry in page:
            if entry.nonce != expected:
                return scan.found(is_whole=False)  # Somebody deleted what was between.
            scan.take_older(entry)
            expected = entry.previous
        before = page[-1].stamp
        is_young = stamps.ms_of(last) - stamps.ms_of(before) <= window_ms
    return scan.found(is_whole=is_young and not expected and scan.begins_with_gap)


class _Scan:
    def __init__(self, is_kept: IsApplied, here: Origin) -> None:
        self._is_kept = is_kept
        self._here = here
        self._found: list[Again] = []
        self._decided: dict[tuple[bool, str], int] = {}
        """Of each name the furthest word so far, by its stamp in the origin's stream: the last need not be that."""
        self._newest: dict[str, tuple[int, str]] = {}
        """Of each GTID domain the furthest, behind its stamp in the origin's stream."""
        self._domains: set[str] = set()
        self._plain: dict[str, str] = {}
        """Of each domain the oldest that was never said again: it comes behind everything of its domain before it."""
        self._newest_position = self._oldest_position = ""
        self._complete = ""
        """GTID of the oldest heartbeat of a known place whose own data every replica had: of all in front of it."""
        self.begins_with_gap = False
        """The oldest entry of the origin is a mirror's own gap: where the stream begins, but not where only the link to
        what was before is missing, behind an entry of someone else's. Nor where none of the origin is left: whoever
        asks has written some."""
        self._pending_gap = PendingGap()
        self._gap_gtid: str | None = None
        """Of the last gap; None: none was found. It may be further than all that was copied since (``Resume.gtid``)."""
        self._is_gap_lacked = False

    def take_older(self, entry: Entry) -> None:
        body, origin = entry.body, own_origin(entry, self._here.dc)
        if origin or isinstance(body, Poisoned):
            self.begins_with_gap = is_own_gap(body)
        if isinstance(body, Heartbeat):
            # Of an idle database nothing else may be left: it too says what every replica had.
            self._newest_position = self._newest_position or body.gtid
            self._oldest_position = body.gtid or self._oldest_position
            # Else its GTID is that of an earlier one, which the replicas had when it passed what they lacked.
            if origin and body.applied_ms >= body.read_ms:
                self._complete = body.gtid or self._complete
        elif origin:
            self._take_own(body, origin, entry.stamp)

    def _take_own(self, body: ReadBody, origin: Origin, entry_stamp: int) -> None:
        match body:
            case Gap():
                self._take_gap(body, origin, entry_stamp)
            case Replayed():
                self._pending_gap.older(entry_stamp, body)
            case Change() if is_lost_word(body):
                """What was lost may never come again: nothing waits for it."""
            case Change() | Generation() if speaks_of_data(body):
                self._take_named(body, origin)

    def _take_named(self, body: Change | Generation, origin: Origin) -> None:
        stamp, domain = stamps.parse(origin.id), domain_of(body.gtid)
        self._note(domain, body.gtid, stamp)
        self._domains.add(domain)
        if not (body.pending or body.settled):
            self._plain[domain] = body.gtid
        is_change = isinstance(body, Change)
        names = tuple(name for name in names_of(body) if self._decided.get((is_change, name), -1) < stamp)
        self._decided.update(((is_change, name), stamp) for name in names)
        if names and not body.pending and not self._is_kept(body.gtid):
            self._found.append(_pending(body, names, origin))

    def _take_gap(self, body: Gap, origin: Origin, entry_stamp: int) -> None:
        self._note("", body.gtid, stamps.parse(origin.id))
        self._pending_gap.older(entry_stamp, body)
        if self._gap_gtid is None:
            self._gap_gtid = body.gtid
            is_pending = self._pending_gap.stamp == entry_stamp
            is_kept = self._is_kept(body.gtid) if body.gtid else self._is_rest_kept()
            self._is_gap_lacked = not is_pending and not is_kept

    def _note(self, domain: str, gtid: str, stamp: int) -> None:
        # What is said again has the place in the origin's stream that it had.
        if gtid and stamp > self._newest.get(domain, (stamps.ZERO, ""))[0]:
            self._newest[domain] = stamp, gtid

    def found(self, *, is_whole: bool) -> list[Again]:
        """Return what to write: the gap, then the entries, oldest first."""
        again = self._found[::-1]
        if self._is_gap_lacked or not (is_whole or self._is_rest_kept()):
            # Where nothing of some domain need be the furthest, a heartbeat of the origin must tell.
            gtid = self._furthest() if self._complete or self._has_each_domain else ""
            again.insert(0, gap_of_replicas(reasons.REWOUND, self._here, gtid))
        return again

    def _is_rest_kept(self) -> bool:
        """Whether the replicas kept what came before all this, said again or not.

        A heartbeat tells, or of each domain an entry that was never said again; a stream that has neither tells
        nothing.
        """
        if self._complete and self._is_kept(self._complete):
            return True
        return self._has_each_domain and all(map(self._is_kept, (*self._plain.values(), self._oldest_position)))

    @property
    def _has_each_domain(self) -> bool:
        spoken_of = self._domains | domains_in(self._newest_position)
        return bool(self._plain) and spoken_of <= self._plain.keys()

    def _furthest(self) -> str:
        """Return the furthest that is spoken of: entries may be ahead of the last heartbeat, or long before it."""
        furthest = self._newest_position
        for gtid in (*(gtid for _, gtid in self._newest.values()), self._gap_gtid):
            if gtid and not (furthest and answer_includes(furthest, gtid)):
                furthest = joined(furthest, gtid) if furthest else gtid
        return furthest


def lost_again(gtid: str, here: Origin) -> Again:
    """Return what tells the other mirrors that a database has lost a GTID.

    What is said again of the stream's entries does not: it may have had what is still on its way here. A mirror that
    was told before, and does not reach it now, would take those entries for applied; and one that has not seen it
    since it had them, for what it never had.
    """
    return Again(Change((LOST_KEY,), gtid, pending=True), here, is_settled=False)


def gap_of_replicas(reason: str, here: Origin, gtid: str = "") -> Again:
    return Again(Gap(reason, gtid, pending=True), here, is_settled=False)


def _pending(body: Change | Generation, names: tuple[str, ...], origin: Origin) -> Again:
    if isinstance(body, Change):
        return Again(Change(names, body.gtid, body.committed_ms, pending=True), origin, is_settled=False)
    again = Generation(names, body.start_ms, body.spread_ms, body.reason, body.gtid, body.committed_ms, pending=True)
    return Again(again, origin, is_settled=False)
