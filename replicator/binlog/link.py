"""The socket of a binlog connection: it knows when it was last empty, stops when told, and notices silence.

A heartbeat says "nothing more to send", but not when it was sent: a process that was stopped for a minute finds old
heartbeats waiting. So the time it proves is the last moment before it at which nothing was waiting to be read.
"""

import select
import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.protocol import MysqlPacket

from replicator.binlog.kinds import FORMAT_DESCRIPTION, MARIADB_GTID_LIST, ROTATE
from replicator.binlog.wire import PacketRewriter, without_checksum
from replicator.errors import MySqlUnavailableError, SourceError
from versioning.client.clock import unix_ms

# How often a waiting reader looks at the clock and at its stop flag: the error of `drained_ms`.
_SLICE_MS = 50
_RECEIVE_BYTES = 256 * 1024
_DUMP_COMMANDS = frozenset({0x12, 0x1E})
_PART_BYTES_MAX = 0xFFFFFF
"""A packet of this size goes on in the next one."""
_ERROR = b"\xff"
_KIND_AT = 5
"""Place of an event's type in a packet."""
SEARCH_SILENCE_S = 60.0
"""A MariaDB that looks for a position in a large file sends nothing until it has found it, heartbeats included."""
# What a server makes up when it begins: the file's name and format, and MariaDB's list of GTIDs.
_OPENING_KINDS = frozenset({ROTATE, FORMAT_DESCRIPTION, MARIADB_GTID_LIST})
# The library says so only where the server writes checksums now; older files may have them, and newer ones.
_WE_KNOW_CHECKSUMS = "SET @master_binlog_checksum = 'CRC32'"


class LinkStoppedError(SourceError):
    """Our own side asked the reader to stop."""


class _Buffer:
    """What has been received and not yet taken. Stands in for the file object of a pymysql connection as well."""

    def __init__(self, connection: "BinlogLink") -> None:
        self._connection = connection
        self._data = b""
        self._at = 0
        """Up to here it is taken."""

    @property
    def is_empty(self) -> bool:
        return self._at == len(self._data)

    def read(self, size: int) -> bytes:
        """Fewer bytes only where the other end has closed the connection."""
        end = self._at + size
        if end > len(self._data):
            self._receive(size)
            end = size
        taken = self._data[self._at : end]
        self._at += len(taken)
        return taken

    def packet(self) -> tuple[int, bytes]:
        """The next packet of the MySQL protocol: what it is counted as, and its data. Raises MySqlUnavailableError."""
        data, at = self._data, self._at + 4
        if at <= len(data):
            end = at + int.from_bytes(data[at - 4 : at - 1], "little")
            if end <= len(data):  # nearly always: many of them are received at once
                self._at = end
                return data[at - 1], data[at:end]
        head = self.read(4)
        size = int.from_bytes(head[:3], "little")
        body = self.read(size)
        if len(head) < 4 or len(body) < size:
            # The library would connect again by itself, and from where it began: it must not see this.
            raise MySqlUnavailableError("the binlog connection was lost: the server closed it")
        return head[3], body

    def _receive(self, size: int) -> None:
        parts = [self._data[self._at :]]
        missing = size - len(parts[0])
        while missing > 0:
            self._connection.await_data()
            chunk = self._connection.socket.recv(_RECEIVE_BYTES)
            if not chunk:
                break
            parts.append(chunk)
            missing -= len(chunk)
        self._data, self._at = b"".join(parts), 0

    def close(self) -> None:
        self._data, self._at = b"", 0


_Connection: Any = pymysql.connections.Connection  # its stubs lack what is overridden here


class BinlogLink(_Connection):  # type: ignore[misc]
    """A pymysql connection that, once it dumps the binlog, reads through a _Buffer and a PacketRewriter."""

    drained_ms = 0
    """Unix time in ms at which nothing was waiting to be read; 0 before the first time."""
    handed_over = 0
    """Packets of the binlog that the library has read: those it did not know it would skip in silence."""

    def __init__(self, *, stop: threading.Event, silence_s: float, has_checksums: bool, **settings: Any) -> None:
        self._stop = stop
        self._silence_s = silence_s
        self._is_searching = True
        """The server has sent nothing yet that is behind our position."""
        self._rewriter = PacketRewriter()
        self._library_has_checksums = has_checksums
        self._buffer: _Buffer | None = None
        self._packets = self.packets()
        self._next_seq_id = 0
        self._poll: select.poll | None = None
        settings.pop("db", None)  # the library gives the old name of `database` too
        super().__init__(**settings)

    @property
    def socket(self) -> Any:
        return self._sock

    def _write_bytes(self, data: bytes) -> None:
        is_dump = self._buffer is None and len(data) > 4 and data[4] in _DUMP_COMMANDS
        if is_dump:
            self.query(_WE_KNOW_CHECKSUMS)
        super()._write_bytes(data)
        if is_dump:
            self._buffer = self._rfile = _Buffer(self)
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if self._buffer is None:
            answer: MysqlPacket = super()._read_packet(packet_type)
            return answer
        self.handed_over += 1
        packet = next(self._packets)
        return packet_type(packet if self._library_has_checksums else without_checksum(packet), self.encoding)

    def packets(self) -> Iterator[bytes]:
        """Once the binlog is dumped: what to decode, with the OK byte in front; ends with nothing but an error."""
        rewrite = self._rewriter.rewrite
        while True:
            packet = self._receive()
            if self._is_searching:
                self._is_searching = len(packet) <= _KIND_AT or packet[_KIND_AT] in _OPENING_KINDS
            yield from rewrite(packet)

    def _receive(self) -> bytes:
        data = self._receive_part()
        if len(data) == _PART_BYTES_MAX:
            parts = [data]
            while len(parts[-1]) == _PART_BYTES_MAX:
                parts.append(self._receive_part())
            data = b"".join(parts)
        if data[:1] == _ERROR:
            MysqlPacket(data, self.encoding).raise_for_error()
        return data

    def _receive_part(self) -> bytes:
        buffer = self._buffer
        assert buffer is not None  # noqa: S101
        if buffer.is_empty:
            self.await_data(at_boundary=True)
        number, data = buffer.packet()
        if number != self._next_seq_id:
            raise MySqlUnavailableError(f"the binlog connection lost packet {self._next_seq_id}")
        self._next_seq_id = number + 1 & 0xFF
        return data

    def await_data(self, *, at_boundary: bool = False) -> None:
        """Returns when bytes have come; at the end of a packet, every look at an empty line moves `drained_ms`."""
        silent_since_s = time.monotonic()
        limit_s = max(self._silence_s, SEARCH_SILENCE_S) if self._is_searching else self._silence_s
        while True:
            if self._stop.is_set():
                raise LinkStoppedError("the binlog reader was stopped")
            looked_ms = unix_ms()
            if self._has_data(0):
                return
            if at_boundary:
                self.drained_ms = looked_ms
            if time.monotonic() - silent_since_s > limit_s:
                raise MySqlUnavailableError(f"the binlog connection was silent for {limit_s:g} s")
            if self._has_data(_SLICE_MS):
                return

    def _has_data(self, wait_ms: int) -> bool:
        pending = getattr(self._sock, "pending", None)  # TLS keeps decrypted bytes of its own
        if pending is not None and pending():
            return True
        return self._poll is None or bool(self._poll.poll(wait_ms))
