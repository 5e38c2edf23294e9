"""How long changes are on their way, told by those that came. Pure: the time is an argument."""

from dataclasses import dataclass, field

from versioning import stamp as stamps
from versioning.entries import Change, Entry, Generation
from versioning.histogram import Histogram


@dataclass(slots=True)
class Latencies:
    stream: Histogram = field(default_factory=Histogram)
    """From the stamp of each change and generation until it was taken in."""
    commit: Histogram = field(default_factory=Histogram)
    """From its commit until then: what has none (a bump), or is said again, does not count."""

    def observe(self, entry: Entry, now_ms: int) -> None:
        body = entry.body
        if not isinstance(body, Change | Generation):
            return
        self.stream.observe(now_ms - stamps.ms_of(entry.stamp))
        if body.gtid and body.committed_ms and not body.settled:
            self.commit.observe(now_ms - body.committed_ms)

    def copy(self) -> "Latencies":
        return Latencies(self.stream.copy(), self.commit.copy())
