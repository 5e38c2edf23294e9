"""What a benchmark is: contenders measured side by side in one run, the first of them ours."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class Better(Enum):
    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender's figure in one round, in the benchmark's unit, and what else was seen (commands, percentiles)."""

    value: float
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contender:
    """``measure(seconds)`` works for about that long and tells what it saw."""

    name: str
    measure: Callable[[float], Sample]


@dataclass(frozen=True, slots=True)
class Reach:
    """What our contender should come to: a limit for the median of its ratio to the best of ``against``.

    Without ``against`` the limit is for our own figure; with ``fact``, for that fact instead of the value. A limit is a
    ceiling where lower is better, else a floor; ``better`` says so where a fact differs from the benchmark.
    """

    limit: float
    against: tuple[str, ...] = ()
    fact: str = ""
    better: Better | None = None


Samples = Mapping[str, Sequence[Sample]]
"""By contender; the n-th of each were measured in the same round."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """``open()`` starts what the contenders need (servers of their own, on free ports) and ends it."""

    name: str
    """As in ``r1-local-hit``: the row of the table of aims, and what is measured."""
    title: str
    unit: str
    better: Better
    reaches: Sequence[Reach]
    open: Callable[[], AbstractContextManager[Sequence[Contender]]]
    plot: Callable[[Samples, Path], None] | None = None
    """Draws a PNG, where a curve says more than a number."""
    rounds_max: int = 1_000
    """For long ones: a round that takes a minute need not come nine times."""


class PeerMissingError(Exception):
    """A library to compare with is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"{package} is not installed; pip install --group bench")
