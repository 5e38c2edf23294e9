"""What is done to the world, and for how long."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.simulation.world import World

LONG_S: Final = 12.0
OUTLASTING_S: Final = 30.0
"""One fault in sixteen goes on longer than every limit, the promise included."""


@dataclass(frozen=True, slots=True)
class Op:
    """One thing done to the world at its time."""

    at_s: float
    name: str
    size: float
    pick: float


def one_of(names: Sequence[Any], pick: float) -> Any:
    return names[int(pick * len(names))]


def long_s(world: "World", size: float) -> float:
    """Mostly short."""
    return world.stretch * (0.2 + LONG_S * size**3 + OUTLASTING_S * (size > 15 / 16))
