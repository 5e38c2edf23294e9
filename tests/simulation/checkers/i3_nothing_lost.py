"""I3: after the faults every commit of the window has a stamp in stream B, or lies below the horizon there."""

from functools import reduce

from replicator.mirror.words import is_unapplied
from replicator.position import MariaDbPosition
from tests.simulation.checkers.base import Checker
from tests.simulation.primary import Commit
from tests.simulation.process import BASE_MS
from versioning import stamp as stamps
from versioning.entries import Change, Gap, Generation
from versioning.follow import Follow
from versioning.index import Index
from versioning.liveness import Now

LOOKED_BACK_S = 44.0
"""A little less than the window: nothing of it is trimmed yet."""


class NothingLost(Checker):
    name = "I3"

    def settled(self) -> None:
        world = self.world
        last: dict[str, int] = {}
        for entry in world.stream_b.store.entries:
            match entry.body:
                case Change(keys=names, gtid=gtid) if number := world.history.number_of(gtid):
                    last.update(dict.fromkeys(names, number))
                case Generation(namespaces=names, gtid=gtid) if number := world.history.number_of(gtid):
                    last.update(dict.fromkeys((f"{name}:" for name in names), number))
        horizon = self._horizon()
        unvouched = self._before(horizon)
        for commit in world.primary.commits:
            if commit.at_s < world.loop.time() - LOOKED_BACK_S or unvouched.includes(commit.gtid):
                continue
            names = tuple(f"{name}:" for name in commit.namespaces) or commit.keys
            for name in names:
                if last.get(name, 0) < commit.number and not self._is_below(horizon, commit):
                    self.violate(f"commit {commit.number} of {commit.at_s:.3f} s has no stamp for {name} in stream B")

    def _is_below(self, horizon: int, commit: Commit) -> bool:
        """Whether no value without the commit is vouched for: all are older than the horizon."""
        if BASE_MS + commit.at_s * 1000 < stamps.ms_of(horizon):
            return True
        # The stamp it once had, trimmed since; a horizon above that is enough, whatever the clocks said.
        return any(stamp < horizon for stamp in self.world.history.stamps_of(commit.number))

    def _before(self, horizon: int) -> MariaDbPosition:
        """Return what all replicas had applied when a gap at or below the horizon entered.

        Values loaded later have it, and those loaded before are vouched for by nobody.
        """
        entries = self.world.stream_b.store.entries
        gaps = (entry.body for entry in entries if entry.stamp <= horizon and isinstance(entry.body, Gap))
        parts = (part for body in gaps if not is_unapplied(body) for part in body.gtid.split(",") if part)
        return reduce(MariaDbPosition.after, parts, MariaDbPosition())

    def _horizon(self) -> int:
        world = self.world
        now = Now(world.stream_b.now_ms(), 0)
        follow = Follow(Index(window_ms=10 * 60_000))
        follow.begin(world.stream_b.store.entries[::-1], now)
        return follow.index.horizon
