"""Generations in force, by namespace (P9). Few at a time: one that has run its spread covers all before it."""

from typing import Final, NamedTuple

from versioning.spread import moment_ms

KEPT_MAX: Final = 32
"""Generations of one namespace still spreading. More are merged towards "sooner": extra misses, never a stale value."""


class Aging(NamedTuple):
    stamp: int
    start_ms: int
    spread_ms: int
    is_pending: bool | None = None
    """Whether some replica may lack what it stands for; None: it says nothing of replicas (a bump)."""

    def ages_out(self, key: str, fill_stamp: int, now_ms: int) -> bool:
        return fill_stamp < self.stamp and now_ms >= moment_ms(key, self.start_ms, self.spread_ms)


class Generations:
    def __init__(self) -> None:
        self.by_namespace: dict[str, tuple[Aging, ...]] = {}
        """The same dict for life: the hit looks whether there is anything in it."""

    def __bool__(self) -> bool:
        return bool(self.by_namespace)

    def __getitem__(self, namespace: str) -> tuple[Aging, ...]:
        return self.by_namespace.get(namespace, ())

    def add(self, namespace: str, aging: Aging) -> None:
        """Take in a generation; order of arrival does not matter."""
        kept = sorted({*self[namespace], aging}, key=lambda one: one.stamp)
        while len(kept) > KEPT_MAX:
            kept[:2] = [_merged(*kept[:2])]
        self.by_namespace[namespace] = tuple(kept)

    def reaches_below(self, stamp: int) -> bool:
        """Whether any of them has a lower stamp."""
        return any(agings[0].stamp < stamp for agings in self.by_namespace.values())

    def prune(self, below: int, now_ms: int) -> None:
        """Drop what no living value can be older than, and what a completed later generation covers."""
        for namespace, agings in list(self.by_namespace.items()):
            ended = max((a.stamp for a in agings if a.start_ms + a.spread_ms <= now_ms), default=0)
            kept = [a for a in agings if a.stamp >= max(below, ended)]
            if kept:
                kept[0] = _speaking(kept[0], [a for a in agings if below <= a.stamp < kept[0].stamp])
                self.by_namespace[namespace] = tuple(kept)
            else:
                del self.by_namespace[namespace]

    def is_stale(self, key: str, fill_stamp: int, now_ms: int) -> bool:
        namespace = key.partition(":")[0]  # not ``keys.namespace_of``: a call more on the hit
        return any(aging.ages_out(key, fill_stamp, now_ms) for aging in self[namespace])

    def stale_at_ms(self, key: str, fill_stamp: int) -> int | None:
        """Return when (Unix ms) a value ages out that has not yet, by what is here; None: it does not."""
        moments = (moment_ms(key, a.start_ms, a.spread_ms) for a in self[key.partition(":")[0]] if a.stamp > fill_stamp)
        return min(moments, default=None)

    def doubts(self, key: str, fill_stamp: int) -> bool:
        """Whether a value of this fill stamp was loaded while the namespace was pending: a replica may have lagged."""
        agings = self[key.partition(":")[0]]
        words = (a.is_pending for a in reversed(agings) if a.stamp <= fill_stamp and a.is_pending is not None)
        return next(words, False)

    def vouches(self, key: str, fill_stamp: int, now_ms: int) -> bool:
        """Whether nothing here makes the value STALE or doubtful.

        Doubts are looked at first: where one is ended between the two looks (by the follower's thread), the entry that
        ended it has made the value STALE.
        """
        return not (self.doubts(key, fill_stamp) or self.is_stale(key, fill_stamp, now_ms))

    def last_stamp(self, namespace: str) -> int:
        return max((aging.stamp for aging in self[namespace]), default=0)

    def copy(self) -> "Generations":
        copied = Generations()
        copied.by_namespace = dict(self.by_namespace)
        return copied

    def clear(self) -> None:
        self.by_namespace.clear()


def _merged(older: Aging, newer: Aging) -> Aging:
    """Return one whose moment is, for each key, no later than that of either: their spreads may differ.

    What was loaded between the two is doubtful where the older one is pending, and nothing would tell: it has no moment
    to wait for.
    """
    start_ms = min(older.start_ms, newer.start_ms)
    end_ms = min(older.start_ms + older.spread_ms, newer.start_ms + newer.spread_ms)
    if older.is_pending:
        end_ms = start_ms
    return _speaking(newer._replace(start_ms=start_ms, spread_ms=end_ms - start_ms), [older])


def _speaking(aging: Aging, before: list[Aging]) -> Aging:
    """Return it with what those it replaces say of the replicas, the last word first, where it says nothing itself."""
    words = [a.is_pending for a in (*before, aging) if a.is_pending is not None]
    return aging._replace(is_pending=words[-1] if words else None)
