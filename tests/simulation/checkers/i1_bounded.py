"""I1: every value served reflects every commit that all replicas had applied one promise before the read began.

A replica's lag is the data's own, so what counts is the lowest commit that any replica was at since then. Besides what
was read, it is asked once a second what would be served of all that might have been loaded.
"""

from replicator.mirror.gate import LATELY_MS
from tests.simulation import limits
from tests.simulation.checkers.base import Checker
from tests.simulation.fills import Fill, judges
from tests.simulation.history import ReadDone
from tests.simulation.process import BASE_MS
from versioning.read import Tier
from versioning.reading import may_serve
from versioning.verdict import Verdict

CALM_BOUND_S = 1.5
"""Without a fault: the delay of the whole pipeline, a wait at the gate included."""
SPREAD_S = (limits.GENERATION_SPREAD_MS + limits.CLOCK_ERROR_MS) / 1000
"""A generation takes that long to reach its last key, by intent (P9)."""

FRESH_BOUND_S = (limits.CACHE.max_lag_ms + LATELY_MS + limits.GENERATION_SPREAD_MS + 2 * limits.CLOCK_ERROR_MS) / 1000
"""What is said to be FRESH: the lag tolerated, the age of the gate's last answer, a spread, clocks."""

WOULD_BE = "if loaded"
"""The tier of what might have been loaded."""

START_S = 4.0
"""Until then everything starts for the first time."""


class Bounded(Checker):
    name = "I1"

    def scan(self) -> None:
        """Ask everybody for what might have been loaded; most of it is right, and not asked for."""
        world = self.world
        floors = world.history.floor_since(world.loop.time() - CALM_BOUND_S)
        outdated = [held for held in world.fills.held() if held[0].value < self._value(held[0].key, floors)]
        if outdated:
            for name, index, now in judges(world):
                for fill, age_ms in outdated:
                    self._ask(name, index.judge(fill.key, fill.fill_stamp, now), fill, age_ms)
        if not world.stream_b.is_away:
            for fill, age_ms in outdated:
                self._ask("a client of version keys", world.stream_b.judge(fill.key, fill.fill_stamp), fill, age_ms)

    def _ask(self, name: str, judged: tuple[Verdict, int | None], fill: Fill, age_ms: int) -> None:
        verdict, proven_ago_ms = judged
        if may_serve(fill.key, verdict, age_ms, proven_ago_ms, limits.CACHE.degraded_ttl_ms):
            now_s = self.world.loop.time()
            self.on_read(ReadDone(name, fill.key, now_s, now_s, fill.value, WOULD_BE, verdict.value, fill.fill_stamp))

    def on_read(self, done: ReadDone) -> None:
        world = self.world
        bound_s = self._bound_s(done)
        wanted = self._value(done.key, world.history.floor_since(done.asked_s - bound_s))
        if done.value < wanted:
            self.violate(
                f"{done.reader} read {done.key} = {done.value} ({done.tier}, {done.verdict}), "
                f"but {wanted} was everywhere {bound_s} s before"
            )

    def _value(self, key: str, floors: tuple[int, ...]) -> int:
        return self.world.primary.value_at(key, floors[self.world.domain_of(key)])

    def _bound_s(self, done: ReadDone) -> float:
        if self.world.is_calm and done.asked_s > START_S:
            return CALM_BOUND_S + SPREAD_S * bool(self.world.history.agings)
        if done.verdict == Verdict.FRESH.value and done.tier != Tier.STALE.value and not self._is_spreading(done):
            return FRESH_BOUND_S
        return limits.PROMISE_MS / 1000

    def _is_spreading(self, done: ReadDone) -> bool:
        """A generation that had to wait for a link spreads from its append on, not from its commit: no storm (P9)."""
        now_ms = BASE_MS + done.asked_s * 1000
        return any(
            done.key.partition(":")[0] in body.namespaces
            and now_ms <= body.start_ms + body.spread_ms + limits.CLOCK_ERROR_MS
            for _, body in self.world.history.agings
        )
