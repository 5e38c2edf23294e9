"""Neighbours of runs that once showed a fault: moved a little, joined with each other, with more faults beside theirs.

What takes five faults in the right order within seconds hardly comes by chance. Here all but one or two are given.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from tests.simulation.faults import CALM, CROWDED, DRAWN
from tests.simulation.ops import Op
from tests.simulation.scenario import PAGES_ENTRIES, SPLIT, VARIED, WARM_S, Scenario
from tests.simulation.seeds import KEPT

LENGTH_MAX_S: Final = 65.0

_CROWDED: Final = sorted(CROWDED)


def make_near(seed: int) -> Scenario:
    """Return a neighbour of one of ``seeds.KEPT``, or of two."""
    rng = random.Random(f"near {seed}")
    kept = rng.choice(KEPT)
    ops = list(kept.ops)
    if rng.random() < 0.4:
        ops += _moved_to(_a_fault_at_s(rng, ops), rng.choice(KEPT).ops, rng)
    shaken = _shaken(ops, rng)
    ops = sorted([*shaken, *_more(shaken, rng)], key=lambda op: op.at_s)
    length_s = min(max(kept.active_s, ops[-1].at_s - WARM_S + 1), LENGTH_MAX_S)
    left = tuple(op for op in ops if op.at_s < WARM_S + length_s)
    # Times of messages are drawn from the world's seed: half of the neighbours have those of their origin, too.
    world_seed = kept.seed if rng.random() < 0.5 else rng.randrange(10**6)
    page_entries = rng.choice(PAGES_ENTRIES)
    is_varied = rng.random() < VARIED
    is_split = rng.random() < SPLIT
    again = f"--seed {seed} --near"
    return Scenario(world_seed, length_s, CALM, left, page_entries, again, is_varied=is_varied, is_split=is_split)


def _a_fault_at_s(rng: random.Random, ops: Sequence[Op]) -> float:
    return rng.choice([op.at_s for op in ops if op.name != "write"] or [op.at_s for op in ops])


def _moved_to(at_s: float, ops: Sequence[Op], rng: random.Random) -> list[Op]:
    by_s = at_s - _a_fault_at_s(rng, ops) + rng.gauss(0, 1.5)
    moved = (replace(op, at_s=op.at_s + by_s) for op in ops)
    return [op for op in moved if op.at_s > WARM_S]


def _shaken(ops: Sequence[Op], rng: random.Random) -> list[Op]:
    """Leave some out, move some, let some last longer or befall another."""
    sigma_s, dropped, drawn_anew = (
        rng.choice((0.02, 0.2, 1.0)),
        rng.choice((0.0, 0.03, 0.15)),
        rng.choice((0, 0.05, 0.3)),
    )
    shaken = []
    for op in ops:
        if op.name == "write" and rng.random() < dropped:
            continue
        by_s = rng.gauss(0, sigma_s) if rng.random() < 0.6 else 0.0
        size = rng.random() if rng.random() < drawn_anew else op.size
        pick = rng.random() if rng.random() < drawn_anew else op.pick
        shaken.append(Op(max(op.at_s + by_s, 0.0), op.name, size, pick))
    return shaken


def _more(ops: Sequence[Op], rng: random.Random) -> list[Op]:
    """Draw more faults and writes around those that are there."""
    more = []
    for _ in range(rng.choice((0, 1, 2, 3, 5, 8))):
        at_s = _a_fault_at_s(rng, ops) + rng.gauss(0, rng.choice((0.3, 1.5, 5.0)))
        name = rng.choice(_CROWDED if rng.random() < 0.8 else DRAWN)
        more.append(Op(max(at_s, WARM_S), name, rng.random(), rng.random()))
    for _ in range(rng.choice((0, 2, 5))):
        at_s = _a_fault_at_s(rng, ops) + rng.gauss(0, 1.5)
        more.append(Op(max(at_s, 0.0), "write", rng.random(), rng.random()))
    return more
