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

from replicator.binlog.wire import PacketRewriter
from replicator.errors import MySqlUnavailableError, SourceError

# How often a waiting reader looks at the clock and at its stop flag: the error of `drained_ms`.
_SLICE_MS = 50
_RECEIVE_BYTES = 256 * 1024
_DUMP_COMMANDS = frozenset({0x12, 0x1E})


class LinkStoppedError(SourceError):
    """Our own side asked the reader to stop."""


class _Buffer:
    """Stands in for the file object of a pymysql connection."""

    def __init__(self, connection: "BinlogLink") -> None:
        self._connection = connection
        self._data = bytearray()

    @property
    def is_empty(self) -> bool:
        return not self._data

    def read(self, size: int) -> bytes:
        while len(self._data) < size:
            self._connection.await_data()
            chunk = self._connection.socket.recv(_RECEIVE_BYTES)
            if not chunk:
                break
            self._data += chunk
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def close(self) -> None:
        self._data.clear()


_Connection: Any = pymysql.connections.Connection  # its stubs lack what is overridden here


class BinlogLink(_Connection):  # type: ignore[misc]
    """A pymysql connection that, once it dumps the binlog, reads through a _Buffer and a PacketRewriter."""

    drained_ms = 0
    """Unix time in ms at which nothing was waiting to be read; 0 before the first time."""

    def __init__(self, *, stop: threading.Event, silence_s: float, has_checksums: bool, **settings: Any) -> None:
        self._stop = stop
        self._silence_s = silence_s
        self._rewriter = PacketRewriter(has_checksums=has_checksums)
        self._buffer: _Buffer | None = None
        self._rewriting: Iterator[bytes] | None = None
        self._poll: select.poll | None = None
        settings.pop("db", None)  # the library gives the old name of `database` too
        super().__init__(**settings)

    @property
    def socket(self) -> Any:
        return self._sock

    def _write_bytes(self, data: bytes) -> None:
        super()._write_bytes(data)
        if self._buffer is None and len(data) > 4 and data[4] in _DUMP_COMMANDS:
            self._buffer = self._rfile = _Buffer(self)
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)

    def _read_packet(self, packet_type: type[MysqlPacket] = MysqlPacket) -> MysqlPacket:
        if self._buffer is None:
            answer: MysqlPacket = super()._read_packet(packet_type)
            return answer
        return packet_type(self._next_event(), self.encoding)

    def _next_event(self) -> bytes:
        while True:
            if self._rewriting is not None:
                event = next(self._rewriting, None)
                if event is not None:
                    return event
            self._await_packet()
            self._rewriting = self._rewriter.rewrite(self._receive())

    def _receive(self) -> bytes:
        try:
            return bytes(super()._read_packet().get_all_data())
        except pymysql.err.OperationalError as error:
            # The library would connect again by itself, and from where it began: it must not see these.
            if error.args and error.args[0] in {2006, 2013}:
                raise MySqlUnavailableError(f"the binlog connection was lost: {error.args[-1]}") from error
            raise

    def _await_packet(self) -> None:
        """Returns when a packet begins to arrive; every look at an empty line moves `drained_ms`."""
        if self._buffer is not None and self._buffer.is_empty:
            self.await_data(at_boundary=True)

    def await_data(self, *, at_boundary: bool = False) -> None:
        silent_since_s = time.monotonic()
        while True:
            if self._stop.is_set():
                raise LinkStoppedError("the binlog reader was stopped")
            looked_ms = time.time_ns() // 1_000_000
            if self._has_data(0):
                return
            if at_boundary:
                self.drained_ms = looked_ms
            if time.monotonic() - silent_since_s > self._silence_s:
                raise MySqlUnavailableError(f"the binlog connection was silent for {self._silence_s:g} s")
            if self._has_data(_SLICE_MS):
                return

    def _has_data(self, wait_ms: int) -> bool:
        pending = getattr(self._sock, "pending", None)  # TLS keeps decrypted bytes of its own
        if pending is not None and pending():
            return True
        return self._poll is None or bool(self._poll.poll(wait_ms))
