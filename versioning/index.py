"""The index: a follower's memory of which key changed when, and the one place where a verdict is made.

Proofs before doubts: STALE needs only one newer stamp; FRESH needs that nothing can be missing - the fill stamp is at
or above the horizon, and the follower is not lagging at this very read.

One thread writes, any number read without a lock: horizon, ceiling and lag first, then stamps, then generations, what
they doubt before what they have aged out, then horizon and ceiling again. So every write leaves the index, between any
two bytecodes, in a state that can only say less (UNKNOWN, STALE) than the truth to who reads in that order. The first
look is for a reader that stands still while much is read: what has superseded its value came in behind its look at the
stamps, and the horizon or the heartbeat that vouches for that too. The second is for what is forgotten meanwhile; where
that was all of it, and the next history is there already, only the count of ``losses`` tells.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Poisoned, Replayed
from versioning.generations import Aging, Generations
from versioning.header import PlainHead
from versioning.keys import namespace_of
from versioning.limits import FUTURE_MS, MAX_LAG_MS, REPLAY_SLACK_MS, WINDOW_MS
from versioning.liveness import Liveness, Now
from versioning.past import PAST_MIN_MS, Past, Pasts
from versioning.pending import Pending, PendingGap, word_of
from versioning.verdict import Verdict

SWEEP_KEYS: Final = 2_000
"""Keys looked at for expiry per entry applied: a sweep costs microseconds at a time, never one long pause."""

_FUTURE: Final = FUTURE_MS << stamps.SEQUENCE_BITS


class Index:
    def __init__(self, *, window_ms: int = WINDOW_MS, max_lag_ms: int = MAX_LAG_MS) -> None:
        self.window_ms = window_ms
        self.liveness = Liveness(max_lag_ms)
        self.watermark = stamps.ZERO
        self.ceiling = stamps.ZERO
        """A fill stamp above it is not believed: far beyond the watermark, or above a gap that is pending or may be."""
        self.horizon = stamps.STAMP_MAX
        self.losses = 0
        """How often all was forgotten. Of a look during which it has changed each part may be of another history."""
        self.drops = 0
        """How often anything was forgotten, counted before it is. If a look finds it unchanged, "no stamp" was true."""
        self.stamps: dict[str, int] = {}
        """Key to the stamp of its last entry. The same dict for the life of the index, as are the generations."""
        self.generations = Generations()
        self._pending = Pending()
        self._pending_namespaces = Pending()
        self._pending_gap = PendingGap()
        self._pasts = Pasts()
        self._sweep: list[str] = []
        self._next_sweep = stamps.ZERO

    def __len__(self) -> int:
        return len(self.stamps)

    @property
    def keys(self) -> Iterable[str]:
        """Those that changed within the window. To copy them at once, take ``list``: the follower goes on writing."""
        return self.stamps.keys()

    @property
    def known_since(self) -> int | None:
        """The horizon; None where no history is known (yet)."""
        horizon = self.horizon
        return horizon if horizon <= self.watermark else None

    @property
    def is_gap_pending(self) -> bool:
        return bool(self._pending_gap.stamp)

    @property
    def pending_count(self) -> int:
        """Keys and namespaces; a gap counts as one."""
        return len(self._pending.names) + len(self._pending_namespaces.names) + self.is_gap_pending

    @property
    def may_be_pending(self) -> bool:
        """Whether a key or namespace is pending, or may turn out so. If not, every ``fill_stamp`` is the watermark."""
        return self._pending.is_covering or bool(self._pending.names or self._pending_namespaces.names)

    def verdict(self, key: str, fill_stamp: int, now: Now) -> Verdict:
        """Return how a value of this fill stamp compares with what is known of its key at this moment (P6)."""
        losses = self.losses
        may_vouch = not self.is_lagging(now) and self._knows(key, fill_stamp)
        if fill_stamp < self.stamps.get(key, 0):
            return Verdict.STALE
        if self.generations and self.generations.is_stale(key, fill_stamp, self.liveness.unix_ms(now.ms)):
            return Verdict.STALE
        is_known = self.horizon <= fill_stamp <= self.ceiling and losses == self.losses
        return Verdict.FRESH if may_vouch and is_known else Verdict.UNKNOWN

    def _knows(self, key: str, fill_stamp: int) -> bool:
        """Whether all that may supersede a value is known, up to the last heartbeat."""
        if self.generations and self.generations.doubts(key, fill_stamp):
            return False
        return self.horizon <= fill_stamp <= self.ceiling

    def was_fresh(self, key: str, fill_stamp: int, since: int, now: Now) -> bool:
        """Whether a value that is STALE is so by entries above the stamp ``since`` only: up to there it is current."""
        return fill_stamp >= since and not self.is_lagging(now) and self._knows(key, fill_stamp)

    def judge(self, key: str, fill_stamp: int, now: Now) -> tuple[Verdict, int | None]:
        """Return the verdict, and how long ago (ms) the value was last proven current; None: it never was.

        Every change up to the last heartbeat is known, whatever the lag. So a value that is not STALE and not below the
        horizon lacks none of them; nor did one that a gap, or the loss of the history, has put below it since.
        """
        # First: in front of what comes meanwhile may be changes that were looked for too early.
        losses, lag_ms = self.losses, self.liveness.lag_ms(now)
        is_known = self._knows(key, fill_stamp)
        verdict = self.verdict(key, fill_stamp, now)
        if verdict is Verdict.STALE:
            return verdict, None
        own_ago_ms = lag_ms if is_known and self._knows(key, fill_stamp) and losses == self.losses else None
        if verdict is Verdict.FRESH:
            return verdict, own_ago_ms
        # A past may have proven it later than a history that is still being copied, old heartbeats and all.
        known = own_ago_ms, self._pasts.proven_ago_ms(key, fill_stamp, now)
        return verdict, min((ago_ms for ago_ms in known if ago_ms is not None), default=None)

    def fresh(self, heads: Mapping[str, PlainHead], now: Now) -> list[str]:
        """Return the keys whose verdict is FRESH: ``verdict`` for many, in the same order of looking."""
        stamp_of, generations = self.stamps.get, self.generations
        losses, horizon, ceiling = self.losses, self.horizon, self.ceiling
        if self.is_lagging(now):
            return []
        current = [key for key, head in heads.items() if head[0] >= stamp_of(key, 0)]
        if generations:
            now_ms = self.liveness.unix_ms(now.ms)
            current = [key for key in current if generations.vouches(key, heads[key][0], now_ms)]
        horizon, ceiling = max(horizon, self.horizon), min(ceiling, self.ceiling)
        if losses != self.losses:
            return []
        return [key for key in current if horizon <= heads[key][0] <= ceiling]

    def is_lagging(self, now: Now) -> bool:
        return self.liveness.is_lagging(now)

    def last_stamp(self, key: str) -> int:
        """Return the stamp of the last entry that names the key or its namespace; ``stamp.ZERO`` for none."""
        stamp = self.stamps.get(key, 0)
        return max(stamp, self.generations.last_stamp(namespace_of(key))) if self.generations.by_namespace else stamp

    def last_stamps(self, keys: Sequence[str]) -> list[int]:
        """Return ``last_stamp`` of each."""
        found = [self.stamps.get(key, 0) for key in keys]
        if self.generations.by_namespace:
            aged = (self.generations.last_stamp(namespace_of(key)) for key in keys)
            return list(map(max, found, aged))
        return found

    def is_key_pending(self, key: str) -> bool:
        """Whether some replica may lack its last change; of what only a bump has named so far, nothing is known yet."""
        return key in self._pending.names or key in self._pending.silent

    def is_pending(self, key: str) -> bool:
        """The same, or of its namespace."""
        namespaces = self._pending_namespaces.names
        return self.is_key_pending(key) or (bool(namespaces) and namespace_of(key) in namespaces)

    def fill_stamp(self, key: str) -> int:
        """Return the stamp for a value of this key whose load begins now. Ask for it before ``is_key_pending``.

        The watermark; but while the window is covered, an entry further back may say that the key is pending. Then, if
        nothing read so far has decided it, no more than is known of the key itself (a bump of its namespace says
        nothing of replicas): ``stamp.ZERO`` mostly, and the value is never vouched for.
        """
        watermark = self.watermark
        is_decided = not self._pending.is_covering or (key in self.stamps and key not in self._pending.silent)
        return watermark if is_decided else self.stamps.get(key, stamps.ZERO)

    def reach(self, stamp: int) -> None:
        """Move the watermark."""
        self.watermark = stamp
        self._set_ceiling()

    def _set_ceiling(self) -> None:
        """Set the ceiling: as long as a gap is pending, nothing that was loaded since is vouched for.

        While the window is covered, a gap or a generation further back may say so: then nothing is.
        """
        gap = self._pending_gap.stamp
        if self._pending.is_covering:
            self.ceiling = stamps.ZERO
        else:
            self.ceiling = gap - 1 if gap else self.watermark + _FUTURE

    def apply(self, entry: Entry, now: Now) -> None:
        """Take in the next entry of the stream. The caller has proven that it is the next one (``follow``)."""
        body = entry.body
        match body:
            case Change():
                self._pending.newer(body.keys, body, self.stamps)
                for key in body.keys:
                    self.stamps[key] = entry.stamp
            case Heartbeat():
                self.liveness.beat(body.read_ms, body.applied_ms, now)
                self._pasts.drop_over(now)
            case Generation():
                self._pending_namespaces.newer(body.namespaces, body, self.generations.by_namespace)
                self._add_generation(entry.stamp, body)
            case Gap():
                self._keep_past()
                self._pending_gap.newer(entry.stamp, body)
                self.horizon = max(self.horizon, entry.stamp)
            case Replayed():
                self._pending_gap.newer(entry.stamp, body)
            case Poisoned():
                self._keep_past()
                self.horizon = max(self.horizon, entry.stamp)
        self.reach(entry.stamp)
        self._prune(now)

    def _add_generation(self, stamp: int, body: Generation) -> None:
        for namespace in body.namespaces:
            self.generations.add(namespace, Aging(stamp, body.start_ms, body.spread_ms, word_of(body)))

    def begin_covering(self) -> None:
        """From here to ``end_covering``, older entries may come too, newest first."""
        self._pending.begin_covering()
        self._pending_namespaces.begin_covering()
        self._pending_gap.begin_covering()

    def end_covering(self) -> None:
        self._pending.end_covering()
        self._pending_namespaces.end_covering()
        self._set_ceiling()
        # A sweep that began before does not know what has come since, and the next one would be far.
        self._next_sweep = stamps.ZERO

    def apply_older(self, entry: Entry, now: Now) -> None:
        """Take in the entry just below all that is known, while covering the window backwards."""
        body = entry.body
        match body:
            case Change():
                # A replicated change that is not pending says nothing new of the replicas: it is the rule.
                if body.pending or not body.gtid or self._pending.silent:
                    self._pending.older(body.keys, body, self.stamps)
                for key in body.keys:
                    self.stamps.setdefault(key, entry.stamp)
            case Generation():
                self._pending_namespaces.older(body.namespaces, body, self.generations.by_namespace)
                self._add_generation(entry.stamp, body)
            case Gap() | Replayed():
                self._pending_gap.older(entry.stamp, body)
            case Heartbeat() if not self.liveness.read_ms:
                self.liveness.beat(body.read_ms, body.applied_ms, now)

    def _keep_past(self) -> None:
        """Call it before the horizon rises."""
        if self.watermark - self.horizon < PAST_MIN_MS << stamps.SEQUENCE_BITS:
            return
        self._pasts.keep(Past(self.stamps, self.generations, self.horizon, self.ceiling, self.liveness))

    def forget(self) -> None:
        """Know nothing any more: every verdict is UNKNOWN until a new history is read."""
        self._keep_past()
        self.horizon = stamps.STAMP_MAX
        # Behind the horizon and in front of the rest: who has believed that, and looks at any of this, sees it change.
        self.losses += 1
        self.drops += 1
        self._pending_gap.forget(stamps.STAMP_MAX)
        self.reach(stamps.ZERO)
        self.stamps.clear()
        self.generations.clear()
        self._pending.clear()
        self._pending_namespaces.clear()
        # Else what is below a replay would be vouched for while the changes that were replayed are still to come.
        self.liveness.forget()
        self._sweep = []
        # The next history may begin below this one, by a clock that was put back.
        self._next_sweep = stamps.ZERO

    def _prune(self, now: Now) -> None:
        oldest = self.watermark - (self.window_ms << stamps.SEQUENCE_BITS)
        if not self._sweep and self.watermark >= self._next_sweep:
            self._sweep = list(self.stamps)
            self._next_sweep = self.watermark + (self.window_ms << stamps.SEQUENCE_BITS) // 8
            if self.generations.reaches_below(oldest):
                self._begin_drop(oldest)
            # By the clock that is behind: one that is ahead may be put right, and nothing has come to its moment then.
            self.generations.prune(oldest, min(now.ms, self.liveness.read_ms))
            # What was not said again for a window nobody waits for any more; of keys likewise, below.
            self._pending_gap.forget(oldest)
            for namespace in self._pending_namespaces.names - self.generations.by_namespace.keys():
                self._pending_namespaces.forget(namespace)
            self._set_ceiling()
        for _ in range(min(SWEEP_KEYS, len(self._sweep))):
            key = self._sweep.pop()
            if self.stamps[key] < oldest:
                self._begin_drop(oldest)
                del self.stamps[key]
                self._pending.forget(key)

    def _begin_drop(self, below: int) -> None:
        """Call it before anything below that is forgotten: no reader must take "no stamp" for "no change"."""
        self.horizon = max(self.horizon, below)
        self.drops += 1  # Behind the horizon: whoever begins a look between the two finds it raised.


def replay_horizon(body: Replayed) -> int:
    """Horizon a replay earns: a value filled at f may lack commits back to f minus the replica's lag then (P3)."""
    return stamps.make(min(body.since_ms + REPLAY_SLACK_MS, stamps.MS_MAX))
