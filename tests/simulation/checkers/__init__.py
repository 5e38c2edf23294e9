"""One checker per invariant of the design and one for forced bumps, and what they have in common."""

from tests.simulation.checkers.base import Checker
from tests.simulation.checkers.i1_bounded import Bounded
from tests.simulation.checkers.i2_no_poisoned_fill import NoPoisonedFill
from tests.simulation.checkers.i3_nothing_lost import NothingLost
from tests.simulation.checkers.i4_stamps_grow import StampsGrow
from tests.simulation.checkers.i5_convergence import Convergence
from tests.simulation.checkers.i6_no_storm import NoStorm
from tests.simulation.checkers.i7_reads_survive import ReadsSurvive
from tests.simulation.checkers.i8_bounded_memory import BoundedMemory
from tests.simulation.checkers.p11_forced_bump import ForcedBump
from tests.simulation.world import World

KINDS = (
    Bounded,
    NoPoisonedFill,
    NothingLost,
    StampsGrow,
    Convergence,
    NoStorm,
    ReadsSurvive,
    BoundedMemory,
    ForcedBump,
)


def all_checkers(world: World) -> list[Checker]:
    return [kind(world) for kind in KINDS]
