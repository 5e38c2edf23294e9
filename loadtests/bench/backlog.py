"""A binlog of a real MariaDB that waits to be read, and who reads it: our source into a real Redis, the plain library.

What our source is measured by is keys in stream A: read, decoded, made keys, appended. The library only decodes. Both
get the same file; MariaDB sends it, and Redis takes it, on the same machine.
"""

import asyncio
import logging
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.sql_server import PASSWORD
from loadtests.bench.contract import Contender, Sample
from loadtests.bench.servers import process_group, start_redis
from replicator.position import Flavor
from replicator.source.options import SourceOptions
from replicator.source.progress import Progress
from replicator.source.run import run_source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from replicator.tables import TableSpec, WatchedTables
from versioning.backends.base import Append
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.entries import NONCE_CHARS, Gap, NewEntry
from versioning.keys import KeyTemplate

DATABASE: Final = "shop"
USER: Final = "stampline_source"
LOOK_S: Final = 0.01
LIBRARY_SERVER_ID: Final = 4_100_000_000
_ROWS: Final = [WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent]


@dataclass
class Backlog:
    mariadb: MariaDb
    redis: RedisServer
    table: str
    """With the primary key `id`."""
    begin: str = ""
    file: str = ""
    keys: int = 0

    def run(self, *statements: str) -> None:
        with self.mariadb.connect(database=DATABASE) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def fill(self, *statements: str, keys: int) -> None:
        """Write the backlog into a file of its own; ``keys``: what a source appends for it."""
        self.mariadb.execute("FLUSH BINARY LOGS")
        self.begin = str(self.mariadb.scalar("SELECT @@gtid_binlog_pos"))
        self.file = str(self.mariadb.query("SHOW BINARY LOGS")[-1]["Log_name"])
        self.run(*statements)
        self.keys = keys

    def source(self, name: str = "stampline source") -> Contender:
        return Contender(name, lambda seconds: asyncio.run(self._drain(seconds)))

    def library(self, name: str, **options: Any) -> Contender:
        return Contender(name, lambda seconds: self._read(seconds, options))

    def mariadb_binlog(self) -> Contender:
        """What the server's own tool needs for the whole file, rows decoded, from the disk."""
        path = self.mariadb.data_folder / self.file
        command = ["mariadb-binlog", "--no-defaults", "--base64-output=decode-rows", "-v", str(path)]

        def measure(_: float) -> Sample:
            began_s = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
            return Sample(self.keys / (time.perf_counter() - began_s))

        return Contender("mariadb-binlog -v", measure)

    async def _drain(self, seconds: float) -> Sample:
        self.redis.flush()
        stream, stop, stats = RedisStream.from_url(self.redis.url), asyncio.Event(), SourceStats()
        address = MySqlAddress(self.mariadb.host, self.mariadb.port, USER, PASSWORD, ssl_disabled=True)
        options = SourceOptions("bench", address)
        spec = TableSpec(DATABASE, self.table, (KeyTemplate.parse(self.table + ":{id}"),))
        templates = Templates(WatchedTables((spec,)))
        await self._put_checkpoint(stream, options)
        task = asyncio.create_task(run_source(options, templates, stream, stop=stop, stats=stats))
        await _until(lambda: stats.keys or task.done())
        first, began_s, began_cpu_s = stats.keys, time.perf_counter(), time.process_time()
        ends_s = began_s + seconds
        await _until(lambda: stats.keys >= self.keys or task.done() or time.perf_counter() > ends_s)
        keys, took_s, cpu_s = stats.keys - first, time.perf_counter() - began_s, time.process_time() - began_cpu_s
        stop.set()
        await task
        await stream.aclose()
        return Sample(keys / took_s, {"cpu_us": cpu_s / keys * 1e6, "keys_per_append": stats.keys / stats.appends})

    async def _put_checkpoint(self, stream: RedisStream, options: SourceOptions) -> None:
        """As if a source had read everything before the backlog."""
        entry = NewEntry(secrets.token_hex(NONCE_CHARS // 2), Gap("the benchmark begins"))
        now_ms = time.time_ns() // 1_000_000
        checkpoint = Checkpoint(Progress.decode(self.begin, Flavor.MARIADB).encode(), now_ms, entry.nonce)
        await stream.append(Append((entry,), now_ms, options.writer, None, checkpoint))

    def _read(self, seconds: float, options: dict[str, Any]) -> Sample:
        settings = {
            "host": self.mariadb.host, "port": self.mariadb.port, "user": USER, "password": PASSWORD,
            "database": "information_schema", "ssl_disabled": True,
        }  # fmt: skip
        reader = BinLogStreamReader(
            connection_settings=dict(settings), ctl_connection_settings=dict(settings), server_id=LIBRARY_SERVER_ID,
            is_mariadb=True, auto_position=self.begin, blocking=True, only_events=_ROWS, enable_logging=False,
            **options,
        )  # fmt: skip
        rows, began_s, began_cpu_s = 0, time.perf_counter(), time.process_time()
        for event in reader:
            rows += len(event.rows)
            if rows >= self.keys or time.perf_counter() - began_s > seconds:
                break
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
        reader.close()
        return Sample(rows / took_s, {"cpu_us": cpu_s / rows * 1e6})


async def _until(is_true: Callable[[], object]) -> None:
    while not is_true():  # noqa: ASYNC110  what is watched are plain numbers
        await asyncio.sleep(LOOK_S)


@contextmanager
def backlog(table: str) -> Iterator[Backlog]:
    """An empty database and an empty Redis, with this table still to be made and filled."""
    logging.getLogger("pymysqlreplication").setLevel(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with process_group() as (group, folder):
        mariadb = group.add(MariaDb("mariadb", folder / "mariadb", innodb_buffer_pool_size="128M"))
        mariadb.start()
        mariadb.create_users()
        mariadb.create_database(DATABASE)
        yield Backlog(mariadb, start_redis(group, folder, "redis"), table)
