"""A checker hears of everything and says ``violate`` when its invariant does not hold."""

from typing import TYPE_CHECKING, ClassVar

from tests.simulation.history import LoadBegun, ReadDone
from versioning.entries import Entry

if TYPE_CHECKING:
    from tests.simulation.streams import StreamServer
    from tests.simulation.world import World


class Checker:
    name: ClassVar[str]

    def __init__(self, world: "World") -> None:
        self.world = world

    def violate(self, text: str) -> None:
        self.world.violate(self.name, text)

    def on_append(self, server: "StreamServer", entries: list[Entry]) -> None:
        """Entries were appended to a stream."""

    def on_read(self, done: ReadDone) -> None:
        """A reader got its answer."""

    def on_load(self, begun: LoadBegun) -> None:
        """A loader was called."""

    def on_load_failed(self, begun: LoadBegun) -> None:
        """The loader raised: no replica answered."""

    def on_read_failed(self, reader: str, key: str, error: Exception) -> None:
        """A read raised something else than its loader did."""

    def scan(self) -> None:
        """Once a second."""

    def settled(self) -> None:
        """The faults ended a while ago; the last reads follow."""

    def finish(self) -> None:
        """The last reads are done."""
