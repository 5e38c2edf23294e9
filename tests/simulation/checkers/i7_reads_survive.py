"""I7: with Redis, the stream or the mirror down, readers keep answering, and in bounded time."""

from tests.simulation.checkers.base import Checker
from tests.simulation.history import ReadDone

LONGEST_S = 12.0
"""Two refills, each with its wait for a lease, a slow load, and a replica that does not answer."""


class ReadsSurvive(Checker):
    name = "I7"

    def on_read(self, done: ReadDone) -> None:
        process = self.world.processes[done.reader]
        if done.answered_s - max(done.asked_s, process.resumed_s) > LONGEST_S:
            self.violate(f"{done.reader} waited {done.answered_s - done.asked_s:.1f} s for {done.key}")

    def on_read_failed(self, reader: str, key: str, error: Exception) -> None:
        self.violate(f"{reader} cannot read {key}: {error!r}")
