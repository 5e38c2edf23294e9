"""From a failing run to the shortest one found: whole kinds of faults first, then ever smaller parts."""

import time
from collections.abc import Callable, Iterator

from tests.simulation.ops import Op
from tests.simulation.play import Played, play
from tests.simulation.scenario import Scenario

Ops = tuple[Op, ...]


def shrink(failed: Played, *, budget_s: float, play: Callable[[Scenario], Played] = play) -> Played:
    """Return the shortest play that violates the same invariant, as far as the time allows (seconds of real time)."""
    assert failed.violation is not None
    invariant = failed.violation.invariant
    give_up_at = time.monotonic() + budget_s
    best = _cut(failed)

    def tried(ops: Ops) -> bool:
        nonlocal best
        if time.monotonic() > give_up_at:
            return False
        played = play(best.scenario.with_ops(ops))
        is_same = played.violation is not None and played.violation.invariant == invariant
        if is_same:
            best = _cut(played)
        return is_same

    for name in sorted({op.name for op in best.scenario.ops}):
        tried(tuple(op for op in best.scenario.ops if op.name != name))
    before = 0
    while before != len(best.scenario.ops):
        before = len(best.scenario.ops)
        for size in _halves(before):
            first = 0
            while first < len(ops := best.scenario.ops):
                # What follows a part that was left out has moved to its place.
                first += 0 if tried(ops[:first] + ops[first + size :]) else size
    return best


def _cut(played: Played) -> Played:
    """Operations after the violation had no part in it."""
    ops = tuple(op for op in played.scenario.ops if op.at_s <= played.virtual_s)
    return Played(played.scenario.with_ops(ops), played.violation, played.history, played.events, played.virtual_s)


def _halves(count: int) -> Iterator[int]:
    while count := count // 2:
        yield count
