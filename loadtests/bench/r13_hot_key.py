"""R13: one hot key changes under load: who loads, and what the readers of eight processes notice."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.feeder import append_of, now_ms
from loadtests.bench.hot_reader import KEY, LOAD, RECORD
from loadtests.bench.servers import fed_redis, process_group, start_python
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Change

PROCESSES: Final = 8
READERS: Final = 64
SERVE_STALE_MS: Final = 2_000
EVERY_S: Final = 0.25
WINDOW_S: Final = 0.1
"""After a change: the time in which it reaches the processes, is loaded, and is read by all. The same before it."""
READY_S: Final = 60.0
FLUSHED_S: Final = 0.3

Record = tuple[float, float]


class Fleet:
    """Eight processes with the same options, reading or at rest."""

    def __init__(self, group: ProcessGroup, folder: Path, redis: RedisServer, *, serve_stale_ms: int) -> None:
        self._redis = redis
        self._go = folder / f"go-{serve_stale_ms}"
        self._records = [folder / f"records-{serve_stale_ms}-{number}" for number in range(PROCESSES)]
        for number, path in enumerate(self._records):
            arguments = [redis.url, str(path), str(self._go), "--readers", str(READERS)]
            stale = ["--serve-stale-ms", str(serve_stale_ms)]
            name = f"reader-{serve_stale_ms}-{number}"
            start_python(group, folder, name, "loadtests.bench.hot_reader", *arguments, *stale)

    def measure(self, seconds: float) -> Sample:
        seen = [_size(path) for path in self._records]
        self._go.touch()
        try:
            _wait_until(lambda: all(_size(path) > size for path, size in zip(self._records, seen, strict=True)))
            time.sleep(FLUSHED_S)
            begins_s = time.monotonic()
            changes_s = asyncio.run(self._change(max(round(seconds / EVERY_S), 2)))
            time.sleep(EVERY_S)
        finally:
            self._go.unlink()
        time.sleep(FLUSHED_S)
        records = [record for path, size in zip(self._records, seen, strict=True) for record in _read(path, size)]
        return _sample([record for record in records if record[0] >= begins_s], changes_s)

    async def _change(self, times: int) -> list[float]:
        stream = RedisStream.from_url(self._redis.url)
        changes_s = []
        for _ in range(times):
            await asyncio.sleep(EVERY_S)
            changes_s.append(time.monotonic())
            await stream.append(append_of(Change((KEY,), gtid="0-1-1", committed_ms=now_ms())))
        await stream.aclose()
        return changes_s


def _sample(records: Sequence[Record], changes_s: Sequence[float]) -> Sample:
    loads = sum(took_s == LOAD for _, took_s in records)
    reads = [record for record in records if record[1] != LOAD]
    before, during = _p99_ms(reads, changes_s, -WINDOW_S), _p99_ms(reads, changes_s, 0)
    facts = {"loads a change": loads / len(changes_s), "p99 before, ms": before, "p99 during, ms": during}
    return Sample(during / before, facts | {"reads": len(reads)})


def _p99_ms(reads: Sequence[Record], changes_s: Sequence[float], offset_s: float) -> float:
    """Return the 99th percentile of the reads that began in the windows at that distance from the changes."""
    took_s = sorted(
        took_s for began_s, took_s in reads if any(0 <= began_s - offset_s - at_s < WINDOW_S for at_s in changes_s)
    )
    return took_s[math.ceil(len(took_s) * 0.99) - 1] * 1000


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read(path: Path, size: int) -> Iterator[Any]:
    data = path.read_bytes()[size:]
    return RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size])


def _wait_until(is_ready: Callable[[], bool]) -> None:
    ends_s = time.monotonic() + READY_S
    while not is_ready():
        if time.monotonic() > ends_s:
            raise TimeoutError("the readers did not begin to read")
        time.sleep(0.05)


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis() as redis, process_group() as (group, folder):
        start = partial(Fleet, group, folder, redis)
        yield [
            Contender(f"stampline, serve_stale_ms {SERVE_STALE_MS}", start(serve_stale_ms=SERVE_STALE_MS).measure),
            Contender("stampline, everyone waits for the new value", start(serve_stale_ms=0).measure),
        ]


BENCHMARK: Final = Benchmark(
    "r13-hot-key",
    f"p99 of reads in the {WINDOW_S * 1000:.0f} ms after a change, over that before it; {PROCESSES} processes x "
    f"{READERS} readers, a load takes 20 ms",
    "x",
    Better.LOWER,
    (Reach(2.0), Reach(1.0, fact="loads a change")),
    contenders,
    rounds_max=5,
)
