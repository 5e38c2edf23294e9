"""The only module that imports pymysqlreplication: one binlog connection as an iterator of our own events.

Law: every event of the binlog comes out, is known to be irrelevant, or raises. The library's reader lives as long as
its connection; it must never connect again by itself, since it would start from where it began. Rows are decoded while
they are iterated, only those of tables with a plan; a failure there is RowsUndecodableError, elsewhere a named stop.
"""

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import CHARSET, NONE_SOURCE
from pymysqlreplication.event import (
    ExecuteLoadQueryEvent,
    FormatDescriptionEvent,
    GtidEvent,
    HeartbeatLogEvent,
    MariadbGtidEvent,
    NotImplementedEvent,
    QueryEvent,
    RotateEvent,
    XAPrepareEvent,
    XidEvent,
)
from pymysqlreplication.row_event import (
    DeleteRowsEvent,
    PartialUpdateRowsEvent,
    TableMapEvent,
    UpdateRowsEvent,
    WriteRowsEvent,
)

from replicator.binlog import wire
from replicator.binlog.columns import BIT, ENUM, RAW_ENCODING, SET, STRING, TEXTUAL, UNSURE, Convert, converter
from replicator.binlog.events import (
    BinlogEvent,
    Committed,
    FileBegan,
    GroupBegan,
    HeartbeatReceived,
    QueryRan,
    RowImage,
    RowKind,
    RowsChanged,
    RowsUndecodableError,
    XaPrepared,
)
from replicator.binlog.link import BinlogLink
from replicator.binlog.plan import TablePlans
from replicator.binlog.schema import Schema
from replicator.binlog.tablemap import MapMismatchError, RawMap, resolve
from replicator.errors import MySqlUnavailableError, SourceError, UnsupportedEventError
from replicator.mysql import MySqlAddress, ServerFacts, translated
from replicator.position import FilePosition, Flavor, Position
from replicator.tables import TableName

logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)  # it warns about settings that are handled here

_MARIADB_STANDALONE = 1
_ROWS = (WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent, PartialUpdateRowsEvent)
_EVENTS = [
    QueryEvent, XidEvent, XAPrepareEvent, GtidEvent, MariadbGtidEvent, TableMapEvent, *_ROWS, RotateEvent,
    FormatDescriptionEvent, HeartbeatLogEvent, ExecuteLoadQueryEvent, NotImplementedEvent,
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class LinkOptions:
    server_id: int
    heartbeat_ms: int
    silence_ms: int
    """Without a byte for this long, heartbeats included, the connection counts as dead."""
    stop: threading.Event


@dataclass(frozen=True, slots=True)
class _Decoder:
    table: TableName
    needed: tuple[tuple[str, Convert], ...] = ()
    problem: str = ""
    """Why the rows cannot be decoded; empty when they can."""


class Binlog:
    """Connects at the first event; raises SourceError. `plans` may be replaced between two events."""

    def __init__(
        self,
        address: MySqlAddress,
        facts: ServerFacts,
        position: Position,
        *,
        schema: Schema,
        plans: TablePlans,
        options: LinkOptions,
    ) -> None:
        self.plans = plans
        self._address = address
        self._schema = schema
        self._is_mariadb = facts.flavor is Flavor.MARIADB
        self._decoders: dict[int, _Decoder] = {}
        self._changed_ms = 0
        """Of the open group, see QueryRan."""
        self._reader = _open_reader(address, facts, options, **_start(position))

    def events(self) -> Iterator[BinlogEvent]:
        while True:
            with translated(self._address), _translated_decoding():
                library_event = self._reader.fetchone()
            if library_event is None:
                raise MySqlUnavailableError(f"MySQL {self._address} ended the binlog stream")
            with _translated_decoding():
                event = self._translate(library_event)
            if event is not None:
                yield event

    def forget_tables(self) -> None:
        """After DDL: table maps are read again, with what information_schema says then."""
        self._reader.table_map.clear()
        self._decoders.clear()

    def close(self) -> None:
        with translated(self._address):
            self._reader.close()

    def _translate(self, event: Any) -> BinlogEvent | None:
        translate = _TRANSLATIONS.get(type(event))
        return None if translate is None else translate(self, event)

    def _end(self) -> str:
        return f"{self._reader.log_file}/{self._reader.log_pos}"

    def _rows(self, event: Any) -> BinlogEvent | None:
        self._changed_ms = self._changed_ms or event.timestamp * 1000
        decoder = self._decoders.get(event.table_id)
        if decoder is None:
            return None
        return RowsChanged(decoder.table, _KINDS[type(event)], _images(event, decoder))

    def _table_map(self, event: Any) -> None:
        table = TableName(event.schema, event.table)
        plan = self.plans.get(table)
        if plan is not None:
            self._decoders[event.table_id] = self._make_decoder(event, table, plan.columns)

    def _make_decoder(self, event: Any, table: TableName, needed: frozenset[str]) -> _Decoder:
        try:
            resolved = resolve(_raw_map(event, is_mariadb=self._is_mariadb), self._schema.columns(table))
        except MapMismatchError as error:
            return _Decoder(table, problem=f"rows of {table} cannot be decoded: {error}")
        for index, (column, found) in enumerate(zip(event.columns, resolved, strict=True)):
            is_needed = found.facts.name in needed
            column.name = found.facts.name if is_needed else f"@{index}"
            column.unsigned = found.is_unsigned
            if column.type in TEXTUAL:
                column.character_set_name = RAW_ENCODING
            elif column.type == ENUM:
                column.enum_values = ["", *found.members]
            elif column.type == SET:
                column.set_values = list(found.members)
        return _Decoder(
            table, tuple((found.facts.name, converter(found.facts)) for found in resolved if found.facts.name in needed)
        )

    def _gtid_mysql(self, event: Any) -> BinlogEvent:
        return GroupBegan(event.gtid, is_open=False)

    def _gtid_mariadb(self, event: Any) -> BinlogEvent:
        return GroupBegan(event.gtid, is_open=not event.flags & _MARIADB_STANDALONE)

    def _query(self, event: Any) -> BinlogEvent:
        return QueryRan(event.query, event.timestamp * 1000, self._end(), self._take_changed_ms())

    def _unknown_changes(self, event: Any) -> BinlogEvent | None:
        if type(event) is ExecuteLoadQueryEvent or event.event_type == wire.INCIDENT:
            return QueryRan("LOAD DATA or an incident", event.timestamp * 1000, self._end(), self._take_changed_ms())
        return None  # an anonymous GTID

    def _commit(self, event: Any) -> BinlogEvent:
        return Committed(event.timestamp * 1000, self._end(), self._take_changed_ms())

    def _xa_prepare(self, event: Any) -> BinlogEvent:
        xid = f"{event.xid_gtrid.hex()},{event.xid_bqual.hex()},{event.xid_format_id}"
        return XaPrepared(xid, bool(event.one_phase), event.timestamp * 1000, self._end(), self._take_changed_ms())

    def _take_changed_ms(self) -> int:
        changed_ms, self._changed_ms = self._changed_ms, 0
        return changed_ms

    def _file_began(self, _event: Any) -> BinlogEvent:
        self.forget_tables()  # a restarted server gives table numbers out again
        self._changed_ms = 0
        return FileBegan()

    def _heartbeat(self, _event: Any) -> BinlogEvent:
        return HeartbeatReceived(self._reader._stream_connection.drained_ms)  # noqa: SLF001  our own BinlogLink


_KINDS: Mapping[type, RowKind] = {
    WriteRowsEvent: RowKind.INSERT,
    UpdateRowsEvent: RowKind.UPDATE,
    PartialUpdateRowsEvent: RowKind.UPDATE,
    DeleteRowsEvent: RowKind.DELETE,
}
_TRANSLATIONS: Mapping[type, Callable[[Binlog, Any], BinlogEvent | None]] = {
    **dict.fromkeys(_ROWS, Binlog._rows),  # noqa: SLF001
    TableMapEvent: Binlog._table_map,  # noqa: SLF001
    GtidEvent: Binlog._gtid_mysql,  # noqa: SLF001
    MariadbGtidEvent: Binlog._gtid_mariadb,  # noqa: SLF001
    QueryEvent: Binlog._query,  # noqa: SLF001
    ExecuteLoadQueryEvent: Binlog._unknown_changes,  # noqa: SLF001
    NotImplementedEvent: Binlog._unknown_changes,  # noqa: SLF001
    XidEvent: Binlog._commit,  # noqa: SLF001
    XAPrepareEvent: Binlog._xa_prepare,  # noqa: SLF001
    RotateEvent: Binlog._file_began,  # noqa: SLF001
    FormatDescriptionEvent: Binlog._file_began,  # noqa: SLF001
    HeartbeatLogEvent: Binlog._heartbeat,  # noqa: SLF001
}


def file_began_ms(address: MySqlAddress, facts: ServerFacts, file: str, options: LinkOptions) -> int:
    """When a binlog file was begun, Unix time in ms, to the second."""
    reader = _open_reader(address, facts, options, log_file=file, log_pos=4, resume_stream=True)
    try:
        while True:
            with translated(address), _translated_decoding():
                event = reader.fetchone()
            if event is None:
                raise MySqlUnavailableError(f"MySQL {address} ended the binlog stream")
            if type(event) is FormatDescriptionEvent and event.timestamp:
                return int(event.timestamp) * 1000
    finally:
        reader.close()


def _start(position: Position) -> dict[str, Any]:
    if isinstance(position, FilePosition):
        return {"log_file": position.file, "log_pos": position.offset, "resume_stream": True}
    return {"auto_position": str(position)}


def _open_reader(address: MySqlAddress, facts: ServerFacts, options: LinkOptions, **start: Any) -> BinLogStreamReader:
    silence_s = options.silence_ms / 1000
    link = functools.partial(BinlogLink, stop=options.stop, silence_s=silence_s, has_checksums=facts.has_checksums)
    return BinLogStreamReader(
        connection_settings=address.settings(read_timeout_s=silence_s),
        ctl_connection_settings=address.settings(read_timeout_s=silence_s),
        pymysql_wrapper=link,
        server_id=options.server_id,
        blocking=True,
        is_mariadb="auto_position" in start and facts.flavor is Flavor.MARIADB,
        only_events=_EVENTS,
        filter_non_implemented_events=False,
        freeze_schema=True,
        slave_heartbeat=options.heartbeat_ms / 1000,
        enable_logging=False,
        **start,
    )


def _raw_map(event: Any, *, is_mariadb: bool) -> RawMap:
    metadata = event.optional_metadata
    dbms = "mariadb" if is_mariadb else "mysql"
    collations = [CHARSET.charset_by_id(number, dbms) for number in metadata.charset_collation_list or []]
    return RawMap(
        kinds=[column.type for column in event.columns],
        sizes=[_size(column) for column in event.columns],
        names=metadata.column_name_list,
        unsigned=metadata.unsigned_column_list,
        charsets=[collation.name if collation else None for collation in collations],
        enums=metadata.set_enum_str_value_list,
        sets=metadata.set_str_value_list,
        is_mariadb=is_mariadb,
    )


def _size(column: Any) -> int:
    if column.type == BIT:
        return int(column.bytes)
    return int(column.max_length) if column.type == STRING else 0


def _images(event: Any, decoder: _Decoder) -> Iterator[RowImage]:
    if decoder.problem:
        raise RowsUndecodableError(decoder.problem)
    try:
        while event.packet.read_bytes < event.event_size:
            row = event._fetch_one_row()  # noqa: SLF001  `rows` would decode the whole event at once
            yield RowImage(*_sides(type(event), row, decoder.needed))
    except Exception as error:
        # Whatever a row does to the decoder, the answer is the same: which rows these are is unknown.
        problem = f"rows of {decoder.table} cannot be decoded: {type(error).__name__}"
        raise RowsUndecodableError(problem) from error


def _sides(kind: type, row: Any, needed: tuple[tuple[str, Convert], ...]) -> tuple[Mapping[str, object] | None, ...]:
    if kind is WriteRowsEvent:
        return None, _image(row["values"], row["none_sources"], needed)
    if kind is DeleteRowsEvent:
        return _image(row["values"], row["none_sources"], needed), None
    before = _image(row["before_values"], row["before_none_sources"], needed)
    return before, _image(row["after_values"], row["after_none_sources"], needed)


def _image(
    values: Mapping[str, Any], sources: Mapping[str, str], needed: tuple[tuple[str, Convert], ...]
) -> Mapping[str, object]:
    image: dict[str, object] = {}
    for name, convert in needed:
        raw = values[name]
        value = convert(raw) if raw is not None else _NONES.get(sources[name], UNSURE)
        if value is not UNSURE:
            image[name] = value
    return image


_NONES: Mapping[str, object] = {NONE_SOURCE.NULL: None, NONE_SOURCE.EMPTY_SET: ""}


@contextmanager
def _translated_decoding() -> Iterator[None]:
    """What the library raises about bytes it cannot read comes out as UnsupportedEventError."""
    try:
        yield
    except (SourceError, pymysql.err.MySQLError, OSError):
        raise
    except Exception as error:
        raise UnsupportedEventError(
            f"a binlog event cannot be decoded: {type(error).__name__}: {error}", hint="update stampline"
        ) from error
