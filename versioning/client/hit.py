"""The hit: the read that comes by the million. A value that is in this process and FRESH, or None.

Law: what it serves, ``Held.is_expired`` and ``Index.verdict`` would have served: the same look-ups in the same order,
which the thread that writes the index relies on, without the calls between them, which cost three times as much. Of
the two clocks it reads the monotonic one only: a wall clock that is set forward makes no value older, and the lag it
shows is in ``Liveness`` with the next heartbeat. A test holds the two ways against each other. No lock, no log, no
metric with labels.
"""

import itertools
from collections.abc import Callable, Iterable
from typing import Final

from versioning.client.clock import Ticks
from versioning.client.local import LocalCache
from versioning.held import Held
from versioning.index import Index
from versioning.read import Counters

TOUCHED: Final = 64
"""One hit in so many moves its entry to the young end of the local cache: a hot key stays, most hits pay nothing."""

Hit = Callable[[str], Held | None]
Hits = Callable[[Iterable[str]], dict[str, Held]]


def make_hit(index: Index, local: LocalCache, counters: Counters, ticks: Ticks, wall_ms: Callable[[], int]) -> Hit:
    """Return the hit of one cache. All it looks at keeps its identity for the life of the cache."""
    find, stamp_of, liveness = local.held.get, index.stamps.get, index.liveness
    generations, aging = index.generations, index.generations.by_namespace
    read_clock, which = ticks
    last_of_turn = TOUCHED - 1

    def hit(key: str) -> Held | None:
        held = find(key)
        if held is None:
            return None
        drops, stamp, vouches_until_s = index.drops, held.fill_stamp, liveness.vouches_until_s
        if not index.horizon <= stamp <= index.ceiling or stamp < stamp_of(key, 0):
            return None
        if aging and not generations.vouches(key, stamp, liveness.unix_ms(wall_ms())):
            return None
        # What was forgotten meanwhile may have superseded it. Whatever else came was not there at the first look.
        if drops != index.drops:
            return None
        # The clock last: a process that was stopped on the way here must not vouch.
        now_s = read_clock(which)
        if now_s >= held.expires_monotonic_s or now_s >= vouches_until_s:
            return None
        counters.local_fresh = hits = counters.local_fresh + 1
        if hits & last_of_turn == 0:
            local.touch(key)
        return held

    return hit


def make_hits(index: Index, local: LocalCache, counters: Counters, ticks: Ticks, wall_ms: Callable[[], int]) -> Hits:
    """Return the hit for many keys of one call: the same law, with one look at the clock for all."""
    find, stamp_of, liveness = local.held.get, index.stamps.get, index.liveness
    generations, aging = index.generations, index.generations.by_namespace
    read_clock, which = ticks
    calls = itertools.count(1)

    def hits(keys: Iterable[str]) -> dict[str, Held]:
        losses, vouches_until_s = index.losses, liveness.vouches_until_s
        horizon, ceiling = index.horizon, index.ceiling
        found = {key: held for key in keys if (held := find(key)) is not None and held.fill_stamp >= stamp_of(key, 0)}
        if aging:
            now_ms = liveness.unix_ms(wall_ms())
            found = {key: held for key, held in found.items() if generations.vouches(key, held.fill_stamp, now_ms)}
        horizon, ceiling = max(horizon, index.horizon), min(ceiling, index.ceiling)
        now_s = read_clock(which)
        if now_s >= vouches_until_s or losses != index.losses:
            return {}
        fresh = {
            key: held
            for key, held in found.items()
            if horizon <= held.fill_stamp <= ceiling and now_s < held.expires_monotonic_s
        }
        counters.local_fresh += len(fresh)
        if next(calls) % TOUCHED == 0:
            for key in fresh:
                local.touch(key)
        return fresh

    return hits
