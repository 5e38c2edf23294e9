"""What a source has counted and measured since its start; plain integers, read by whoever exports them."""

from dataclasses import dataclass, field
from enum import StrEnum

from versioning.histogram import Histogram


class Failure(StrEnum):
    """What went wrong and is tried again, or ended the source."""

    CONNECTION_LOST = "connection_lost"
    READER_FAILED = "reader_failed"
    LOGIN_REFUSED = "login_refused"
    APPEND_FAILED = "append_failed"
    REDIS_LOGIN_REFUSED = "redis_login_refused"
    POSITION_LOST = "position_lost"
    SERVER_BEHIND = "server_behind"
    STREAM_REWOUND = "stream_rewound"
    OTHER_WRITER = "other_writer"
    SERVER_UNFIT = "server_unfit"
    OTHER_TEMPLATES = "other_templates"
    UNSUPPORTED_EVENT = "unsupported_event"


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

    def count_failure(self, reason: Failure) -> None:
        self.failures_by_reason[reason] = self.failures_by_reason.get(reason, 0) + 1
