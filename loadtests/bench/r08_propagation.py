"""R8: from a commit in A to the moment at which a process in B knows that older copies are stale.

Real servers and processes: MariaDB A and its replica B, Redis A and B, two sources, two mirrors behind the gate, and
the library's follower here. A commit counts from its acknowledgement; it has arrived when the index has it. That may be
before: MySQL sends a commit to the readers of its binlog first, so on a busy machine a figure can be below zero.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from deploy.simulation import configs
from deploy.simulation.configs import Role, Sites
from deploy.simulation.world import World
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.servers import CHECKOUT, process_group
from versioning.backends.redis_stream import RedisStream
from versioning.client.follower import Follower
from versioning.entries import Change, Entry
from versioning.index import Index

WAN_MS: Final = 100.0
IDLE_PER_S: Final = 20.0
BUSY_PER_S: Final = 500.0
ARRIVE_MAX_S: Final = 20.0
PREFIX: Final = "tracker_web:"
_ROWS: Final = """
INSERT INTO tracker_web (id, tracker_id, tenant_id) SELECT seq, CONCAT('t-', seq), 1 FROM seq_1_to_50000
"""
ROWS: Final = 50_000


class Pipeline(World):
    """Sources and mirrors only. Without a delay there is no relay in between: it would be measured too."""

    def __init__(self, folder: Path, wan_ms: float) -> None:
        super().__init__(folder, wan_ms=wan_ms)
        self._next_id = 1

    @property
    def sites(self) -> Sites:
        redis_port = self.ports.wan_redis if self.wan_ms else self.redis_a.port
        return Sites(self.mysql_a, self.mysql_b, self.redis_a, self.redis_b, redis_port)

    def _roles(self) -> Sequence[Role]:
        sources = [configs.source(self.sites, name) for name in ("source-1", "source-2")]
        return [*sources, *(configs.mirror(self.sites, name) for name in ("mirror-1", "mirror-2"))]

    def prepare(self) -> None:
        self.start()
        if not self.wan_ms:
            self.mysql_b.replicate_from(self.mysql_a.port)
        self.mysql_a.execute(_ROWS, database=configs.DATABASE)

    def stop_roles(self) -> None:
        for role in self._roles():
            self.processes[role.name].stop()

    def start_roles(self) -> None:
        for role in self._roles():
            self._start_role(role)

    def write(self, per_s: float, seconds: float) -> dict[str, tuple[int, int]]:
        """Commit for so long; return when each key's commit was sent, and when acknowledged, ns."""
        count = max(int(per_s * seconds), 1)
        first, self._next_id = self._next_id, self._next_id % (ROWS - count) + count
        arguments = ["--per-s", str(per_s), "--count", str(count), "--first-id", str(first)]
        command = [sys.executable, "-m", "loadtests.bench.writer", str(self.mysql_a.port), *arguments]
        output = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout  # noqa: S603
        commits = [line.split() for line in output.splitlines()]
        return {PREFIX + row: (int(sent_ns), int(acknowledged_ns)) for row, sent_ns, acknowledged_ns in commits}


class Arrivals:
    """When the index learned of each key last, ns."""

    def __init__(self) -> None:
        self.last_ns: dict[str, int] = {}

    def take(self, entry: Entry) -> None:
        if isinstance(entry.body, Change):
            now_ns = time.time_ns()
            for key in entry.body.keys:
                self.last_ns[key] = now_ns


async def delays_ms(world: Pipeline, per_s: float, seconds: float) -> list[float]:
    """Of every commit, beyond the way itself, ascending."""
    stream, arrivals = RedisStream.from_url(world.redis_b.url), Arrivals()
    last_ns = arrivals.last_ns
    follower = Follower(stream, Index())
    follower.entry_callbacks.append(arrivals.take)
    await follower.start()
    try:
        committed = await asyncio.to_thread(world.write, per_s, seconds)
        async with asyncio.timeout(ARRIVE_MAX_S):
            while any(last_ns.get(key, 0) < sent_ns for key, (sent_ns, _) in committed.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        await follower.aclose()
        await stream.aclose()
    took = [(last_ns[key] - acknowledged_ns) / 1e6 for key, (_, acknowledged_ns) in committed.items()]
    return sorted(took_ms - world.wan_ms for took_ms in took)


def measure(world: Pipeline, seconds: float) -> Sample:
    idle = asyncio.run(delays_ms(world, IDLE_PER_S, seconds))
    busy = asyncio.run(delays_ms(world, BUSY_PER_S, seconds))
    facts = {"p99": _percentile(idle, 99), "busy_p50": _percentile(busy, 50), "busy_p99": _percentile(busy, 99)}
    return Sample(_percentile(idle, 50), facts)


def _percentile(ascending: Sequence[float], percent: int) -> float:
    return ascending[min(len(ascending) * percent // 100, len(ascending) - 1)]


@contextmanager
def contenders(wan_ms: float) -> Iterator[Sequence[Contender]]:
    with process_group() as (_, folder), Pipeline(folder, wan_ms) as world:
        world.prepare()
        yield [Contender("stampline", partial(measure, world))]


def benchmark(name: str, title: str, wan_ms: float, p50_ms: float, p99_ms: float) -> Benchmark:
    reaches = [
        Reach(p50_ms),
        Reach(p99_ms, fact="p99"),
        Reach(p50_ms, fact="busy_p50"),
        Reach(p99_ms, fact="busy_p99"),
    ]
    return Benchmark(name, title, "ms", Better.LOWER, reaches, partial(contenders, wan_ms), rounds_max=3)


BENCHMARK: Final = benchmark(
    "r8-propagation", "commit in A to fresh in B: p50 when idle; busy: at 500 commits/s", 0.0, 3.0, 15.0
)
