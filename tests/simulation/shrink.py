"""From a failing run to the shortest one found: whole kinds of faults first, then ever smaller parts."""

import time
from collections.abc import Callable, Iterator

from tests.simulation.chaos import Op
from tests.simulation.play import Played, play
from tests.simulation.scenario import Scenario

Ops = tuple[Op, ...]


def shrink(failed: Played, *, budget_s: float, play: Callable[[Scenario], Played] = play) -> Played:
    """Return the shortest play that violates the same invariant, as far as the time allows (seconds of real time)."""
    assert failed.violation is not None
    give_up_at = time.monotonic() + budget_s
    best = _cut(failed)
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for fewer in _smaller(best.scenario.ops):
            if time.monotonic() > give_up_at:
                return best
            played = play(best.scenario.with_ops(fewer))
            if played.violation and played.violation.invariant == failed.violation.invariant:
                best, is_smaller = _cut(played), True
                break
    return best


def _cut(played: Played) -> Played:
    """Operations after the violation had no part in it."""
    ops = tuple(op for op in played.scenario.ops if op.at_s <= played.virtual_s)
    return Played(played.scenario.with_ops(ops), played.violation, played.history, played.events, played.virtual_s)


def _smaller(ops: Ops) -> Iterator[Ops]:
    for name in sorted({op.name for op in ops}):
        yield tuple(op for op in ops if op.name != name)
    size = len(ops) // 2
    while size:
        for first in range(0, len(ops), size):
            yield ops[:first] + ops[first + size :]
        size //= 2
