"""Packets of one connection, in order, to our own events.

Law: every packet that comes here is an event, is known to be irrelevant, or raises UnsupportedEventError. Rows are not
touched before somebody iterates them, and those of tables without a plan never are.
"""

import struct
from collections.abc import Callable
from typing import Final

from replicator.binlog.events import (
    UNTOLD_CHANGES,
    BinlogEvent,
    Committed,
    FileBegan,
    GroupBegan,
    HeartbeatReceived,
    QueryRan,
    RowsChanged,
    XaPrepared,
)
from replicator.binlog.kinds import (
    FORMAT_DESCRIPTION,
    GTID,
    HEARTBEAT,
    MARIADB_GTID,
    QUERY,
    ROTATE,
    ROWS,
    ROWS_V1,
    ROWS_V2,
    TABLE_MAP,
    UNKNOWN_CHANGES,
    XA_PREPARE,
    XID,
)
from replicator.binlog.rowdata.images import ROW_KINDS
from replicator.binlog.tables import MapMissingError, Tables
from replicator.binlog.wire import CHECKSUM_BYTES, unsupported
from replicator.errors import SourceError, UnsupportedEventError

_HEADER: Final = struct.Struct("<xIBIIIH")
_BODY: Final = _HEADER.size
_QUERY_HEAD: Final = struct.Struct("<IIBHH")
_MARIADB_GTID_HEAD: Final = struct.Struct("<QIB")
_XA_HEAD: Final = struct.Struct("<BIII")
# Status variables of a query, as far as the one that names its character set: flags, sql_mode, steps of auto_increment.
_STATUS_BYTES: Final = {0: 4, 1: 8, 3: 4}
_STATUS_CATALOG: Final = 6
_STATUS_CHARSET: Final = 4
_SERVERS_OWN: Final = "utf8mb4"
# Flags of a MariaDB GTID, what follows its head when they are set, and one of the second flags behind that.
_MARIADB_STANDALONE: Final = 1
_MARIADB_GROUP_COMMIT: Final = 2
_MARIADB_GROUP_COMMIT_BYTES: Final = 8
_MARIADB_XA: Final = 64 | 128
_MARIADB_XID_HEAD: Final = struct.Struct("<IBB")
_MARIADB_START_ALTER: Final = 2
_VERSION_BYTES: Final = 57
"""Of a format description: what stands before the lengths of the events' heads."""

_HEAD_BYTES: Final = {QUERY: 13, TABLE_MAP: 8, **dict.fromkeys(ROWS_V1, 8), **dict.fromkeys(ROWS_V2, 10)}
"""Bytes at the beginning of an event that have the same meaning in every version; a server may have more of them."""


class EventDecoder:
    """``drained_ms`` is asked at a heartbeat: when nothing was waiting to be read."""

    def __init__(self, tables: Tables, *, drained_ms: Callable[[], int]) -> None:
        self._tables = tables
        self._drained_ms = drained_ms
        self._more: dict[int, int] = {}
        """Bytes of head that an event has beyond `_HEAD_BYTES`."""
        self._file = ""
        self._offset = 0
        self._changed_ms = 0
        """Of the open group, see QueryRan."""
        self._server_id = 0
        self._decoders: dict[int, Callable[[int, int, bytes], BinlogEvent | None]] = {
            **dict.fromkeys(ROWS, self._rows),
            **dict.fromkeys(UNKNOWN_CHANGES, self._unknown_changes),
            TABLE_MAP: self._table_map,
            XID: self._commit,
            GTID: self._gtid_mysql,
            MARIADB_GTID: self._gtid_mariadb,
            QUERY: self._query,
            XA_PREPARE: self._xa_prepare,
            ROTATE: self._rotate,
            FORMAT_DESCRIPTION: self._format,
            HEARTBEAT: self._heartbeat,
        }

    def begin(self, file: str) -> None:
        """``file``: name of the first binlog file, which the server told while connecting."""
        self._file = file

    def decode(self, packet: bytes) -> BinlogEvent | None:
        try:
            seconds, kind, self._server_id, _, offset, _ = _HEADER.unpack_from(packet)
            if offset:
                self._offset = offset
            return self._decoders.get(kind, _refuse)(seconds * 1000, kind, packet)
        except SourceError:
            raise
        except Exception as error:
            raise UnsupportedEventError(
                f"a binlog event cannot be decoded: {type(error).__name__}: {error}", hint="update stampline"
            ) from error

    @staticmethod
    def _end_of(packet: bytes) -> int:
        return len(packet) - CHECKSUM_BYTES

    def _payload(self, kind: int) -> int:
        """Where the bytes behind the head begin."""
        return _BODY + _HEAD_BYTES[kind] + (self._more.get(kind, 0) if self._more else 0)

    def _rows(self, time_ms: int, kind: int, packet: bytes) -> BinlogEvent | None:
        self._changed_ms = self._changed_ms or time_ms
        table_id = int.from_bytes(packet[_BODY : _BODY + 6], "little")
        try:
            decoder = self._tables.decoder(table_id)
        except MapMissingError as error:
            raise UnsupportedEventError(str(error), hint="update stampline") from error
        if decoder is None:
            return None
        at = self._payload(kind)
        if kind in ROWS_V2:  # the last two bytes are the length of what follows, themselves included
            at += int.from_bytes(packet[_BODY + 8 : _BODY + 10], "little") - 2
        return RowsChanged(decoder.table, ROW_KINDS[kind], decoder.images(kind, packet, at, self._end_of(packet)))

    def _table_map(self, _time_ms: int, kind: int, packet: bytes) -> None:
        self._tables.take(packet[_BODY : self._end_of(packet)], self._payload(kind) - _BODY, self._server_id)

    def _gtid_mysql(self, _time_ms: int, _kind: int, packet: bytes) -> BinlogEvent:
        uuid, number = packet[_BODY + 1 : _BODY + 17].hex(), int.from_bytes(packet[_BODY + 17 : _BODY + 25], "little")
        return GroupBegan(f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}:{number}", is_open=False)

    def _gtid_mariadb(self, _time_ms: int, _kind: int, packet: bytes) -> BinlogEvent:
        number, domain, flags = _MARIADB_GTID_HEAD.unpack_from(packet, _BODY)
        begins_alter = bool(self._second_flags(packet, flags) & _MARIADB_START_ALTER)
        return GroupBegan(f"{domain}-{self._server_id}-{number}", not flags & _MARIADB_STANDALONE, begins_alter)

    def _second_flags(self, packet: bytes, flags: int) -> int:
        """Of a MariaDB GTID; older servers have none, or zeros there."""
        at = _BODY + _MARIADB_GTID_HEAD.size
        if flags & _MARIADB_GROUP_COMMIT:
            at += _MARIADB_GROUP_COMMIT_BYTES
        if flags & _MARIADB_XA:
            _, gtrid_bytes, bqual_bytes = _MARIADB_XID_HEAD.unpack_from(packet, at)
            at += _MARIADB_XID_HEAD.size + gtrid_bytes + bqual_bytes
        return packet[at] if at < self._end_of(packet) else 0

    def _query(self, time_ms: int, kind: int, packet: bytes) -> BinlogEvent:
        _, _, database_bytes, _, status_bytes = _QUERY_HEAD.unpack_from(packet, _BODY)
        status = self._payload(kind)
        start, end = status + status_bytes + database_bytes + 1, self._end_of(packet)
        if start > end:
            raise ValueError("a query is shorter than its head says")
        sql = packet[start:end].decode(errors="backslashreplace")
        charset = self._charset(packet[status : status + status_bytes])
        return QueryRan(sql, time_ms, self._end(), self._take_changed_ms(), charset)

    def _charset(self, status: bytes) -> str | None:
        """Of a session, by the variables of its query; what tells none the server has made by itself, in UTF-8."""
        at = 0
        while at < len(status) and status[at] != _STATUS_CHARSET:
            if status[at] == _STATUS_CATALOG:
                at += 2 + status[at + 1]
            elif status[at] in _STATUS_BYTES:
                at += 1 + _STATUS_BYTES[status[at]]
            else:
                return None
        if at >= len(status):
            return _SERVERS_OWN
        return self._tables.charset_name(int.from_bytes(status[at + 1 : at + 3], "little"))

    def _unknown_changes(self, time_ms: int, _kind: int, _packet: bytes) -> BinlogEvent:
        return QueryRan(UNTOLD_CHANGES, time_ms, self._end(), self._take_changed_ms())

    def _commit(self, time_ms: int, _kind: int, _packet: bytes) -> BinlogEvent:
        return Committed(time_ms, self._end(), self._take_changed_ms())

    def _xa_prepare(self, time_ms: int, _kind: int, packet: bytes) -> BinlogEvent:
        one_phase, form, gtrid_bytes, bqual_bytes = _XA_HEAD.unpack_from(packet, _BODY)
        middle = _BODY + _XA_HEAD.size + gtrid_bytes
        gtrid, bqual = packet[middle - gtrid_bytes : middle], packet[middle : middle + bqual_bytes]
        xid = f"{gtrid.hex()},{bqual.hex()},{form}"
        return XaPrepared(xid, bool(one_phase), time_ms, self._end(), self._take_changed_ms())

    def _rotate(self, _time_ms: int, _kind: int, packet: bytes) -> BinlogEvent:
        self._offset = int.from_bytes(packet[_BODY : _BODY + 8], "little")
        self._file = packet[_BODY + 8 : self._end_of(packet)].decode()
        return self._file_began()

    def _format(self, _time_ms: int, _kind: int, packet: bytes) -> BinlogEvent:
        # Behind the lengths, one for each type from 1 on: the kind of checksum, and always room for one.
        lengths = packet[_BODY + _VERSION_BYTES : -5]
        self._more = {}
        for kind, known in _HEAD_BYTES.items():
            more = lengths[kind - 1] - known if kind <= len(lengths) else 0
            if more < 0:
                raise UnsupportedEventError(
                    f"binlog events of type {kind} have a head of only {known + more} bytes",
                    hint="written by a server older than MySQL 5.6?",
                )
            if more:
                self._more[kind] = more
        return self._file_began()

    def _file_began(self) -> BinlogEvent:
        self._tables.forget()  # a restarted server gives table numbers out again
        self._changed_ms = 0
        return FileBegan()

    def _heartbeat(self, _time_ms: int, _kind: int, _packet: bytes) -> BinlogEvent:
        return HeartbeatReceived(self._drained_ms(), self._end())

    def _end(self) -> str:
        return f"{self._file}/{self._offset}"

    def _take_changed_ms(self) -> int:
        changed_ms, self._changed_ms = self._changed_ms, 0
        return changed_ms


def _refuse(_time_ms: int, kind: int, _packet: bytes) -> BinlogEvent | None:
    raise unsupported(kind)
