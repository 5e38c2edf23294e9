"""R4: 64 readers of one event loop, who share pipelines, beside a bare redis-py client and its connections."""

from functools import partial
from typing import Final

from loadtests.bench.contract import Benchmark, Better, Reach
from loadtests.bench.redis_reads_async import contenders

READERS: Final = 64

BENCHMARK: Final = Benchmark(
    "r4-concurrent-reads",
    f"checked hits in Redis (asyncio), {READERS} readers at once",
    "reads/s",
    Better.HIGHER,
    (
        Reach(2.0, ("redis-py get + orjson.loads",)),
        Reach(1.0, fact="commands a read", better=Better.LOWER),
    ),
    partial(contenders, READERS),
)
