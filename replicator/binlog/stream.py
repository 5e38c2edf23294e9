"""The only module that imports pymysqlreplication: one binlog connection as an iterator of our own events.

Law: every event of the binlog comes out, is known to be irrelevant, or raises. The library connects, registers and asks
for the binlog; what then comes is ours (`link`, `decoder`). Its reader lives as long as its connection; it must never
connect again by itself, since it would start from where it began. Rows are decoded while they are iterated, only those
of tables with a plan; a failure there is RowsUndecodableError, elsewhere a named stop.
"""

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import CHARSET
from pymysqlreplication.event import FormatDescriptionEvent, RotateEvent

from replicator.binlog.decoder import EventDecoder
from replicator.binlog.events import BinlogEvent
from replicator.binlog.link import BinlogLink
from replicator.binlog.plan import TablePlans
from replicator.binlog.schema import Schema
from replicator.binlog.tables import Tables
from replicator.errors import MySqlUnavailableError, SourceError, UnsupportedEventError
from replicator.mysql import ServerFacts, connect_arguments, translated
from replicator.position import FilePosition, Flavor, MySqlPosition, Position
from versioning.backends.mysql_address import MySqlAddress

logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)  # it warns about settings that are handled here

FIRST_EVENT_OFFSET: Final = 4
"""In a binlog file: behind its magic number."""

_UCA1400_CHARSETS: Final = ("utf8mb3", "utf8mb4", "ucs2", "utf16", "utf32")
_UCA1400: Final = range(2048, 2048 + len(_UCA1400_CHARSETS) * 256)
"""Numbers of MariaDB's uca1400 collations, which the library does not know: 256 for each set of characters."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    server_id: int
    heartbeat_ms: int
    silence_ms: int
    """Without a byte for this long, heartbeats included, the connection counts as dead; at its beginning not before
    `link.SEARCH_SILENCE_S`."""
    stop: threading.Event


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
        self._address = address
        is_mariadb = facts.flavor is Flavor.MARIADB
        self._tables = Tables(
            plans,
            schema.placed_columns,
            charset_names(is_mariadb=is_mariadb),
            is_mariadb=is_mariadb,
            own_id=facts.own_id,
        )
        self._reader = _open_reader(address, facts, options, **_start(position))

    @property
    def plans(self) -> TablePlans:
        return self._tables.plans

    @plans.setter
    def plans(self, plans: TablePlans) -> None:
        self._tables.plans = plans

    def events(self) -> Iterator[BinlogEvent]:
        link = self._connect()
        decoder = EventDecoder(self._tables, drained_ms=lambda: int(link.drained_ms))
        decoder.begin(self._reader.log_file)
        with translated(self._address):
            for packet in link.packets():
                if packet[:1] != b"\0":
                    raise MySqlUnavailableError(f"MySQL {self._address} ended the binlog stream")
                event = decoder.decode(packet)
                if event is not None:
                    yield event

    def _connect(self) -> BinlogLink:
        """The first packet is the name of the file that is read first, made for us by the server."""
        with translated(self._address), _translated_decoding():
            if self._reader.fetchone() is None:
                raise MySqlUnavailableError(f"MySQL {self._address} ended the binlog stream")
        link: BinlogLink = self._reader._stream_connection  # noqa: SLF001  our own class
        if link.handed_over != 1:
            raise UnsupportedEventError(f"MySQL {self._address} does not begin with the name of its file")
        return link

    def forget_tables(self) -> None:
        """After DDL: table maps are read again, with what information_schema says then."""
        self._tables.forget()

    def close(self) -> None:
        with translated(self._address):
            self._reader.close()


def charset_names(*, is_mariadb: bool) -> Callable[[int], str | None]:
    """From the number of a collation to MySQL's name of its character set, as far as it is known."""
    dbms = "mariadb" if is_mariadb else "mysql"

    def name(number: int) -> str | None:
        if is_mariadb and number in _UCA1400:
            return _UCA1400_CHARSETS[number - _UCA1400.start >> 8]
        collation = CHARSET.charset_by_id(number, dbms)
        return collation.name if collation else None

    return name


def file_began_ms(address: MySqlAddress, facts: ServerFacts, file: str, options: LinkOptions) -> int:
    """When a binlog file was begun, Unix time in ms, to the second."""
    reader = _open_reader(address, facts, options, log_file=file, log_pos=FIRST_EVENT_OFFSET, resume_stream=True)
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


class _NothingRead(list[str]):
    """An empty GTID set that the library does not take for none: without one it begins with the newest file."""

    def __bool__(self) -> bool:
        return True


def _start(position: Position) -> dict[str, Any]:
    if isinstance(position, FilePosition):
        return {"log_file": position.file, "log_pos": position.offset, "resume_stream": True}
    if isinstance(position, MySqlPosition) and not position.sets:
        return {"auto_position": _NothingRead()}
    return {"auto_position": str(position)}


def _open_reader(address: MySqlAddress, facts: ServerFacts, options: LinkOptions, **start: Any) -> BinLogStreamReader:
    silence_s = options.silence_ms / 1000
    link = functools.partial(BinlogLink, stop=options.stop, silence_s=silence_s, has_checksums=facts.has_checksums)
    return BinLogStreamReader(
        connection_settings=connect_arguments(address, read_timeout_s=silence_s),
        ctl_connection_settings=connect_arguments(address, read_timeout_s=silence_s),
        pymysql_wrapper=link,
        server_id=options.server_id,
        blocking=True,
        is_mariadb="auto_position" in start and facts.flavor is Flavor.MARIADB,
        only_events=[RotateEvent, FormatDescriptionEvent],
        slave_heartbeat=options.heartbeat_ms / 1000,
        enable_logging=False,
        **start,
    )


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
