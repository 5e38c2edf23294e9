"""When a mirror looks at what is pending: not at every commit of a replica, if that is much, and a part at a time."""

from typing import Final

from replicator.mirror.beats import NO_BEAT, Place
from replicator.mirror.board import GateBoard
from replicator.mirror.options import MirrorOptions
from replicator.mirror.settle import Again, Judge, Look, judge_by_replicas, judge_by_time
from replicator.mirror.target import MirrorTarget
from versioning import stamp as stamps
from versioning.entries import Heartbeat
from versioning.liveness import Now

TICK_MS: Final = 1_000
UNGATED_TICK_MS: Final = 50
"""With no database listed nothing else tells that a delay is over."""


class Due:
    def __init__(self, options: MirrorOptions, target: MirrorTarget, board: GateBoard) -> None:
        self.oldest = stamps.ZERO
        """Stamp of the oldest entry in the target stream, as it was found last."""
        self._options = options
        self._target = target
        self._board = board
        self._look: Look | None = None
        self._next_ms = 0
        self._told = self._covered = NO_BEAT
        """The last heartbeat whose data every replica had as a look began: the last one that is over, and this one."""

    def agains(self, now: Now, place: Place | None, applied: Heartbeat) -> list[Again]:
        """Return what to say again now: one append at most.

        ``applied``: the last heartbeat whose data every replica has.
        """
        state = self._target.state
        if not state.pending_count or now.monotonic_ms < self._next_ms:
            return []
        if self._board and place is not None:
            state.place_gap(place)
        if self._look is None:
            self._look, self._covered = Look(state), applied
        found = self._look.due(state, self._judge(now), now.ms)
        if self._look.is_over:
            self._look, self._told = None, self._covered
            self._next_ms = now.monotonic_ms + max(TICK_MS if self._board else UNGATED_TICK_MS, self._pause_ms)
        return found

    def told(self, applied: Heartbeat) -> Heartbeat:
        """Return up to which heartbeat the stream may say that the replicas are, with what is due in the same append.

        All that they have been found to have must be settled: where what is still pending is trimmed too soon, a mirror
        that starts takes it for settled, if all replicas had it.
        """
        if not self._target.state.pending_count:
            self._told = applied
        return min(self._told, applied, key=lambda beat: beat.read_ms)

    def _judge(self, now: Now) -> Judge:
        if not self._board:
            return judge_by_time(now.ms, self._options.settle_delays_ms)
        has_applied, window_ms = self._board.has_applied, self._options.window_ms
        return judge_by_replicas(self._target.state, now.ms, has_applied, window_ms=window_ms, oldest=self.oldest)

    @property
    def _pause_ms(self) -> int:
        """Least time between two looks at all of it."""
        return self._target.state.pending_count // 100

    def progressed(self, now: Now) -> None:
        """Look soon: a database has applied more."""
        self._next_ms = min(self._next_ms, now.monotonic_ms + self._pause_ms)

    def begin_anew(self) -> None:
        """Look at all of it at once: what was due may not be in the stream."""
        self._look, self._told, self._next_ms = None, NO_BEAT, 0

    def wait_ms(self, now: Now) -> int | None:
        """Time until the next look; None where nothing is pending."""
        return self._next_ms - now.monotonic_ms if self._target.state.pending_count else None
