"""A follower as PROTOCOL.md has it, and no cleverer: it keeps all that it hears, and looks through it at each question.

It forgets nothing: of what is a window old it says STALE where an index says UNKNOWN.
"""

from collections.abc import Iterator, Sequence
from zlib import crc32

from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Poisoned, ReadBody, Replayed
from versioning.liveness import Now
from versioning.verdict import Verdict

SLACK_MS = FUTURE_MS = 60_000
SEQUENCES = 1 << 20
NEVER = 1 << 63


class Naive:
    def __init__(self, window_ms: int, max_lag_ms: int) -> None:
        self.window_ms, self.max_lag_ms = window_ms, max_lag_ms
        self.heard: list[tuple[Entry, int]] = []
        """Of this history, oldest first, each with the monotonic time it came."""
        self.is_covered = True
        self.ends_in_hole = False
        self.floor = 0
        """One window below the newest entry at the start: no more is read."""
        self.lost = 0
        """Below this are histories given up."""
        self.pasts: list[Naive] = []
        """Itself, before each gap and each loss."""

    def begin(self, newest: Entry | None, now: Now) -> None:
        self.heard, self.ends_in_hole = [], False
        self.is_covered = newest is None
        if newest is not None:
            self.floor = newest.stamp - self.window_ms * SEQUENCES
            self.hear_older([newest], now)

    def hear_older(self, page: Sequence[Entry], now: Now) -> None:
        """Take what is below all that was heard, newest first; nothing: the stream begins there."""
        if not page:
            self.is_covered, self.ends_in_hole = True, bool(self.heard[0][0].previous)
        for entry in page:
            if self.is_covered:
                return
            if self.heard and entry.nonce != self.heard[0][0].previous:
                self.is_covered = self.ends_in_hole = True
                return
            self.heard.insert(0, (entry, now.monotonic_ms))
            self.is_covered = entry.stamp <= self.floor

    def hear(self, entry: Entry, now: Now) -> bool:
        """Take the next entry; False: it is not the one after the last."""
        if entry.previous != (self.heard[-1][0].nonce if self.heard else ""):
            return False
        if isinstance(entry.body, Gap | Poisoned):
            self._keep_past()
        self.heard.append((entry, now.monotonic_ms))
        return True

    def is_end(self, last: Entry | None) -> bool:
        """Whether a stream that has nothing above the watermark may end like this."""
        return last == self.heard[-1][0] if self.heard and last else not self.heard

    def lose(self) -> None:
        self._keep_past()
        self.lost = max(self.lost, self.watermark + 1)
        self.begin(None, Now(0, 0))

    def restart(self) -> None:
        """As a cache that is closed and started again."""
        self._keep_past()
        self.lost = 0
        self.begin(None, Now(0, 0))

    @property
    def watermark(self) -> int:
        return self.heard[-1][0].stamp if self.heard else 0

    @property
    def horizon(self) -> int:
        if not self.heard:
            return NEVER
        oldest = self.heard[0][0].stamp
        # The first of a history is linked to nothing; below it, if anything, is what someone wrote by hand.
        begins = [entry.stamp for entry, _ in self.heard if not entry.previous]
        gaps = [entry for entry, _ in self.heard if isinstance(entry.body, Gap | Poisoned)]
        horizon = max(gaps[-1].stamp if gaps else oldest, self.lost, *begins)
        if gaps and isinstance(gaps[-1].body, Gap) and gaps[-1].stamp >= self.lost and self.is_covered:
            replays = [body for stamp, body in self._bodies() if isinstance(body, Replayed) and stamp > gaps[-1].stamp]
            since = min(((body.since_ms + SLACK_MS) * SEQUENCES for body in replays), default=horizon)
            bare = [entry.stamp for entry, _ in self.heard if not (entry.previous or isinstance(entry.body, Gap))]
            horizon = min(horizon, max(since, oldest if self.ends_in_hole else 0, *bare))
        return horizon

    def verdict(self, key: str, fill_stamp: int, now: Now) -> Verdict:
        if self._is_superseded(key, fill_stamp, now):
            return Verdict.STALE
        lag_ms = self._lag_ms(now)
        is_lagging = lag_ms is None or lag_ms > self.max_lag_ms
        return Verdict.FRESH if self._knows(key, fill_stamp) and not is_lagging else Verdict.UNKNOWN

    def proven_ago_ms(self, key: str, fill_stamp: int, now: Now) -> int | None:
        """Return how long ago a value that is not STALE was proven current; None: it never was."""
        lags = ((one._lag_ms(now), one) for one in (self, *self.pasts))
        aged = sorted(((lag_ms, one) for lag_ms, one in lags if lag_ms is not None), key=lambda pair: pair[0])
        return next((lag_ms for lag_ms, one in aged if one._proves(key, fill_stamp, now)), None)

    def is_pending(self, key: str) -> bool:
        """Or may turn out so: only bumps have named it so far."""
        words = self._words(key)
        return words[-1] if words else not self.is_covered and bool(self._stamps(key))

    def fill_stamp(self, key: str) -> int:
        is_decided = self.is_covered or self._words(key)
        return self.watermark if is_decided else max(self._stamps(key), default=0)

    def last_word(self, key: str) -> int:
        """Return the stamp of the last entry that says of the key whether the replicas have it."""
        named = (
            stamp for stamp, body in self._bodies() if isinstance(body, Change) and key in body.keys and speaks(body)
        )
        return max(named, default=0)

    def _bodies(self) -> Iterator[tuple[int, ReadBody]]:
        return ((entry.stamp, entry.body) for entry, _ in self.heard)

    def _stamps(self, key: str) -> list[int]:
        return [stamp for stamp, body in self._bodies() if isinstance(body, Change) and key in body.keys]

    def _words(self, key: str) -> list[bool]:
        """Whether it is pending by each entry that says anything of the replicas."""
        changes = (body for _, body in self._bodies() if isinstance(body, Change) and key in body.keys)
        return [body.pending for body in changes if speaks(body)]

    def _generations(self, key: str) -> list[tuple[int, Generation]]:
        namespace = key.partition(":")[0]
        return [
            (at, body) for at, body in self._bodies() if isinstance(body, Generation) and namespace in body.namespaces
        ]

    def _is_superseded(self, key: str, fill_stamp: int, now: Now) -> bool:
        now_ms = max([now.ms, *(beat.read_ms for beat, _ in self._beats()[-1:])])
        moments = (
            body.start_ms + body.spread_ms * crc32(key.encode()) // 2**32
            for stamp, body in self._generations(key)
            if fill_stamp < stamp
        )
        return any(fill_stamp < stamp for stamp in self._stamps(key)) or any(now_ms >= moment for moment in moments)

    def _is_doubtful(self, key: str, fill_stamp: int) -> bool:
        words = [body.pending for stamp, body in self._generations(key) if stamp <= fill_stamp and speaks(body)]
        return bool(words) and words[-1]

    def _pending_gap(self) -> int:
        """Return its stamp; ``NEVER`` for none."""
        pending, gtid = NEVER, ""
        for stamp, body in self._bodies():
            if isinstance(body, Gap) and body.pending:
                pending, gtid = stamp, body.gtid or ("" if pending == NEVER else gtid)
            elif (isinstance(body, Gap) and (body.gtid or not gtid)) or (isinstance(body, Replayed) and body.settled):
                pending = NEVER
        return pending

    def _knows(self, key: str, fill_stamp: int) -> bool:
        is_near = self.horizon <= fill_stamp <= self.watermark + FUTURE_MS * SEQUENCES
        is_sure = fill_stamp < self._pending_gap() and not self._is_doubtful(key, fill_stamp)
        return self.is_covered and is_near and is_sure

    def _proves(self, key: str, fill_stamp: int, now: Now) -> bool:
        return self._knows(key, fill_stamp) and not self._is_superseded(key, fill_stamp, now)

    def _beats(self) -> list[tuple[Heartbeat, int]]:
        return [(entry.body, came_ms) for entry, came_ms in self.heard if isinstance(entry.body, Heartbeat)]

    def _lag_ms(self, now: Now) -> int | None:
        beats = self._beats()
        if not beats:
            return None
        beat, came_ms = beats[-1]
        return max(now.ms - beat.read_ms, now.monotonic_ms - came_ms, 0)

    def _keep_past(self) -> None:
        past = Naive(self.window_ms, self.max_lag_ms)
        past.heard, past.is_covered, past.ends_in_hole, past.lost = (
            list(self.heard),
            self.is_covered,
            self.ends_in_hole,
            self.lost,
        )
        self.pasts.append(past)


def speaks(body: Change | Generation) -> bool:
    return bool(body.gtid) or body.pending or body.settled
