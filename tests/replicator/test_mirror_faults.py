"""Faults in random order, then peace: nothing is lost, stamps only grow, nothing stays pending (I3, I4)."""

import asyncio
import random

import pytest

from replicator.mirror.options import MirrorOptions
from tests.replicator.mirror_world import MirrorWorld, RunningMirror, ScriptedGate
from versioning.entries import Change, Gap, Generation
from versioning.stamp import ms_of

OPTIONS = MirrorOptions(gate_limit_ms=40, heartbeat_ms=10, window_ms=600_000, silence_ms=500, check_ms=30)
STEPS = 60


class Story:
    """One primary, one replica, two mirrors, and what happens to them. Its seed tells it again."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = MirrorWorld()
        self.gate = ScriptedGate(applied="0-1-0")
        self.committed = 0
        self.highest = 0
        self.lost_below = 0
        self.kept: frozenset[int] = frozenset()
        self.running: list[RunningMirror] = []

    async def run(self) -> None:
        await self.world.write(Gap("start", "0-1-0"))
        self.running = [self.start(), self.start()]
        acts = [self.commit] * 8 + [self.apply] * 4 + [self.beat] * 4
        acts += [self.kill, self.lose_target, self.flush_target, self.lose_origin, self.flush_origin, self.rewind]
        for _ in range(STEPS):
            await self.random.choice(acts)()
            await asyncio.sleep(self.random.choice((0, 0, 0.001, 0.01)))
            await self.look()
        await self.make_peace()

    def start(self) -> RunningMirror:
        return self.world.start(self.gate, options=OPTIONS)

    async def look(self) -> None:
        """Stamps that were seen once are never handed out again, whatever was lost."""
        stamps = [entry.stamp for entry in await self.world.entries()]
        # To the ms: here a failover takes no time, and two losses in one ms are led away from to the same ms.
        assert all(ms_of(stamp) >= ms_of(self.lost_below) or stamp in self.kept for stamp in stamps)
        self.highest = max([self.highest, *stamps])

    async def lose(self) -> None:
        """Whatever is in the target now was kept; the rest of what was seen is gone for ever."""
        self.lost_below = self.highest
        self.kept = frozenset(entry.stamp for entry in await self.world.entries())

    async def commit(self) -> None:
        """One transaction."""
        self.committed += 1
        await self.world.change(self.committed)

    async def apply(self) -> None:
        self.gate.apply(f"0-1-{self.committed}")

    async def beat(self) -> None:
        await self.world.beat(f"0-1-{self.committed}")

    async def rewind(self) -> None:
        self.gate.apply(f"0-1-{self.random.randint(0, self.committed)}")

    async def kill(self) -> None:
        victim = self.random.randrange(2)
        await self.running[victim].kill()
        self.running[victim] = self.start()

    async def lose_target(self) -> None:
        snapshot = self.world.target.snapshot()
        for _ in range(3):
            await self.commit()
            await asyncio.sleep(0.005)
        await self.look()
        self.world.fail_over(snapshot)
        await self.lose()

    async def flush_target(self) -> None:
        await self.look()
        self.world.target.flush()
        await self.lose()

    async def lose_origin(self) -> None:
        snapshot, before = self.world.origin.snapshot(), self.committed
        for _ in range(3):
            await self.commit()
            await asyncio.sleep(0.005)
        self.world.origin.restore(snapshot)
        for number in range(before + 1, self.committed + 1):
            await self.world.change(number)

    async def flush_origin(self) -> None:
        """The source replays what the binlog has."""
        self.world.origin.flush()
        await self.world.write(Gap("flushed", f"0-1-{self.committed}"))
        for number in range(1, self.committed + 1):
            await self.world.change(number)

    async def make_peace(self) -> None:
        await self.commit()
        last = f"t:{self.committed}"
        await self.apply()
        await self.beat()
        everything = {f"t:{number}" for number in range(1, self.committed + 1)}
        await self.world.until(lambda view: last in view.keys and everything <= set(view.keys), "lost")
        await self.world.until(lambda view: all(mirror.stats.pending == 0 for mirror in self.running), "pending")
        view = await self.world.until(lambda view: True)
        stamps = [entry.stamp for entry in view.entries]
        assert stamps == sorted(set(stamps))
        for key in everything:
            said = [b for b in view.changes if key in b.keys and not isinstance(b, Generation)]
            assert isinstance(said[-1], Change)
            assert not said[-1].pending


@pytest.mark.parametrize("seed", range(12))
async def test_after_any_faults_everything_is_there_and_nothing_is_pending(seed: int) -> None:
    story = Story(seed)
    try:
        await story.run()
    finally:
        await story.world.close()
