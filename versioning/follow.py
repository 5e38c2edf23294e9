"""Following a stream (P2, P8): which entries to ask for next, and the proof that none is missing.

Pure: the shell (``client.follower``) reads pages and hands them in; nothing here waits. Two directions at once:

- backwards from the newest entry, page by page, until one window is covered. Each page lowers the horizon, down to the
  first gap. What lies below a gap is taken in too: it proves values superseded, a forced bump above all, which no
  replay says again. So a replay counts once that is done, and never for what a trimmed stream no longer has;
- forwards from the newest entry, as they come. Each entry names the nonce of the one before it; an entry whose
  predecessor is not the one held ends the belief in this history: ContinuityError, then ``lose``, then begin again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(slots=True)
class _History:
    """What belongs to the history that is followed: the next one begins with none of it."""

    nonce: str = ""
    """Of the newest entry taken in."""
    expected_older: str = ""
    """Of the entry below ``oldest``."""
    floor: int = stamps.ZERO
    """One window below the first page."""
    gap: int = stamps.ZERO
    """The last one, or the last unreadable entry."""
    is_spoiled: bool = False
    """``gap`` is an unreadable entry: no replay stands for it."""
    replay_horizon: int = stamps.STAMP_MAX
    begins: int = stamps.ZERO
    """No replay makes known what is below: forced bumps may have been there."""


class Follow:
    """Keeps ``index`` true to one stream. Calls come from one thread."""

    def __init__(self, index: Index) -> None:
        if index.watermark:
            # Of a cache that was closed and started again: what came meanwhile is above what its keys have there.
            index.forget()
        self.index = index
        self.wants_older = False
        self.oldest = stamps.ZERO
        """Lowest stamp taken in: where the next older page ends."""
        self._lost = stamps.ZERO
        """Below this are histories given up."""
        self._history = _History()

    @property
    def is_covered(self) -> bool:
        """Whether all of the window that the stream can prove is in the index."""
        return not self.wants_older

    def begin(self, page: Sequence[Entry], now: Now) -> None:
        """Take the newest page (newest first; empty for an empty stream), on an index that knows nothing."""
        self._history = _History()
        self.wants_older = bool(page)
        if page:
            floor = page[0].stamp - (self.index.window_ms << stamps.SEQUENCE_BITS)
            self._history = _History(page[0].nonce, page[0].nonce, floor)
            self.index.begin_covering()
            self.index.reach(page[0].stamp)
            self.take_older(page, now)

    def take_older(self, page: Sequence[Entry], now: Now) -> None:
        """Take the page just below ``oldest``, newest first; an empty one says that the stream begins at ``oldest``.

        The first entry of a history names none before it. Nor does the first one behind someone else's, or after the
        stream's state was lost: in those two cases older entries may still be there, or have been.
        """
        if self.wants_older and not page:
            self._end_coverage(self.oldest if self._history.expected_older else stamps.ZERO)
        for entry in page:
            if not self.wants_older:
                return
            self._take_one_older(entry, now)

    def _take_one_older(self, entry: Entry, now: Now) -> None:
        history = self._history
        if entry.nonce != history.expected_older:
            self._end_coverage(self.oldest)
            return
        self.index.apply_older(entry, now)
        self.oldest, history.expected_older = entry.stamp, entry.previous
        if not history.gap:
            # Someone else's is linked to nothing: in a stream that was deleted and begun by hand, its stamp may be
            # below those of what was lost.
            if entry.nonce or self.index.horizon == stamps.STAMP_MAX:
                self.index.horizon = max(entry.stamp, self._lost)
            self._note(entry)
        self._note_link(entry)
        if entry.stamp <= history.floor:
            self._end_coverage(stamps.ZERO)

    def _note(self, entry: Entry) -> None:
        """Take in what says how far back this history is known."""
        history = self._history
        match entry.body:
            case Replayed() as body:
                history.replay_horizon = min(history.replay_horizon, replay_horizon(body))
            case Gap() | Poisoned():
                history.gap, history.is_spoiled = entry.stamp, isinstance(entry.body, Poisoned)
            case _:
                return
        self._lower_horizon()

    def _note_link(self, entry: Entry) -> None:
        """A history begins with a gap: before any other entry that is linked to nothing something may be lost."""
        if not entry.previous and not isinstance(entry.body, Gap):
            self._history.begins = max(self._history.begins, entry.stamp)

    def joins(self, entry: Entry) -> bool:
        """Whether this is the entry after the last one taken in."""
        return entry.previous == self._history.nonce and entry.stamp > self.index.watermark

    def take(self, entries: Sequence[Entry], now: Now) -> None:
        """Take entries above the watermark, oldest first. Raises ContinuityError; those before the break are taken."""
        history = self._history
        for entry in entries:
            if entry.previous != history.nonce:
                raise ContinuityError("an entry is missing", history.nonce, entry.previous)
            if not history.nonce:
                # The first entry ever: all before it is unknown, whatever its kind.
                self.index.horizon = max(entry.stamp, self._lost)
            self._note_link(entry)
            self.index.apply(entry, now)
            history.nonce = entry.nonce
            if (history.gap and self.is_covered) or isinstance(entry.body, Gap | Poisoned):
                # What an earlier replay earned is in the horizon, and may have been pruned since.
                history.replay_horizon = stamps.STAMP_MAX
            self._note(entry)

    def check_tail(self, last: Entry | None) -> None:
        """Compare the end of the stream with what is held: a read past the end of a shortened stream waits forever."""
        found = last.stamp if last else stamps.ZERO
        held = self.index.watermark
        if found < held:
            raise ContinuityError("the stream ends below the watermark", stamps.text(held), stamps.text(found))
        if last and found == held and last.nonce != self._history.nonce:
            raise ContinuityError("a stamp was handed out twice", self._history.nonce, last.nonce)

    def lose(self) -> None:
        """Give the history up. What was filled under it stays UNKNOWN, whatever the next history says."""
        self._lost = max(self._lost, self.index.watermark + 1)
        self.index.forget()
        self.wants_older = False

    def _lower_horizon(self) -> None:
        """A replay began at the last gap, so its stamps are above that; above the lost history only if the gap is."""
        history = self._history
        if self.is_covered and history.gap and history.gap >= self._lost and not history.is_spoiled:
            self.index.horizon = min(self.index.horizon, max(history.replay_horizon, history.begins))

    def _end_coverage(self, begins: int) -> None:
        self.wants_older, self._history.begins = False, max(self._history.begins, begins)
        self.index.end_covering()
        self._lower_horizon()
