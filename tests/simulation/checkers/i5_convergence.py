"""I5: a while after the last write and the last fault, every process returns the database's value for ALL keys."""

from tests.simulation.checkers.base import Checker
from tests.simulation.history import ReadDone
from tests.simulation.world import World


class Convergence(Checker):
    name = "I5"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._is_settled = False

    def settled(self) -> None:
        self._is_settled = True

    def on_read(self, done: ReadDone) -> None:
        if not self._is_settled:
            return
        truth = self.world.primary.value_at(done.key, self.world.primary.last)
        if done.value != truth:
            self.violate(
                f"{done.reader} reads {done.key} = {done.value} ({done.tier}, {done.verdict}), "
                f"and the database has {truth}"
            )

    def finish(self) -> None:
        for reader, key in sorted(self.world.last_reads):
            self.violate(f"{reader} did not answer for {key}")
