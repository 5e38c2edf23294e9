"""How calls are timed: by timeit in blocks, so that the clock costs nothing and the garbage collector rests."""

import time
import timeit
from collections.abc import Mapping
from typing import Any, Final

from loadtests.bench.contract import Contender, Sample

BLOCK: Final = 2_000
"""Calls between two looks at the clock."""


def timed_call(name: str, statement: str, names: Mapping[str, Any]) -> Contender:
    """Return the contender that runs ``statement``; its value is ns per run in the fastest block, the loop included.

    The fastest, because everything that disturbs a block makes it slower.
    """
    timer = timeit.Timer(statement, globals=dict(names))

    def measure(seconds: float) -> Sample:
        until_s = time.perf_counter() + seconds
        best_s = timer.timeit(BLOCK)
        while time.perf_counter() < until_s:
            best_s = min(best_s, timer.timeit(BLOCK))
        return Sample(best_s / BLOCK * 1e9)

    return Contender(name, measure)
