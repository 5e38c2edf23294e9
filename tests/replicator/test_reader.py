"""What ends the reader thread of a source reaches the loop, and a bug of our own is called one."""

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import pytest
import structlog

from replicator.binlog.events import (
    BinlogEvent,
    Committed,
    GroupBegan,
    HeartbeatReceived,
    QueryRan,
    RowImage,
    RowKind,
    RowsChanged,
)
from replicator.binlog.plan import ForeignKey, TablePlans
from replicator.binlog.stream import LinkOptions
from replicator.errors import MySqlUnavailableError, PositionLostError, ReaderFailedError, StatementUnknownError
from replicator.mysql import ServerFacts
from replicator.position import Flavor, parse
from replicator.source import beginning
from replicator.source import reader as readers
from replicator.source import run as source_run
from replicator.source.anchor import BinlogFile
from replicator.source.handover import Item, ReadUpTo
from replicator.source.history import ReplayStart
from replicator.source.options import SourceOptions
from replicator.source.progress import Progress
from replicator.source.reader import BinlogReader
from replicator.source.run import run_source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from replicator.source.transaction import Transaction
from replicator.tables import TableName, TableSpec, WatchedTables
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.backends.mysql_address import MySqlAddress
from versioning.checkpoint import Checkpoint
from versioning.entries import Gap, Heartbeat, NewEntry
from versioning.keys import KeyTemplate

DEADLINE_S = 20.0
NOW_MS = 1_700_000_000_000
POSITION = parse("0-1-1", Flavor.MARIADB)
FACTS = ServerFacts(Flavor.MARIADB, 1, True, POSITION, {})
FILE = BinlogFile(1, "b.000001", 0)
ADDRESS = MySqlAddress("mysql.a")
TABLES = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"),)),))


class Failing:
    """Stands in for the schema, the first thing the thread makes."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0

    def __call__(self, _client: Any) -> Any:
        self.tries += 1
        raise self.error


async def read(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(readers, "Schema", Failing(error))
    options = LinkOptions(1, 500, 1_000, threading.Event())
    reader = BinlogReader(ADDRESS, TABLES, options, keys_max=10, stats=SourceStats())
    reader.start(FACTS, Progress(POSITION))
    try:
        async with asyncio.timeout(DEADLINE_S):
            await reader.handover.take()
    finally:
        await reader.stop()


async def test_a_bug_of_the_reader_is_logged_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(ReaderFailedError, match="KeyError: 'oops'"):
        await read(monkeypatch, KeyError("oops"))
    assert [(line["event"], line["mysql"], line["exc_info"]) for line in logs] == [
        ("binlog_reader_failed", "mysql.a:3306", True)
    ]


async def test_a_server_that_is_away_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(MySqlUnavailableError, match="gone"):
        await read(monkeypatch, MySqlUnavailableError("gone"))
    assert not logs


UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
EIGHT = ServerFacts(Flavor.MYSQL, 1, True, parse(f"{UUID}:1-2", Flavor.MYSQL), {"version": "8.4.3"})
ROOM = TableName("shop", "room")


class EightClient:
    """A MySQL 8 whose binlog shows a DDL that its data dictionary does not show yet."""

    waits_answer = 0
    end = ("b.000001", 1)

    def __init__(self, address: MySqlAddress) -> None:
        self.address = address
        self.is_executed = False

    def query(self, sql: str, arguments: tuple[object, ...]) -> list[tuple[int]]:
        assert re.fullmatch(
            r"SELECT /\*\+ MAX_EXECUTION_TIME\([1-9]\d*\) \*/ WAIT_FOR_EXECUTED_GTID_SET\(%s, %s\)", sql
        )
        assert arguments[0] == f"{UUID}:2"
        self.is_executed = True
        return [(self.waits_answer,)]

    def query_dicts(self, sql: str) -> list[dict[str, object]]:
        if sql == "SHOW MASTER STATUS":
            raise StatementUnknownError(sql)
        assert sql == "SHOW BINARY LOG STATUS"
        return [dict(zip(("File", "Position"), self.end, strict=True))]

    def close(self) -> None:
        pass


class EightSchema:
    gone: tuple[TableName, ...] = ()

    def __init__(self, client: EightClient) -> None:
        self._client = client

    def spelling(self, table: TableName) -> TableName | None:
        return None if self._client.is_executed and table in self.gone else table


class EightForeignKeys:
    def __init__(self, client: EightClient) -> None:
        self._client = client
        self._is_asked_again = False

    def forget(self, names: frozenset[str] | None) -> None:
        assert names is not None
        assert names >= {"item", "room"}
        self._is_asked_again = True

    def reaching(self, _tables: Iterable[TableName]) -> list[ForeignKey]:
        new = ForeignKey("new", TableName("shop", "item"), ROOM, ("id",), acts_on_delete=True, acts_on_update=False)
        return [new] if self._is_asked_again and self._client.is_executed else []


class EightBinlog:
    """A foreign key is made, and a row of its parent is deleted."""

    def __init__(self, *_: object, **__: object) -> None:
        self.plans: TablePlans = {}

    def events(self) -> Iterator[BinlogEvent]:
        yield GroupBegan(f"{UUID}:2", is_open=False)
        yield QueryRan(
            "ALTER TABLE item ADD FOREIGN KEY (room) REFERENCES room (id) ON DELETE CASCADE", NOW_MS, "b.1/2"
        )
        yield GroupBegan(f"{UUID}:3", is_open=False)
        yield QueryRan("BEGIN", NOW_MS, "b.1/3")
        yield RowsChanged(ROOM, RowKind.DELETE, iter([RowImage({"id": 7}, None)]))
        yield Committed(NOW_MS, "b.1/4")

    def forget_tables(self) -> None:
        pass

    def close(self) -> None:
        pass


async def read_eight(
    monkeypatch: pytest.MonkeyPatch,
    client: type[EightClient] = EightClient,
    binlog: type[EightBinlog] = EightBinlog,
) -> list[Item]:
    monkeypatch.setattr(readers, "MySqlClient", client)
    monkeypatch.setattr(readers, "Schema", EightSchema)
    monkeypatch.setattr(readers, "ForeignKeys", EightForeignKeys)
    monkeypatch.setattr(readers, "Binlog", binlog)
    options = LinkOptions(1, 500, 1_000, threading.Event())
    reader = BinlogReader(ADDRESS, TABLES, options, keys_max=10, stats=SourceStats())
    reader.start(EIGHT, Progress(parse(f"{UUID}:1", Flavor.MYSQL)))
    await reader.stop()
    return await reader.handover.take()


async def test_a_foreign_key_that_the_server_does_not_show_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, deleted = await read_eight(monkeypatch)
    assert isinstance(deleted, Transaction)
    assert deleted.generations == ((f"foreign key cascade from {ROOM}", ("item",)),)


async def test_a_table_that_a_ddl_took_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source reads on, and vouches for its keys: nobody would notice that nothing of it is stamped any more."""
    monkeypatch.setattr(EightSchema, "gone", (TableName("shop", "item"),))
    with structlog.testing.capture_logs() as logs:
        await read_eight(monkeypatch)
    said = [(line["log_level"], line["event"], line["table"]) for line in logs]
    assert said == [("error", "table_gone", "shop.item")]


async def test_a_ddl_that_does_not_end_is_read_again_and_nothing_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EightClient, "waits_answer", 1)
    with pytest.raises(MySqlUnavailableError, match=f"has not ended {UUID}:2 for 5 s"):
        await read_eight(monkeypatch)


async def test_a_source_counts_a_bug_as_one_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(KeyError("oops"))
    monkeypatch.setattr(readers, "Schema", failing)
    monkeypatch.setattr(source_run, "check_mysql", lambda *_: None)
    monkeypatch.setattr(beginning, "server_facts", lambda _: FACTS)
    monkeypatch.setattr(beginning, "check_server", lambda *_: None)
    monkeypatch.setattr(beginning, "find_replay_start", lambda *_, **__: ReplayStart(POSITION, FILE, NOW_MS))
    monkeypatch.setattr(beginning, "may_have_begun", lambda *_: True)
    stats, stop = SourceStats(), asyncio.Event()
    options, stream = SourceOptions("a", ADDRESS), MemoryStream(lambda: NOW_MS)
    source = asyncio.create_task(run_source(options, Templates(TABLES), stream, stop=stop, stats=stats))
    async with asyncio.timeout(DEADLINE_S):
        while failing.tries < 2:
            await asyncio.sleep(0.001)
    stop.set()
    await source
    assert set(stats.failures_by_reason) == {"reader_failed"}
    assert stats.last_error == "the binlog reader failed: KeyError: 'oops'"


class ResetBinlog(EightBinlog):
    """Sends heartbeats from the end of a file that is no more."""

    def events(self) -> Iterator[BinlogEvent]:
        yield HeartbeatReceived(NOW_MS, "b.000001/900")


class ResetClient(EightClient):
    end = ("b.000001", 900)


@pytest.mark.parametrize(
    ("end", "is_reset"), [(("b.000001", 900), False), (("b.000002", 4), False), (("b.000001", 400), True)]
)
async def test_a_binlog_that_was_reset_is_read_over_another_connection(
    monkeypatch: pytest.MonkeyPatch, end: tuple[str, int], *, is_reset: bool
) -> None:
    monkeypatch.setattr(ResetClient, "end", end)
    expected = pytest.raises(MySqlUnavailableError, match=r"at b\.000001/400") if is_reset else contextlib.nullcontext()
    with expected:
        assert await read_eight(monkeypatch, ResetClient, ResetBinlog) == [
            ReadUpTo(NOW_MS, parse(f"{UUID}:1", Flavor.MYSQL))
        ]


class LosingReader:
    """Each source's first connection ends because the server does not have its position; the second one reads."""

    connections: ClassVar[list[Progress]] = []
    trail = None

    def __init__(self, *_: Any, **__: Any) -> None:
        self.handover = self

    def start(self, _facts: ServerFacts, progress: Progress) -> None:
        self.connections.append(progress)

    async def take(self) -> list[Item]:
        if len(self.connections) > SOURCES:
            await asyncio.Event().wait()
        while len(self.connections) < SOURCES:
            await asyncio.sleep(0)
        raise PositionLostError("purged")

    async def stop(self) -> None:
        """Nothing runs."""


SOURCES = 2


async def test_of_two_sources_that_lose_their_position_one_says_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the other one waits before it tries again: a second replay would stamp the window once more."""
    monkeypatch.setattr(LosingReader, "connections", [])
    monkeypatch.setattr(source_run, "BinlogReader", LosingReader)
    monkeypatch.setattr(source_run, "FLUSH_MAX_S", 0.01)
    monkeypatch.setattr(source_run, "check_mysql", lambda *_: None)
    monkeypatch.setattr(beginning, "check_server", lambda *_: None)
    monkeypatch.setattr(beginning, "server_facts", lambda _: FACTS)
    monkeypatch.setattr(beginning, "find_replay_start", lambda *_, **__: ReplayStart(POSITION, FILE, NOW_MS))
    monkeypatch.setattr(beginning, "may_have_begun", lambda *_: True)
    stream, stop = MemoryStream(lambda: NOW_MS), asyncio.Event()
    before = Checkpoint("0-1-1", NOW_MS, "0" * 16)
    await stream.append(Append((NewEntry("0" * 16, Heartbeat(NOW_MS)),), NOW_MS, "source:a", None, before))
    sources = [
        asyncio.create_task(run_source(SourceOptions("a", ADDRESS), Templates(TABLES), stream, stop=stop))
        for _ in range(SOURCES)
    ]
    async with asyncio.timeout(DEADLINE_S):
        while len(LosingReader.connections) < 2 * SOURCES:
            await asyncio.sleep(0.001)
    stop.set()
    await asyncio.gather(*sources)
    entries = await stream.read_after(0, count=100)
    assert [type(entry.body) for entry in entries] == [Heartbeat, Gap]
    assert all(progress.replay for progress in LosingReader.connections[SOURCES:])
