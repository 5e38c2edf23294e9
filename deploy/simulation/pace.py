"""When the next read or write is due, and which row it is about."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence


def pick_by_rank(rows: Sequence[int], chance: random.Random, hot_share: float = 0.0) -> Callable[[], int]:
    """Return a chooser of rows: the n-th is picked with weight 1/n; the first one gets `hot_share` of all besides."""
    weights = list(itertools.accumulate(1 / rank for rank in range(1, len(rows) + 1)))

    def pick() -> int:
        if hot_share and chance.random() < hot_share:
            return rows[0]
        return chance.choices(rows, cum_weights=weights)[0]

    return pick


async def ticks(per_s: float, ends_s: float) -> AsyncIterator[None]:
    """Yield at a fixed rate until `ends_s` (Unix time), whatever the work between two ticks takes."""
    next_s = time.time()
    while next_s < ends_s:
        await asyncio.sleep(max(next_s - time.time(), 0))
        yield
        next_s += 1 / per_s
