"""R3 under asyncio: one reader after another, beside a bare redis-py GET with the same decoding."""

from functools import partial
from typing import Final

from loadtests.bench.contract import Benchmark, Better, Reach
from loadtests.bench.redis_reads_async import contenders

BENCHMARK: Final = Benchmark(
    "r3-redis-hit-async",
    "a checked hit in Redis (asyncio), one reader",
    "reads/s",
    Better.HIGHER,
    (
        Reach(0.95, ("redis-py get + orjson.loads",)),
        Reach(1.0, fact="commands a read", better=Better.LOWER),
    ),
    partial(contenders, 1),
)
