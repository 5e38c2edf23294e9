"""Settings of one source, as a frozen value built once at start."""

from dataclasses import dataclass

from versioning.backends.mysql_address import MySqlAddress
from versioning.checkpoint import source_writer
from versioning.limits import GENERATION_SPREAD_MS, KEYS_PER_ENTRY, MAX_KEYS, WINDOW_MS

HEARTBEAT_MS = 500
# Twenty heartbeats, and still noticed before followers stop vouching (max_lag, 15 s).
READ_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class SourceOptions:
    name: str
    """Names the checkpoint: all sources of one MySQL share it. Two MySQLs never do, nor do they share a stream."""
    mysql: MySqlAddress
    heartbeat_ms: int = HEARTBEAT_MS
    read_timeout_ms: int = READ_TIMEOUT_MS
    window_ms: int = WINDOW_MS
    keys_max: int = MAX_KEYS
    generation_spread_ms: int = GENERATION_SPREAD_MS
    keys_per_entry: int = KEYS_PER_ENTRY
    server_id: int | None = None
    """None: a random high one for each connection."""

    @property
    def writer(self) -> str:
        return source_writer(self.name)
