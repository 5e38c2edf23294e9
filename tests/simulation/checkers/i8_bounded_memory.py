"""I8: an index holds the keys that changed within a window, however many there ever were."""

from tests.simulation import limits
from tests.simulation.checkers.base import Checker
from tests.simulation.streams import StreamServer
from tests.simulation.world import World
from versioning import stamp as stamps
from versioning.entries import Change, Entry
from versioning.limits import CLOCK_ERROR_MS, LOSS_LEAD_MS

SWEEP_MS = limits.WINDOW_MS // 8 + 6_000 + LOSS_LEAD_MS + CLOCK_ERROR_MS
"""Between two sweeps, and until a sweep has come round; a failover moves the stamps ahead meanwhile."""


class BoundedMemory(Checker):
    name = "I8"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._last: dict[str, int] = {}

    def on_append(self, server: StreamServer, entries: list[Entry]) -> None:
        if server is not self.world.stream_b:
            return
        for entry in entries:
            if isinstance(entry.body, Change):
                self._last.update(dict.fromkeys(entry.body.keys, entry.stamp))

    def scan(self) -> None:
        for name, reader in self.world.readers.items():
            index = reader.cache.index
            oldest = index.watermark - stamps.make(limits.WINDOW_MS + SWEEP_MS)
            changed = sum(stamp >= oldest for stamp in self._last.values())
            if len(index) > changed:
                self.violate(f"{name} remembers {len(index)} keys, and {changed} changed within a window")
