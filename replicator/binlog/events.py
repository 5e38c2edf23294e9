"""What a binlog says, in our own words: the only things `source.transaction` sees of it. Times are Unix time in ms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple

from replicator.tables import TableName


class RowKind(Enum):
    INSERT = auto()
    UPDATE = auto()
    DELETE = auto()


class RowImage(NamedTuple):
    """One row. A column that the binlog left out is not in the mapping; one that cannot be decoded for sure is UNSURE.

    Not the same: what an update left out it did not change, but what is UNSURE may have changed to anything.
    """

    before: Mapping[str, object] | None
    after: Mapping[str, object] | None


class RowsUndecodableError(Exception):
    """Rows changed, but which ones cannot be told for sure."""


class GroupBegan(NamedTuple):
    """A GTID: everything up to the end of its transaction is under it."""

    gtid: str
    is_open: bool
    """A BEGIN is implied: the transaction lasts until a commit. Else the next statement decides."""
    begins_alter: bool = False
    """MariaDB with ``binlog_alter_two_phase``: its statement only begins, and comes again when it has ended."""


class RowsChanged(NamedTuple):
    table: TableName
    kind: RowKind
    images: Iterator[RowImage]
    """Decoded while iterating, at most once; raises RowsUndecodableError. Not iterating skips the work."""


UNTOLD_CHANGES: Final = "LOAD DATA or an incident"
"""Stands for the statement of an event that tells nothing but that something has changed."""


class QueryRan(NamedTuple):
    sql: str
    """Or ``UNTOLD_CHANGES``."""
    time_ms: int
    end: str
    """file/offset behind the event."""
    changed_ms: int = 0
    """When the first rows since the last query were changed, watched or not; 0: there were none."""
    charset: str | None = "utf8mb4"
    """MySQL's name of what the session wrote it in; None: unknown."""


class Committed(NamedTuple):
    time_ms: int
    end: str
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class XaPrepared:
    xid: str
    """gtrid and bqual in hex, and the format: `6162,,1`."""
    is_one_phase: bool
    time_ms: int
    end: str
    changed_ms: int = 0


@dataclass(frozen=True, slots=True)
class FileBegan:
    """A new binlog file or connection: a transaction left open before it never committed."""


@dataclass(frozen=True, slots=True)
class HeartbeatReceived:
    """The server had nothing more to send at `read_ms` or later."""

    read_ms: int
    end: str = ""
    """file/offset up to which it has sent."""


BinlogEvent = GroupBegan | RowsChanged | QueryRan | Committed | XaPrepared | FileBegan | HeartbeatReceived
