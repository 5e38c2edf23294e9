"""Following a stream (P2, P8): which entries to ask for next, and the proof that none is missing.

Pure: the shell (``client.follower``) reads pages and hands them in; nothing here waits. Two directions at once:

- backwards from the newest entry, page by page, until one window is covered. Each page lowers the horizon, down to the
  first gap. What lies below a gap is taken in too: it proves values superseded, a forced bump above all, which no
  replay says again. So a replay counts once that is done, and never for what a trimmed stream no longer has;
- forwards from the newest entry, as they come. Each entry names the nonce of the one before it; an entry whose
  predecessor is not the one held ends the belief in this history: ContinuityError, then ``lose``, then begin again.
"""

from collections.abc import Sequence

from versioning import stamp as stamps
from versioning.entries import Entry, Gap, Poisoned, Replayed
from versioning.errors import StamplineError
from versioning.index import Index, replay_horizon
from versioning.liveness import Now


class ContinuityError(StamplineError):
    """The stream is not the one that was read before: trimmed, flushed, or failed over with lost writes."""

    def __init__(self, name: str, held: str, found: str) -> None:
        super().__init__(
            f"continuity broken: {name}; held {held}, found {found}",
            hint="values filled before are UNKNOWN now; check trimming, failovers and FLUSHALL on the stream's Redis",
        )
        self.name = name


class Follow:
    """Keeps ``index`` true to one stream. Calls come from one thread."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.wants_older = False
        self.oldest = stamps.ZERO
        """Lowest stamp taken in: where the next older page ends."""
        self._floor = stamps.ZERO
        self._nonce = ""
        self._lost = stamps.ZERO
        self._gap = stamps.ZERO
        self._is_spoiled = False
        self._expected_older = ""
        self._replay_horizon = stamps.STAMP_MAX
        self._begins = stamps.ZERO
        """No replay makes known what is below: forced bumps may have been there."""

    @property
    def is_covered(self) -> bool:
        """Whether all of the window that the stream can prove is in the index."""
        return not self.wants_older

    def begin(self, page: Sequence[Entry], now: Now) -> None:
        """Take the newest page (newest first; empty for an empty stream), on an index that knows nothing."""
        self._gap, self._is_spoiled, self._replay_horizon = stamps.ZERO, False, stamps.STAMP_MAX
        self._begins = stamps.ZERO
        self._nonce = page[0].nonce if page else ""
        self._expected_older = self._nonce
        self.wants_older = bool(page)
        if page:
            self._floor = page[0].stamp - (self.index.window_ms << stamps.SEQUENCE_BITS)
            self.index.begin_covering()
            self.index.reach(page[0].stamp)
            self.take_older(page, now)

    def take_older(self, page: Sequence[Entry], now: Now) -> None:
        """Take the page just below ``oldest``, newest first; an empty one says that the stream begins at ``oldest``."""
        if not page:
            self._end_coverage(self.oldest)
        for entry in page:
            if not self.wants_older:
                return
            self._take_one_older(entry, now)

    def _take_one_older(self, entry: Entry, now: Now) -> None:
        if entry.nonce != self._expected_older:
            self._end_coverage(self.oldest)
            return
        self.index.apply_older(entry, now)
        self.oldest, self._expected_older = entry.stamp, entry.previous
        if not self._gap:
            self.index.horizon = max(entry.stamp, self._lost)
            self._note(entry)
        if entry.stamp <= self._floor or not entry.previous:
            self._end_coverage(stamps.ZERO)

    def _note(self, entry: Entry) -> None:
        """Take in what says how far back this history is known."""
        match entry.body:
            case Replayed() as body:
                self._replay_horizon = min(self._replay_horizon, replay_horizon(body))
            case Gap() | Poisoned():
                self._gap, self._is_spoiled = entry.stamp, isinstance(entry.body, Poisoned)
            case _:
                return
        self._lower_horizon()

    def joins(self, entry: Entry) -> bool:
        """Whether this is the entry after the last one taken in."""
        return entry.previous == self._nonce and entry.stamp > self.index.watermark

    def take(self, entries: Sequence[Entry], now: Now) -> None:
        """Take entries above the watermark, oldest first. Raises ContinuityError; those before the break are taken."""
        for entry in entries:
            if entry.previous != self._nonce:
                raise ContinuityError("an entry is missing", self._nonce, entry.previous)
            if not self._nonce:
                # The first entry ever: all before it is unknown, whatever its kind.
                self.index.horizon = max(entry.stamp, self._lost)
            self.index.apply(entry, now)
            self._nonce = entry.nonce
            if (self._gap and self.is_covered) or isinstance(entry.body, Gap | Poisoned):
                # What an earlier replay earned is in the horizon, and may have been pruned since.
                self._replay_horizon = stamps.STAMP_MAX
            self._note(entry)

    def check_tail(self, last: Entry | None) -> None:
        """Compare the end of the stream with what is held: a read past the end of a shortened stream waits forever."""
        found = last.stamp if last else stamps.ZERO
        held = self.index.watermark
        if found < held:
            raise ContinuityError("the stream ends below the watermark", stamps.text(held), stamps.text(found))
        if last and found == held and last.nonce != self._nonce:
            raise ContinuityError("a stamp was handed out twice", self._nonce, last.nonce)

    def lose(self) -> None:
        """Give the history up. What was filled under it stays UNKNOWN, whatever the next history says."""
        self._lost = max(self._lost, self.index.watermark + 1)
        self.index.forget()
        self.wants_older = False

    def _lower_horizon(self) -> None:
        """A replay began at the last gap, so its stamps are above that; above the lost history only if the gap is."""
        if self.is_covered and self._gap and self._gap >= self._lost and not self._is_spoiled:
            self.index.horizon = min(self.index.horizon, max(self._replay_horizon, self._begins))

    def _end_coverage(self, begins: int) -> None:
        self.wants_older, self._begins = False, begins
        self.index.end_covering()
        self._lower_horizon()
