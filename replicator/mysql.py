"""Connections to MySQL and MariaDB for questions, and the border where their errors become ours."""

import contextlib
import re
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pymysql
import pymysql.cursors

from replicator.errors import (
    MySqlAuthenticationError,
    MySqlUnavailableError,
    PositionLostError,
    SourceError,
    StatementUnknownError,
    UnsupportedEventError,
)
from replicator.position import Flavor, MariaDbPosition, Position, parse
from replicator.server_version import VERSION_VARIABLES, ServerVersion
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.tls import TLS_HINT, TlsFiles, refusal_in
from versioning.backends.tls_dates import dates_problem

CONNECT_TIMEOUT_S = 5
EXECUTED_TIMEOUT_S = 5
"""Less than a client's read timeout."""
PATIENTLY = "/*+ MAX_EXECUTION_TIME(60000) */"
"""Of a SELECT that waits: MySQL from 5.7 on would end it at the server's max_execution_time. 0 is not "without end"."""
REFUSED_S = 20.0
"""A refused login is not tried again by the same client for this long, however often it is asked. Under the least pause
of who waits after a refusal (`Backoff.denied_s`), so that each of its tries is one."""
_LOCK_TIMEOUT_S = 2
"""What information_schema says of a table waits for its lock: the server gives up before we do, and says why."""

_DENIED = frozenset({1044, 1045, 1130, 1142, 1143, 1227, 1251, 1698, 1820, 1862, 2059, 3118, 4150, 4151})
"""Also of an expired password, one that was wrong too often, and a plugin that the driver does not know."""
_NO_TLS = frozenset({2026, 3159})
"""Asked for on one side, and not to be had on the other. MariaDB spells the second 4151, as it does other refusals."""
_CLIENT_CODES = frozenset({0, *range(2000, 3000)})
"""The driver's own; all others are said by a server that did answer."""
_PARSE_ERROR = 1064
_LOCK_TIMEOUT = 1205
_BINLOG_FATAL = 1236
# Error 1236 stands for many things, and its texts differ between versions. These say that what we ask for is not there:
# purged, never written, or no boundary of an event. With any other one (checksums, a server id used twice, no memory,
# a disk that cannot be read) the position may be as good as before: connect again.
_POSITION_LOST = (
    "purged", "first log file", "next log", "not in the master's binlog", "gtid state", "missing the gtid",
    "impossible position", "file size", "more gtids than", "bogus data", "truncated in the middle",
)  # fmt: skip
_DAMAGED = ("bogus data", "truncated in the middle")
_LAST_READ = re.compile(r"the last event read from '(?:[^']*/)?([^'/]+)' at")
_PACKET_TOO_BIG = "max_allowed_packet"
_GREETING_HINT = "is the port right? 33060 has another protocol"
_PLUGIN_HINT = "install that package beside stampline, or give the account mysql_native_password"
_ACCESS_HINT = "check user, password and the grants REPLICATION SLAVE, REPLICATION CLIENT and SELECT"


def connect_arguments(address: MySqlAddress, *, read_timeout_s: float) -> dict[str, Any]:
    """Arguments of pymysql.connect, a new dict each time: the binlog library changes what it gets."""
    return {
        **address.login(),
        "database": "information_schema",
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": read_timeout_s,
        "write_timeout": read_timeout_s,
        "autocommit": True,
    }


@contextmanager
def translated(address: MySqlAddress) -> Iterator[None]:
    """Whatever the driver raises inside comes out as a SourceError that names the server."""
    try:
        yield
    except (pymysql.err.MySQLError, OSError) as error:
        raise _translate(address, error) from error


@contextmanager
def _login(address: MySqlAddress) -> Iterator[None]:
    """The same for a login: a server that does not accept our certificate hangs up, and the reason may be lost."""
    try:
        yield
    except (pymysql.err.MySQLError, OSError) as error:
        found = _translate(address, error)
        if address.ssl_cert is None or not isinstance(found, MySqlUnavailableError) or not _is_hang_up(error):
            raise found from error
        files = TlsFiles(cert=address.ssl_cert, key=address.ssl_key)
        why = dates_problem(files) or f"the server hung up: it may not know the CA of {address.ssl_cert}"
        raise MySqlAuthenticationError(
            f"no TLS with MySQL {address} as {address.user}: {why}", hint=TLS_HINT
        ) from error
    except RuntimeError as error:  # The driver's word for a library that the account's plugin needs.
        raise MySqlAuthenticationError(
            f"no login at MySQL {address} as {address.user}: {error}", hint=_PLUGIN_HINT
        ) from error
    except (struct.error, IndexError) as error:  # The driver reads on where a greeting has ended.
        raise MySqlUnavailableError(
            f"MySQL {address} is not available: what answers does not greet as a MySQL", hint=_GREETING_HINT
        ) from error


def _is_hang_up(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _translate(address: MySqlAddress, error: Exception) -> SourceError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[1]) if len(error.args) > 1 else str(error)
    where = f"MySQL {address}"
    refusal = refusal_in(error) or (text if code in _NO_TLS else "")
    if refusal:
        return MySqlAuthenticationError(f"no TLS with {where} as {address.user}: {refusal}", hint=TLS_HINT)
    if code in _DENIED:
        return MySqlAuthenticationError(f"{where} refused {address.user}: {text}", hint=_ACCESS_HINT)
    if code == _PARSE_ERROR:
        return StatementUnknownError(f"{where} does not know this statement: {text}")
    if code == _BINLOG_FATAL and _PACKET_TOO_BIG in text:
        return UnsupportedEventError(f"{where}: {text}", hint="raise max_allowed_packet on the server")
    if code == _BINLOG_FATAL and any(part in text.lower() for part in _POSITION_LOST):
        return PositionLostError(f"{where} does not have our position: {text}", damaged_file=_damaged_file(text))
    return MySqlUnavailableError(
        f"{where} is not available: {text or type(error).__name__}", is_unreached=code in _CLIENT_CODES
    )


def _damaged_file(text: str) -> str:
    found = _LAST_READ.search(text) if any(part in text for part in _DAMAGED) else None
    return found[1] if found else ""


class MySqlClient:
    """One connection for questions, opened at the first one. Not for several threads."""

    def __init__(
        self, address: MySqlAddress, *, read_timeout_s: float = 10.0, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self._read_timeout_s = read_timeout_s
        self._clock_s = clock_s
        self._connection: pymysql.Connection[Any] | None = None
        self._refusal = ""
        self._shut_until_s = 0.0

    def query(self, sql: str, arguments: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return all rows; connects if need be. Raises MySqlUnavailableError, and what else a refusal means."""
        return self._ask(sql, arguments)[1]

    def query_dicts(self, sql: str, arguments: Sequence[object] = ()) -> list[dict[str, Any]]:
        names, rows = self._ask(sql, arguments)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _ask(self, sql: str, arguments: Sequence[object]) -> tuple[list[str], list[tuple[Any, ...]]]:
        with translated(self.address):
            if self._connection is None:
                self._connection = self._connect()
            try:
                with self._connection.cursor() as cursor:
                    cursor.execute(sql, arguments)
                    names, rows = [column[0] for column in cursor.description or ()], list(cursor.fetchall())
                    if cursor.warning_count:
                        _check_is_whole(cursor, self.address)
                    return names, rows
            except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError):
                self.close()
                raise

    def _connect(self) -> "pymysql.Connection[Any]":
        if self._refusal and self._clock_s() < self._shut_until_s:
            raise MySqlAuthenticationError(self._refusal)
        try:
            self._refusal, connection = "", self._log_in()
        except MySqlAuthenticationError as error:
            self._refusal, self._shut_until_s = str(error), self._clock_s() + REFUSED_S
            raise
        return connection

    def _log_in(self) -> "pymysql.Connection[Any]":
        with _login(self.address):
            return pymysql.connect(
                **connect_arguments(self.address, read_timeout_s=self._read_timeout_s),
                init_command=f"SET SESSION lock_wait_timeout = {_LOCK_TIMEOUT_S}",
            )

    def variables(self, *names: str) -> dict[str, str]:
        """Global variables in lower case; those the server does not know are absent."""
        marks = ",".join(["%s"] * len(names))
        rows = self.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", names)
        return {str(name).lower(): str(value) for name, value in rows}

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and connection.open:
            connection.close()


def _check_is_whole(cursor: "pymysql.cursors.Cursor", address: MySqlAddress) -> None:
    """MariaDB and old MySQLs leave a table that stays locked out of information_schema, and only warn of it."""
    cursor.execute("SHOW WARNINGS")
    if any(code == _LOCK_TIMEOUT for _, code, _ in cursor.fetchall()):
        raise MySqlUnavailableError(
            f"MySQL {address} cannot tell of a table that is locked", hint="SHOW PROCESSLIST names who has it"
        )


@dataclass(frozen=True, slots=True)
class ServerFacts:
    flavor: Flavor
    server_id: int
    has_checksums: bool
    position: Position
    """The end of the binlog."""
    variables: dict[str, str]

    @property
    def own_id(self) -> int | None:
        """What only events have that it wrote itself; None: nothing, nodes of a Galera cluster may share their id."""
        return None if is_on(self.variables.get("wsrep_on", "")) else self.server_id


_VARIABLES = (
    *VERSION_VARIABLES,
    "server_id",
    "gtid_binlog_state",
    "gtid_executed",
    "log_bin",
    "binlog_format",
    "binlog_checksum",
    "mysql56_temporal_format",
    "log_slave_updates",
    "log_replica_updates",
    "read_only",
    "wsrep_on",
)


def server_facts(client: MySqlClient) -> ServerFacts:
    variables = client.variables(*_VARIABLES)
    flavor = ServerVersion.of(variables).flavor
    server_id = int(variables["server_id"])
    return ServerFacts(
        flavor,
        server_id,
        variables.get("binlog_checksum", "NONE").upper() != "NONE",
        parse(_end_of_binlog(client, flavor, server_id, variables), flavor),
        variables,
    )


def _end_of_binlog(client: MySqlClient, flavor: Flavor, server_id: int, variables: dict[str, str]) -> str:
    if flavor is Flavor.MARIADB:
        return _highest(variables["gtid_binlog_state"])
    if flavor is Flavor.MYSQL:
        return variables["gtid_executed"].replace("\n", "")
    files = binlog_files(client)
    return f"{server_id}:{files[-1][0]}/{files[-1][1]}" if files else f"{server_id}:none.0/0"


def _highest(state: str) -> str:
    """MariaDB's `gtid_binlog_pos` is the last of each domain: less than it has where a sequence number went back."""
    position = MariaDbPosition()
    for gtid in filter(None, state.split(",")):
        position = position.after(gtid.strip())
    return str(position)


def await_executed(client: MySqlClient, facts: ServerFacts, gtid: str) -> None:
    """Return when what this MySQL says of its tables includes a DDL that we have read. Raises SourceError.

    Its binlog shows a DDL before its data dictionary does (with semi-sync: until a replica has answered). MariaDB, and
    MySQL before 8.0, let a question wait for the lock that the DDL still holds.
    """
    if facts.flavor is not Flavor.MYSQL or not gtid or ServerVersion.of(facts.variables).number < (8, 0):
        return
    sql = f"SELECT {PATIENTLY} WAIT_FOR_EXECUTED_GTID_SET(%s, %s)"
    if client.query(sql, (gtid, EXECUTED_TIMEOUT_S))[0][0] != 0:
        raise MySqlUnavailableError(f"MySQL {client.address} has not ended {gtid} for {EXECUTED_TIMEOUT_S} s")


def replica_status(client: MySqlClient) -> list[dict[str, Any]] | None:
    """One row for each server it follows; None where we may not ask."""
    try:
        return _first_known(client, "SHOW ALL SLAVES STATUS", "SHOW REPLICA STATUS", "SHOW SLAVE STATUS")
    except MySqlAuthenticationError:
        return None


def is_only_replica(client: MySqlClient, facts: ServerFacts) -> bool:
    """Whether it surely is no primary: it follows another server, and takes no writes."""
    return facts.variables.get("read_only", "OFF").lower() not in {"off", "0"} and bool(replica_status(client))


def binlog_filters(client: MySqlClient) -> list[str]:
    """What leaves databases out of the binlog, as ``variable=value``. Raises SourceError."""
    rows = _binlog_status(client)
    names = {"Binlog_Do_DB": "binlog_do_db", "Binlog_Ignore_DB": "binlog_ignore_db"}
    return [f"{names[name]}={row[name]}" for row in rows for name in names if row.get(name)]


def binlog_end(client: MySqlClient) -> str:
    """The file/offset where it writes its binlog."""
    for row in _binlog_status(client):
        return f"{row['File']}/{row['Position']}"
    raise MySqlUnavailableError(f"MySQL {client.address} writes no binlog")


def _binlog_status(client: MySqlClient) -> list[dict[str, Any]]:
    return _first_known(client, "SHOW MASTER STATUS", "SHOW BINARY LOG STATUS")


def _first_known(client: MySqlClient, *statements: str) -> list[dict[str, Any]]:
    """Return the rows of the first statement that this server's version knows."""
    for statement in statements[:-1]:
        with contextlib.suppress(StatementUnknownError):
            return client.query_dicts(statement)
    return client.query_dicts(statements[-1])


def is_on(value: str) -> bool:
    """Of a global variable."""
    return value.lower() in {"on", "1", "yes"}


def applies_for_others(variables: Mapping[str, str], *, is_replica: bool) -> bool:
    """Others are its primary, or the nodes of its Galera cluster."""
    return is_replica or is_on(variables.get("wsrep_on", ""))


def hides_applied_changes(variables: Mapping[str, str], *, is_replica: bool) -> str:
    """The variable that keeps what this server applies for others out of its binlog; empty where nothing is."""
    names = [name for name in ("log_slave_updates", "log_replica_updates") if name in variables]
    applies = applies_for_others(variables, is_replica=is_replica)
    return names[0] if applies and names and not any(is_on(variables[name]) for name in names) else ""


def binlog_files(client: MySqlClient) -> list[tuple[str, int]]:
    """Names and sizes, oldest first."""
    return [(str(row[0]), int(row[1])) for row in client.query("SHOW BINARY LOGS")]
