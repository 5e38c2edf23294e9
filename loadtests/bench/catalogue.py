"""All benchmarks, in the order of the table of aims. A module is imported only when its benchmark is wanted."""

from importlib import import_module
from typing import Final

from loadtests.bench.contract import Benchmark

MODULES: Final = {
    "r1-local-hit": "loadtests.bench.r01_local_hit",
    "r2-async-hit": "loadtests.bench.r02_async_hit",
    "r3-redis-hit": "loadtests.bench.r03_redis_hit",
    "r3-redis-hit-async": "loadtests.bench.r03_redis_hit_async",
    "r4-concurrent-reads": "loadtests.bench.r04_concurrent_reads",
    "r5-get-many": "loadtests.bench.r05_get_many",
    "r6-one-row-transactions": "loadtests.bench.r06_one_row_transactions",
    "r7-bulk-rows": "loadtests.bench.r07_bulk_rows",
    "r8-propagation": "loadtests.bench.r08_propagation",
    "r8-propagation-wan": "loadtests.bench.r08_propagation_wan",
    "r9-lookup-http": "loadtests.bench.r09_lookup_http",
    "r10-batch-http": "loadtests.bench.r10_batch_http",
    "r11-index": "loadtests.bench.r11_index",
    "r12-fan-out": "loadtests.bench.r12_fan_out",
    "r13-hot-key": "loadtests.bench.r13_hot_key",
    "r14-write-path": "loadtests.bench.r14_write_path",
}
"""Each has one constant, ``BENCHMARK``."""


def load(name: str) -> Benchmark:
    found: Benchmark = import_module(MODULES[name]).BENCHMARK
    return found


def named(words: list[str]) -> list[str]:
    """Return the names that begin with one of the words (``r1`` is ``r1-…`` alone), all for none. Raises ValueError."""
    if not words:
        return list(MODULES)
    for word in words:
        if not any(_is_meant(word, name) for name in MODULES):
            raise ValueError(f"no benchmark {word!r}; there are: {', '.join(MODULES)}")
    return [name for name in MODULES if any(_is_meant(word, name) for word in words)]


def _is_meant(word: str, name: str) -> bool:
    return name == word or name.startswith(f"{word}-")
