"""R12: what many followers of one stream cost its Redis, and how long an entry takes to reach them."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from loadtests.bench import peers
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample, Samples
from loadtests.bench.servers import fed_redis, process_group, start_python
from versioning.backends.redis_stream import RedisStream
from versioning.client.follower import Follower
from versioning.entries import Change, Entry
from versioning.index import Index

CHANGES_PER_S: Final = 100.0
SIZES: Final = (500, 1, 100, 1_000, 2_000)
"""The first is what the aim is about; all make the curve."""

READY_S: Final = 60.0
BLOCK_MS: Final = 1_000


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis(CHANGES_PER_S) as redis:
        yield [
            Contender(f"{kind}, {size} followers", partial(_measure, redis, kind, size))
            for kind in ("pushed", "reading")
            for size in SIZES
        ]


def _measure(redis: RedisServer, kind: str, size: int, seconds: float) -> Sample:
    """Return the percentage of a core that Redis needs, and what one more, real, follower sees."""
    with process_group() as (group, folder):
        _gather_crowd(group, folder, redis, kind, size)
        delays_ms: list[float] = []
        before = _cpu_s(redis), time.perf_counter()
        asyncio.run((_pushed if kind == "pushed" else _reading)(redis.url, seconds, partial(_note, delays_ms)))
        after = _cpu_s(redis), time.perf_counter()
    delays_ms = sorted(delays_ms) or [0.0]
    cpu_s, passed_s = (end - begin for begin, end in zip(before, after, strict=True))
    facts = {
        "p50_ms": statistics.median(delays_ms),
        "p99_ms": delays_ms[int(len(delays_ms) * 0.99)],
        "changes_per_s": len(delays_ms) / passed_s,
    }
    return Sample(100 * cpu_s / passed_s, facts)


def _gather_crowd(group: ProcessGroup, folder: Path, redis: RedisServer, kind: str, size: int) -> None:
    with redis.client() as client:
        there = client.info("clients")["connected_clients"]
        process = start_python(group, folder, "crowd", "loadtests.bench.crowd", kind, str(size), str(redis.port))
        process.wait_until(lambda: client.info("clients")["connected_clients"] >= there + size, READY_S)


def _note(delays_ms: list[float], entry: Entry) -> None:
    if isinstance(entry.body, Change):
        delays_ms.append(time.time_ns() / 1e6 - entry.body.committed_ms)


def _cpu_s(redis: RedisServer) -> float:
    with redis.client() as client:
        seen: dict[str, float] = client.info("cpu")
        return seen["used_cpu_user_main_thread"] + seen["used_cpu_sys_main_thread"]


async def _pushed(url: str, seconds: float, note: Any) -> None:
    stream = RedisStream.from_url(url)
    follower = Follower(stream, Index())
    await follower.start()
    follower.entry_callbacks.append(note)
    await asyncio.sleep(seconds)
    await follower.aclose()
    await stream.aclose()


async def _reading(url: str, seconds: float, note: Any) -> None:
    stream, until_s = RedisStream.from_url(url), time.perf_counter() + seconds
    last = (await stream.read_before(None, count=1))[0].stamp
    while time.perf_counter() < until_s:
        for entry in await stream.read_after(last, count=1_000, block_ms=BLOCK_MS):
            last = entry.stamp
            note(entry)
    await stream.aclose()


def plot(samples: Samples, path: Path) -> None:
    matplotlib = peers.require("matplotlib")
    matplotlib.use("Agg")
    figure, axes = peers.require("matplotlib.pyplot").subplots(figsize=(7, 4.5), layout="constrained")
    for kind, label in (("pushed", "pushed (ours)"), ("reading", "XREAD BLOCK by each")):
        sizes = sorted(SIZES)
        shares = [statistics.median(one.value for one in samples[f"{kind}, {size} followers"]) for size in sizes]
        axes.plot(sizes, shares, marker="o", label=label)
    axes.axhline(30, color="grey", linestyle=":", label="aim for 500")
    axes.set(
        xlabel="followers",
        ylabel="Redis, % of a core",
        title=f"Cost of fan-out at {CHANGES_PER_S:g} changes/s",
        ylim=(0, None),
    )
    axes.legend()
    figure.savefig(path, dpi=120)


BENCHMARK: Final = Benchmark(
    "r12-fan-out",
    f"{CHANGES_PER_S:g} changes/s to many followers: CPU of their Redis",
    "% of a core",
    Better.LOWER,
    (Reach(30), Reach(50, fact="p99_ms")),
    contenders,
    plot,
    rounds_max=3,
)
