"""A run, drawn from its seed: how long, which faults, when. Shrinking takes operations out; the seed stays."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.simulation.faults import HARMLESS, LAGGING, NAMES, Faults, draw, draw_dense, draw_sparse
from tests.simulation.ops import Op

WARM_S = 4.0
"""Everything starts, and every reader has its first values."""

PAGE_ENTRIES = 40
"""So that reading a window takes several pages."""

PAGES_ENTRIES = (5, 12, PAGE_ENTRIES)
"""The smaller, the more may happen before a window is read or copied: with the real limits that takes seconds."""

WRITES_PER_S = 1.2

VARIED = 0.3
"""So many of the runs have readers that use all calls of a cache."""

SPLIT = 0.15
"""So many of the runs have two GTID domains, which replicas apply side by side."""

TIMED = 0.1
"""So many of the runs have mirrors that know of no databases."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How runs are drawn."""

    name: str
    draw: Callable[[random.Random], Faults]
    lengths_s: tuple[float, ...]
    pages_entries: tuple[int, ...] = PAGES_ENTRIES
    stretches: tuple[float, ...] = (1.0,)


PLAIN: Final = Kind("scenario", draw, (8.0, 8.0, 8.0, 12.0, 12.0, 20.0, 40.0, 65.0), (PAGE_ENTRIES,))
"""Most short, since most faults show at once; some longer than the window."""

DENSE: Final = Kind("dense", draw_dense, (20.0, 40.0, 65.0))

LONG: Final = Kind("long", draw_sparse, (150.0, 250.0, 350.0), stretches=(3.0, 6.0))
"""Several windows, with outages that last one or more."""


@dataclass(frozen=True, slots=True)
class Scenario:
    seed: int
    active_s: float
    faults: Faults
    ops: tuple[Op, ...]
    page_entries: int = PAGE_ENTRIES
    again: str = ""
    """What draws it on the command line."""
    is_timed: bool = False
    """The mirrors know of no databases: time stands in for them, and no replica lags by more."""
    is_varied: bool = False
    """Readers use all calls of a cache, not ``read`` alone."""
    is_split: bool = False
    """The primary writes in two GTID domains, and replicas apply them side by side."""
    stretch: float = 1.0
    """How many times as long as usual outages last."""

    @property
    def is_calm(self) -> bool:
        return all(op.name in HARMLESS for op in self.ops)

    def with_ops(self, ops: tuple[Op, ...]) -> "Scenario":
        return replace(self, ops=ops)


def make(
    seed: int,
    faults: Faults | None = None,
    active_s: float | None = None,
    *,
    kind: Kind = PLAIN,
    is_timed: bool | None = None,
) -> Scenario:
    """None: as it is drawn; but for given faults mirrors have their databases."""
    rng = random.Random(f"{kind.name} {seed}")
    length_s = rng.choice(kind.lengths_s) if active_s is None else active_s
    # Of its own chance: one more kind of fault leaves the runs with given faults as they are.
    chosen = faults or kind.draw(random.Random(f"{kind.name} faults {seed}"))
    ops = [*_writes(rng, length_s)]
    for name in NAMES:
        ops.extend(_spread(rng, name, getattr(chosen, name), length_s))
    page_entries, stretch = rng.choice(kind.pages_entries), rng.choice(kind.stretches)
    if is_timed is None:
        is_timed = faults is None and rng.random() < TIMED
    if is_timed:
        ops = [op for op in ops if op.name not in LAGGING]
    again = f"--seed {seed}{'' if kind is PLAIN else f' --{kind.name}'}"
    is_varied = faults is None and rng.random() < VARIED
    is_split = faults is None and rng.random() < SPLIT
    in_order = tuple(sorted(ops, key=lambda op: op.at_s))
    return Scenario(seed, length_s, chosen, in_order, page_entries, again, is_timed, is_varied, is_split, stretch)


def _writes(rng: random.Random, length_s: float) -> list[Op]:
    # Some before anything starts: a replay of the window has something to find.
    count = int(length_s * WRITES_PER_S)
    return [Op(rng.random() * (WARM_S + length_s), "write", rng.random(), rng.random()) for _ in range(count)]


def _spread(rng: random.Random, name: str, per_minute: float, length_s: float) -> list[Op]:
    ops: list[Op] = []
    at_s = WARM_S
    if not per_minute:
        return ops
    while True:
        at_s += rng.expovariate(per_minute / 60)
        if at_s >= WARM_S + length_s:
            return ops
        ops.append(Op(at_s, name, rng.random(), rng.random()))
