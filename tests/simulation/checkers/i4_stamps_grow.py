"""I4: stamps only grow, per stream, across restarts, failovers, flushes and any number of writers."""

from tests.simulation.checkers.base import Checker
from tests.simulation.streams import StreamServer
from tests.simulation.world import World
from versioning import stamp as stamps
from versioning.entries import Entry


class StampsGrow(Checker):
    name = "I4"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._highest: dict[str, int] = {}

    def on_append(self, server: StreamServer, entries: list[Entry]) -> None:
        for entry in entries:
            highest = self._highest.get(server.name, 0)
            if entry.stamp <= highest:
                self.violate(f"{server.name} handed out {stamps.text(entry.stamp)} after {stamps.text(highest)}")
            self._highest[server.name] = max(entry.stamp, highest)
