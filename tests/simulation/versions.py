"""The version keys of stream B (P12), as append.lua keeps them, and how a client without a follower judges by them."""

from copy import copy
from dataclasses import dataclass, field

from tests.simulation import limits
from versioning import stamp as stamps
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, Replayed
from versioning.generations import Aging
from versioning.liveness import Now
from versioning.pending import PendingGap
from versioning.verdict import Verdict


@dataclass
class VersionKeys:
    by_key: dict[str, int] = field(default_factory=dict)
    generations: dict[str, tuple[Aging, ...]] = field(default_factory=dict)
    beat_ms: int = 0
    gap: PendingGap = field(default_factory=PendingGap)

    def take(self, entries: list[Entry]) -> None:
        for entry in entries:
            match entry.body:
                case Change(keys=keys):
                    self.by_key.update(dict.fromkeys(keys, entry.stamp))
                case Generation() as body:
                    aging = Aging(entry.stamp, body.start_ms, body.spread_ms)
                    for namespace in body.namespaces:
                        self.generations[namespace] = (*self.generations.get(namespace, ()), aging)
                case Heartbeat() as body:
                    self.beat_ms = body.read_ms
                case Gap() | Replayed() as body:
                    self.gap.newer(entry.stamp, body)

    def copy(self) -> "VersionKeys":
        return VersionKeys(dict(self.by_key), dict(self.generations), self.beat_ms, copy(self.gap))

    def judge(self, key: str, fill_stamp: int, since: int | None, now: Now) -> tuple[Verdict, int | None]:
        """As ``Index.judge``. ``since``: from which stamp on they are complete; None for no such key."""
        oldest = stamps.make(now.ms - limits.WINDOW_MS)  # What is older has expired.
        agings = self.generations.get(key.partition(":")[0], ())
        if fill_stamp < self.by_key.get(key, 0) >= oldest:
            return Verdict.STALE, None
        if any(aging.stamp >= oldest and aging.ages_out(key, fill_stamp, now.ms) for aging in agings):
            return Verdict.STALE, None
        if since is None or self.gap.stamp or fill_stamp < since:
            return Verdict.UNKNOWN, None
        lag_ms = now.ms - self.beat_ms
        return Verdict.UNKNOWN if lag_ms > limits.CACHE.max_lag_ms else Verdict.FRESH, lag_ms
