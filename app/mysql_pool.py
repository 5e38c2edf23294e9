"""MySQL for the reference services: a few threads, each with one connection of its own.

Every connection is in autocommit mode: a transaction left open would hold a snapshot from before a reader's watermark,
and a load from it would poison the cache (P4). A lost connection is replaced between statements, never within.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias, TypeVar

import pymysql
from pymysql.cursors import DictCursor

from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.tls import refusal_in
from versioning.errors import StamplineError

CONNECT_TIMEOUT_S: Final = 3
ANSWER_TIMEOUT_S: Final = 10
REFUSED_S: Final = 5.0
"""How long a refused login is not tried again."""
REFUSED_CODES: Final = frozenset({1044, 1045, 1130, 1251, 1698, 2026, 3118, 3159, 4151})
IDLE_S: Final = 1.0
"""A connection used less than this ago is not asked whether it is alive: a round trip saved on every load."""

Connection: TypeAlias = "pymysql.connections.Connection[DictCursor]"
Row = Mapping[str, Any]
Result = TypeVar("Result")


class DatabaseUnavailableError(StamplineError):
    """MySQL did not answer. A write may or may not have happened."""


class MySqlPool:
    def __init__(self, address: MySqlAddress, connections: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._refused = ""
        self._shut_until_s = 0.0
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="mysql")
        self._held = threading.local()
        self._open: list[Connection] = []

    async def run(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` in one of the threads; raises DatabaseUnavailableError, and what MySQL says of the statement."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work)

    async def select(self, sql: str, arguments: tuple[Any, ...]) -> list[dict[str, Any]]:
        def work(connection: Connection) -> list[dict[str, Any]]:
            with connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return list(cursor.fetchall())

        return await self.run(work)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for connection in self._open:
            connection.close()

    def _run(self, work: Callable[[Connection], Result]) -> Result:
        try:
            return work(self._connection())
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError, OSError) as error:
            self._drop()
            raise DatabaseUnavailableError(
                f"MySQL {self._address} as {self._address.user}: {error}",
                hint="is it up, and may that user connect?",
            ) from error

    def _connection(self) -> Connection:
        held: Connection | None = getattr(self._held, "connection", None)
        is_idle = time.monotonic() - getattr(self._held, "used_s", 0.0) > IDLE_S
        self._held.used_s = time.monotonic()
        if held is not None and (not is_idle or _is_alive(held)):
            return held
        self._drop()
        self._held.connection = connection = self._connect()
        self._open.append(connection)
        return connection

    def _connect(self) -> Connection:
        """Behind a refused login nobody tries for a while: a web process asks as often as it misses."""
        if self._refused and self._clock() < self._shut_until_s:
            raise pymysql.err.OperationalError(self._refused)
        try:
            self._refused, connection = "", self._log_in()
        except pymysql.err.OperationalError as error:
            if error.args[0] in REFUSED_CODES or refusal_in(error):
                self._refused, self._shut_until_s = str(error), self._clock() + REFUSED_S
            raise
        return connection

    def _log_in(self) -> Connection:
        return pymysql.connect(
            **self._address.login(),
            database=self._address.database or None,
            charset="utf8mb4",
            autocommit=True,
            cursorclass=DictCursor,
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=ANSWER_TIMEOUT_S,
            write_timeout=ANSWER_TIMEOUT_S,
            init_command="SET time_zone = '+00:00'",
        )

    def _drop(self) -> None:
        held: Connection | None = getattr(self._held, "connection", None)
        if held is not None:
            self._held.connection = None
            self._open.remove(held)
            held.close()


def _is_alive(connection: Connection) -> bool:
    try:
        connection.ping(reconnect=False)
    except (pymysql.err.Error, OSError):
        return False
    return True
