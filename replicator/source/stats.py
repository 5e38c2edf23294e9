"""What a source has counted and measured since its start; plain integers, read by whoever exports them."""

from dataclasses import dataclass, field

from versioning.histogram import Histogram


@dataclass(slots=True)
class SourceStats:
    transactions: int = 0
    """Transactions read, watched or not."""
    rows: int = 0
    """Row changes of watched tables."""
    keys: int = 0
    """Keys appended."""
    entries: int = 0
    appends: int = 0
    appends_refused: int = 0
    appends_failed: int = 0
    transactions_covered: int = 0
    """Transactions dropped because another source had stamped them."""
    heartbeats: int = 0
    generations: int = 0
    gaps: int = 0
    replays: int = 0
    connections: int = 0
    """Binlog connections begun; more than one means that some ended."""
    keys_underivable: int = 0
    """Rows without a column their key needs (MINIMAL row image): each aged out a namespace."""
    keys_too_long: int = 0
    """Keys over the limit: no reader can hold them, so they are not stamped."""
    rows_undecodable: int = 0
    """Row events that could not be decoded for sure: each aged out its table's namespaces."""
    xa_unknown: int = 0
    """XA COMMITs whose rows were prepared before this process read the binlog."""
    read_ms: int = 0
    """Unix time in ms up to which the binlog is read and in the stream, whichever source appended it."""
    is_connected: int = 0
    last_error: str = ""
    failures_by_reason: dict[str, int] = field(default_factory=dict)
    commit_latency: Histogram = field(default_factory=Histogram)
    """From each commit until its entry is in the stream. Commit times of a binlog are whole seconds."""

    def count_failure(self, reason: str) -> None:
        self.failures_by_reason[reason] = self.failures_by_reason.get(reason, 0) + 1
