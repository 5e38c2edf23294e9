"""The binlog as the plain library reads it: every column of every row, one value at a time. Dumb, and the twin of ours.

The library's values become what a SELECT shows by the rules below; where it is known to misread, the test leaves the
value out.
"""

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import NONE_SOURCE
from pymysqlreplication.row_event import DeleteRowsEvent, TableMapEvent, UpdateRowsEvent, WriteRowsEvent

from replicator.binlog import columns as c
from replicator.binlog.columns import CHARSETS
from replicator.binlog.link import BinlogLink
from replicator.binlog.schema import Column
from replicator.mysql import connect_arguments
from versioning.backends.mysql_address import MySqlAddress

Image = Mapping[str, object]
SERVER_ID = 4_200_000_000
END = "the_end"


class Tap(BinlogLink):
    """Keeps the last packet that was handed to the library."""

    last = b""

    def _read_packet(self, *arguments: Any) -> Any:
        packet = super()._read_packet(*arguments)
        self.last = packet.get_all_data()
        return packet


def read(
    address: MySqlAddress, position: str, columns: Sequence[Column], *, is_mariadb: bool
) -> list[tuple[bytes, Any]]:
    """Maps and rows from a position to the first ones of a table END: the packet, and the library's event."""
    reader = BinLogStreamReader(
        connection_settings=connect_arguments(address, read_timeout_s=10),
        ctl_connection_settings=connect_arguments(address, read_timeout_s=10),
        pymysql_wrapper=partial(Tap, stop=threading.Event(), silence_s=10.0, has_checksums=True),
        server_id=SERVER_ID, is_mariadb=is_mariadb, auto_position=position, blocking=True, enable_logging=False,
        only_events=[TableMapEvent, WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent],
    )  # fmt: skip
    found = []
    try:
        for event in reader:
            if event.table == END:
                break
            if isinstance(event, TableMapEvent):
                _describe(event, columns)
            found.append((reader._stream_connection.last, event))
        return found
    finally:
        reader.close()


def _describe(event: Any, columns: Sequence[Column]) -> None:
    """What a map without metadata lacks; and strings stay bytes."""
    for column, known in zip(event.columns, columns, strict=True):
        column.name, column.unsigned = known.name, known.is_unsigned
        if column.type in c.TEXTUAL:
            column.character_set_name = "latin-1"
        column.enum_values, column.set_values = ["", *known.members], known.members


def images(event: Any, charsets: Mapping[str, str]) -> list[tuple[Image | None, Image | None]]:
    """Before and after; a column that the binlog left out, or whose value Python has no word for, is absent."""
    kinds = {column.name: column for column in event.columns}

    def image(values: Mapping[str, Any], sources: Mapping[str, str]) -> Image:
        found = {}
        for name, value in values.items():
            if value is not None:
                found[name] = _as_select(kinds[name], value, charsets[name])
            elif sources[name] == NONE_SOURCE.NULL:
                found[name] = None
            elif sources[name] == NONE_SOURCE.EMPTY_SET:
                found[name] = ""
        return found

    if isinstance(event, UpdateRowsEvent):
        return [
            (image(row["before_values"], row["before_none_sources"]),
             image(row["after_values"], row["after_none_sources"])) for row in event.rows
        ]  # fmt: skip
    found = [image(row["values"], row["none_sources"]) for row in event.rows]
    return [(None, one) if isinstance(event, WriteRowsEvent) else (one, None) for one in found]


def _as_select(column: Any, value: Any, charset: str) -> object:  # noqa: PLR0911
    match column.type:
        case c.VARCHAR | c.VAR_STRING | c.STRING | c.BLOB:
            raw = value.encode("latin-1")
            encoding = CHARSETS[charset]
            if encoding is not None:
                return raw.decode(encoding)
            return raw.ljust(column.max_length, b"\0") if column.type == c.STRING else raw
        case c.SET:
            return ",".join(member for member in column.set_values if member in value)
        case c.BIT:
            return int(value, 2).to_bytes(column.bytes, "big")
        case c.FLOAT:
            return float(f"{value:.6g}")
        case c.YEAR:
            return 0 if value == 1900 else value
    return value
