"""Readers of every ToC: each read is timed, counted and judged."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from deploy.simulation.chaos.observer import Observer
from deploy.simulation.chaos.writers import ROWS, Pace
from deploy.simulation.configs import TOCS
from deploy.simulation.http import Client
from deploy.simulation.pace import pick_by_rank, ticks
from deploy.simulation.staleness import Audit
from deploy.simulation.world import World

READERS = 6
"""Per ToC. One that waits for its answer reads nothing meanwhile."""

HTTP_OK = 200
SIGNIFICANT_DIGITS = 2


@dataclass
class Meter:
    """What the reads of one ToC came to; a few numbers, whatever their count."""

    whole: Audit
    """Staleness as a user sees it."""
    own: Audit
    """The cache's part of it: what the replica does not account for."""
    stalest: str = ""
    """The read that was stalest by the cache's fault, and how it was served."""
    errors: int = 0
    latencies_ms: Counter[float] = field(default_factory=Counter)
    """Rounded to two digits, so their number is bounded."""

    @property
    def reads(self) -> int:
        return self.whole.reads + self.errors

    def percentile_ms(self, share: float) -> float:
        rank = share * sum(self.latencies_ms.values())
        for latency_ms in sorted(self.latencies_ms):
            rank -= self.latencies_ms[latency_ms]
            if rank <= 0:
                return latency_ms
        return 0.0


class Readers:
    def __init__(self, world: World, observer: Observer, bound_s: float, seed: int = 1) -> None:
        self._world = world
        self._observer = observer
        self._bound_s = bound_s
        self._chance = random.Random(seed)
        self.reset()

    def reset(self) -> None:
        """Begin to count: what was before was the way to a steady state."""
        self.meters = {name: Meter(Audit(self._bound_s), Audit(self._bound_s)) for name in TOCS}
        self.reads_of: Counter[int] = Counter()

    async def run(self, pace: Pace) -> None:
        """Read until cancelled."""
        pick = pick_by_rank(range(1, ROWS + 1), self._chance, pace.hot_share)

        async def read_on(name: str) -> None:
            async with Client(self._world.http_ports[name]) as client:
                async for _ in ticks(pace.reads_per_s / READERS, float("inf")):
                    await self._read(client, name, pick())

        async with asyncio.TaskGroup() as tasks:
            for name in TOCS:
                for _ in range(READERS):
                    tasks.create_task(read_on(name))

    async def unconverged(self, name: str, rows: Iterable[int]) -> set[int]:
        """Read these rows once; return those of which the ToC does not return the database's value."""
        async with Client(self._world.http_ports[name]) as client:
            return {row for row in rows if await self._read(client, name, row) != self._observer.commits.version(row)}

    async def _read(self, client: Client, name: str, row: int) -> int:
        """Return the version seen, -1 for an error."""
        sent_s = time.time()
        self.reads_of[row] += 1
        try:
            answer = await client.get(f"/trackers/{row}")
        except OSError:
            self._count(name, sent_s, is_error=True)
            return -1
        meter = self._count(name, sent_s, is_error=answer.status != HTTP_OK)
        if answer.status != HTTP_OK:
            return -1
        version = int(answer.json()["extra"]["version"])
        whole, own = self._observer.judge(row, version, sent_s, time.time())
        if own.certain_s > meter.own.certain_max_s:
            served = {name: text for name, text in answer.headers.items() if name.startswith("x-stampline-")}
            meter.stalest = f"row {row}, version {version}, sent {sent_s:.3f}: {served}"
        meter.whole.take(whole)
        meter.own.take(own)
        return version

    def _count(self, name: str, sent_s: float, *, is_error: bool) -> Meter:
        meter = self.meters[name]
        latency_ms = (time.time() - sent_s) * 1000
        meter.latencies_ms[float(f"{latency_ms:.{SIGNIFICANT_DIGITS}g}")] += 1
        meter.errors += is_error
        return meter
