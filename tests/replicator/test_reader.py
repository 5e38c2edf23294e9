"""What ends the reader thread of a source reaches the loop, and a bug of our own is called one."""

import asyncio
import threading
from typing import Any

import pytest
import structlog

from replicator.binlog.stream import LinkOptions
from replicator.errors import MySqlUnavailableError, ReaderFailedError
from replicator.mysql import MySqlAddress, ServerFacts
from replicator.position import Flavor, parse
from replicator.source import reader as readers
from replicator.source import run as source_run
from replicator.source.history import ReplayStart
from replicator.source.options import SourceOptions
from replicator.source.progress import Progress
from replicator.source.reader import BinlogReader
from replicator.source.run import run_source
from replicator.source.stats import SourceStats
from replicator.tables import TableSpec, WatchedTables
from versioning.backends.memory import MemoryStream
from versioning.keys import KeyTemplate

DEADLINE_S = 20.0
NOW_MS = 1_700_000_000_000
POSITION = parse("0-1-1", Flavor.MARIADB)
FACTS = ServerFacts(Flavor.MARIADB, 1, True, POSITION, {})
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


async def test_a_source_counts_a_bug_as_one_and_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = Failing(KeyError("oops"))
    monkeypatch.setattr(readers, "Schema", failing)
    monkeypatch.setattr(source_run, "check_mysql", lambda *_: None)
    monkeypatch.setattr(source_run, "server_facts", lambda _: FACTS)
    monkeypatch.setattr(source_run, "find_replay_start", lambda *_, **__: ReplayStart(POSITION, NOW_MS))
    stats, stop = SourceStats(), asyncio.Event()
    options = SourceOptions("a", ADDRESS, TABLES)
    source = asyncio.create_task(run_source(options, MemoryStream(lambda: NOW_MS), stop=stop, stats=stats))
    async with asyncio.timeout(DEADLINE_S):
        while failing.tries < 2:
            await asyncio.sleep(0.001)
    stop.set()
    await source
    assert set(stats.failures_by_reason) == {"reader_failed"}
    assert stats.last_error == "the binlog reader failed: KeyError: 'oops'"
