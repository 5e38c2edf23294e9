"""What both caches share: the index, the local cache, the counters, and the hit.

The hit is ``client.hit``; everything else is the read plan's (``versioning.readplan``), which the two shells perform.
"""

import random
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from versioning.budget import LoadBudget
from versioning.client.clock import ticks_of
from versioning.client.follower import FollowerStats
from versioning.client.hit import make_hit, make_hits
from versioning.client.info import CacheInfo, info_of
from versioning.client.local import LocalCache
from versioning.client.serializer import OrjsonSerializer
from versioning.effects import Failed
from versioning.held import Held
from versioning.index import Index
from versioning.keys import check_key
from versioning.limits import DEGRADED_TTL_MS, FOUND_MS
from versioning.liveness import Now
from versioning.options import CacheOptions
from versioning.read import Counters, Read, Tier
from versioning.reading import Reading, Serializer, may_serve
from versioning.readplan import Answers
from versioning.verdict import Verdict

Found = Read | Held
"""What a read came to; a plain hit in Redis as it is held, since most callers want no more than its value."""


class CacheCore:
    def __init__(self, options: CacheOptions, serializer: Serializer | None, clock: Callable[[], Now]) -> None:
        self.index = Index(window_ms=options.window_ms, max_lag_ms=options.max_lag_ms)
        self.local = LocalCache(options.local_max_entries, lambda: clock().monotonic_ms)
        self.counters = Counters()
        self.clock = clock
        seen = (self.index, self.local, self.counters, ticks_of(clock), lambda: clock().ms)
        self.hit, self.hits = make_hit(*seen), make_hits(*seen)
        self._ticks = ticks_of(clock)
        self._renewed: dict[str, tuple[Held, float]] = {}
        """Superseded values that are served while their keys are refilled, and until when (monotonic, s)."""
        self.reading = Reading(
            self.index,
            self.local,
            options,
            serializer or OrjsonSerializer(),
            LoadBudget(options.max_loads_per_s),
            self.counters,
            clock,
            random.random,
            new_token,
        )

    def read_fresh(self, key: str) -> Read | None:
        held = self.hit(key)
        if held is None:
            return None
        return Read(held.value, Tier.LOCAL, held.fill_stamp, Verdict.FRESH, held.age_ms(self.clock()))

    def read_local(self, keys: Iterable[str]) -> tuple[dict[str, Read], tuple[str, ...]]:
        """Serve what need not be FRESH to be served from the process; return that and the keys that miss."""
        now, find = self.clock(), self.local.find
        reads: dict[str, Read] = {}
        missing = []
        for key in keys:
            if find(check_key(key)) is not None and (read := self.reading.serve_local(key, now)) is not None:
                reads[key] = read
            else:
                missing.append(key)
        return reads, tuple(missing)

    def serve_local(self, key: str) -> Read | None:
        """Serve one key from the process, FRESH or not."""
        return self.reading.serve_local(check_key(key), self.clock())

    def take_hits(self, answers: Answers) -> dict[str, Held]:
        """Take the plain hits out of what Redis answered; all else is for the plan."""
        if isinstance(answers, Failed):
            return {}
        return self.reading.take_hits(answers, self.clock())

    def read_of(self, found: Found) -> Read:
        """Say of a plain hit what it is."""
        if isinstance(found, Read):
            return found
        return Read(found.value, Tier.REDIS, found.fill_stamp, Verdict.FRESH, found.age_ms(self.clock()))

    def landed(self, keys: Iterable[str]) -> dict[str, Read]:
        """Serve what other readers have brought into the process while this one looked into Redis."""
        now = self.clock()
        held = self.reading.still_usable(keys)
        reads = {key: self.reading.serve(key, one, Tier.LOCAL, now)[0] for key, one in held.items()}
        return {key: read for key, read in reads.items() if read is not None}

    def join(self, key: str) -> Read | None:
        """Note that a reader finds its key being refilled in this process; return what it may have without waiting."""
        self.counters.coalesced += 1
        return self.reading.serve_superseded(key, self.local.find(key), self.clock())

    def superseded(self, keys: Iterable[str]) -> dict[str, Read]:
        """Serve the old values of keys that are about to be refilled, where that is allowed."""
        if not self.reading.options.serve_stale_ms:
            return {}
        now, reading = self.clock(), self.reading
        served = {key: reading.serve_superseded(key, self.local.find(key), now) for key in keys}
        return {key: read for key, read in served.items() if read is not None}

    def begin_renewal(self, keys: Iterable[str]) -> None:
        """Let ``renewed`` serve what is held of the keys, whose refill takes off now."""
        now = self.clock()
        for key in keys:
            if (held := self.local.find(key)) is not None:
                left_ms = self.reading.superseded_left_ms(key, held, now)
                self._renewed[key] = held, (now.monotonic_ms + left_ms) / 1000

    def end_renewal(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._renewed.pop(key, None)

    def renewed(self, key: str) -> Held | None:
        """Return the superseded value of a key that is being refilled: what most readers of a hot key get then."""
        found = self._renewed.get(key)
        if found is None:
            return None
        read_clock, which = self._ticks
        if read_clock(which) >= found[1]:
            return None
        self.counters.count_served(Tier.STALE, Verdict.STALE)
        return found[0]

    def accepts(self, key: str, read: Read, began_ms: int, arrived: Now) -> bool:
        """Whether a reader may have the result of another's refill that began earlier.

        Not if a change came between; nor what is too old to be served unproven, as after a stop of the process.
        """
        if began_ms > arrived.monotonic_ms:  # within one ms nobody knows which came first
            return True
        now = self.clock()
        verdict, proven_ago_ms = self.index.judge(key, read.stamp, now)
        age_ms = None if read.age_ms is None else read.age_ms + now.monotonic_ms - began_ms
        return may_serve(key, verdict, age_ms, proven_ago_ms, self.reading.options.degraded_ttl_ms)

    def is_in_time(self, key: str, found: Found, began_ms: int) -> bool:
        """Whether a reader may have what its own call, which began then (monotonic), came to (I1).

        Superseded meanwhile or not. But of a process that was stopped on the way, what it had loaded or found by then
        is of any age.
        """
        now = self.clock()
        is_loaded = isinstance(found, Read) and found.tier is Tier.LOADED
        if now.monotonic_ms - began_ms <= (DEGRADED_TTL_MS if is_loaded else FOUND_MS):
            return True
        fill_stamp = found.stamp if isinstance(found, Read) else found.fill_stamp
        verdict, proven_ago_ms = self.index.judge(key, fill_stamp, now)
        return may_serve(key, verdict, None, proven_ago_ms, self.reading.options.degraded_ttl_ms)

    def late(self, found: Mapping[str, Found], began_ms: int) -> tuple[str, ...]:
        """Return the keys of which that does not hold: none, mostly, at the price of one look at the clock."""
        if self.clock().monotonic_ms - began_ms <= FOUND_MS:
            return ()
        return tuple(key for key, one in found.items() if not self.is_in_time(key, one, began_ms))

    def info(self, follower: FollowerStats) -> CacheInfo:
        return info_of(self.index, self.counters, len(self.local), self.clock(), follower)

    def after_fork(self) -> None:
        """Know nothing until this process follows by itself."""
        self.index.forget()
        self.local.after_fork()
        self._renewed.clear()
        self.reading = replace(self.reading, budget=LoadBudget(self.reading.options.max_loads_per_s))


def new_token() -> str:
    return secrets.token_hex(8)
