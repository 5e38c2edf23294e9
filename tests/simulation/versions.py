"""The version keys of stream B (P12), as append.lua keeps them, and how a client without a follower judges by them."""

from copy import copy
from dataclasses import dataclass, field

from tests.simulation import limits
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Replayed
from versioning.generations import Aging, Generations
from versioning.liveness import Now
from versioning.pending import PendingGap, word_of
from versioning.verdict import Verdict


@dataclass
class VersionKeys:
    by_key: dict[str, int] = field(default_factory=dict)
    pending: set[str] = field(default_factory=set)
    """The keys marked so."""
    generations: Generations = field(default_factory=Generations)
    beat_ms: int = 0
    last: int = stamps.ZERO
    gap: PendingGap = field(default_factory=PendingGap)

    def take(self, entries: list[Entry]) -> None:
        for entry in entries:
            self.last = entry.stamp
            match entry.body:
                case Change() as body:
                    self._mark(body, _oldest(stamps.ms_of(entry.stamp)))
                    self.by_key.update(dict.fromkeys(body.keys, entry.stamp))
                case Generation() as body:
                    aging = Aging(entry.stamp, body.start_ms, body.spread_ms, word_of(body))
                    for namespace in body.namespaces:
                        self.generations.add(namespace, aging)
                case Heartbeat() as body:
                    self.beat_ms = body.read_ms
                case Gap() | Replayed() as body:
                    self.gap.newer(entry.stamp, body)

    def _mark(self, body: Change, oldest: int) -> None:
        word = word_of(body)
        if word:
            self.pending.update(body.keys)
        else:
            over = (key for key in body.keys if word is not None or self.by_key.get(key, 0) < oldest)
            self.pending.difference_update(over)

    def copy(self) -> "VersionKeys":
        generations = self.generations.copy()
        return VersionKeys(dict(self.by_key), set(self.pending), generations, self.beat_ms, self.last, copy(self.gap))

    def is_key_pending(self, key: str, now_ms: int) -> bool:
        """Whether a value of this key whose load begins now is provisional."""
        return key in self.pending and self.by_key[key] >= _oldest(now_ms)

    def judge(self, key: str, fill_stamp: int, since: int | None, now: Now) -> tuple[Verdict, int | None]:
        """As ``Index.judge``. ``since``: from which stamp on they are complete; None for no such key."""
        generations = self.generations
        if fill_stamp < self.by_key.get(key, 0) >= _oldest(now.ms) or generations.is_stale(key, fill_stamp, now.ms):
            return Verdict.STALE, None
        if since is None or self.gap.stamp or fill_stamp < since or generations.doubts(key, fill_stamp):
            return Verdict.UNKNOWN, None
        lag_ms = now.ms - self.beat_ms
        return Verdict.UNKNOWN if lag_ms > limits.CACHE.max_lag_ms else Verdict.FRESH, lag_ms


def _oldest(now_ms: int) -> int:
    """Return the stamp below which version keys have expired."""
    return stamps.make(now_ms - limits.WINDOW_MS)
