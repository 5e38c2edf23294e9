"""What an index knew before a gap, or before it lost a history: it still proves what was current then (P6)."""

from collections.abc import Mapping
from copy import copy
from typing import Final, NamedTuple

from versioning.generations import Generations
from versioning.limits import PROMISE_MS
from versioning.liveness import Liveness, Now

PASTS_MAX: Final = 2
"""The first and the last: what fills a cache was loaded before the first of several gaps, or a fault that makes three
of them would end it all at once. Others are forgotten: extra loads, never a stale value. Each is as large as the index
was, and is dropped when the promise is over."""

PAST_MIN_MS: Final = 1_000
"""A shorter history has filled little, which is young by itself. A copy takes 20 ms with a million keys: unreadable
entries, of a newer version, may come by the hundred."""


class Past(NamedTuple):
    stamps: Mapping[str, int]
    generations: Generations
    horizon: int
    ceiling: int
    liveness: Liveness
    """The last heartbeat: every change up to it is known."""

    def proven_ago_ms(self, key: str, fill_stamp: int, now: Now) -> int | None:
        """Return how long ago a value was proven current here; None: it was not."""
        now_ms = self.liveness.unix_ms(now.ms)
        if fill_stamp < self.stamps.get(key, 0) or not self.generations.vouches(key, fill_stamp, now_ms):
            return None
        return self.liveness.lag_ms(now) if self.horizon <= fill_stamp <= self.ceiling else None

    def is_over(self, now: Now) -> bool:
        """Whether nothing may be served any more for what was proven then."""
        lag_ms = self.liveness.lag_ms(now)
        return lag_ms is None or lag_ms >= PROMISE_MS


class Pasts:
    """One thread writes, any number read: what they see is one tuple or the next."""

    def __init__(self) -> None:
        self._kept: tuple[Past, ...] = ()

    def keep(self, known: Past) -> None:
        """Keep a copy, if it vouches for anything."""
        if known.horizon <= known.ceiling and known.liveness.read_ms:
            past = known._replace(
                stamps=dict(known.stamps), generations=known.generations.copy(), liveness=copy(known.liveness)
            )
            self._kept = (past, *self._kept[1 - PASTS_MAX :])

    def proven_ago_ms(self, key: str, fill_stamp: int, now: Now) -> int | None:
        found = (past.proven_ago_ms(key, fill_stamp, now) for past in self._kept)
        return min((ago_ms for ago_ms in found if ago_ms is not None), default=None)

    def drop_over(self, now: Now) -> None:
        if self._kept:
            self._kept = tuple(past for past in self._kept if not past.is_over(now))
