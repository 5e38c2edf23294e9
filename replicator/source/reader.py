"""The reader thread of one binlog connection: binlog, assembler, handover. It ends with its connection."""

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Final

import structlog

from replicator.binlog.events import HeartbeatReceived
from replicator.binlog.foreign_keys import ForeignKeys
from replicator.binlog.plan import make_plans
from replicator.binlog.schema import Schema
from replicator.binlog.stream import Binlog, LinkOptions
from replicator.errors import MySqlUnavailableError, ReaderFailedError, SourceError
from replicator.mysql import MySqlClient, ServerFacts, await_executed, binlog_end
from replicator.position import FilePosition
from replicator.source.anchor import Trail
from replicator.source.handover import Handover, Item, ReadUpTo
from replicator.source.progress import Progress
from replicator.source.statements import Effect, Statement
from replicator.source.stats import SourceStats
from replicator.source.transaction import Assembler
from replicator.tables import TableSpec, WatchedTables
from versioning.backends.mysql_address import MySqlAddress
from versioning.client.clock import unix_ms

# Keys waiting for Redis; twice this with the transaction that is put last. About 20 MB.
WAITING_KEYS_MAX = 200_000

CHECK_END_S: Final = 5.0
"""So late at most is a binlog that was reset noticed. It costs the server one small question."""

_GONE_HINT = "nothing is stamped for it: correct its [[table]] section, and ask the sources to read it (SIGHUP)"

log = structlog.get_logger()


class BinlogReader:
    def __init__(
        self,
        address: MySqlAddress,
        tables: WatchedTables,
        options: LinkOptions,
        *,
        keys_max: int,
        stats: SourceStats,
    ) -> None:
        self.handover = Handover(asyncio.get_running_loop(), weight_max=WAITING_KEYS_MAX)
        self.trail: Trail | None = None
        """Of its connection."""
        self._address = address
        self._tables = tables
        self._options = options
        self._keys_max = keys_max
        self._stats = stats
        self._thread: threading.Thread | None = None
        self._said_at_s = 0.0
        self._check_end_at_s = 0.0

    def start(self, facts: ServerFacts, progress: Progress) -> None:
        self.trail = Trail(progress.resume_from)
        self._thread = threading.Thread(
            target=self._run, args=(facts, progress, self.trail), name="stampline-binlog-reader", daemon=True
        )
        self._thread.start()

    async def stop(self) -> None:
        """Returns when the thread has ended: it looks at its stop flag twenty times a second."""
        self._options.stop.set()
        self.handover.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, self._options.silence_ms / 1000)

    def _run(self, facts: ServerFacts, progress: Progress, trail: Trail) -> None:
        try:
            self._read(facts, progress, trail)
        except SourceError as error:
            self.handover.fail(error)
        except Exception as error:  # a thread has nobody else to tell
            log.exception("binlog_reader_failed", mysql=str(self._address), error=str(error))
            self.handover.fail(ReaderFailedError(f"the binlog reader failed: {type(error).__name__}: {error}"))

    def _read(self, facts: ServerFacts, progress: Progress, trail: Trail) -> None:
        client = MySqlClient(self._address)
        schema, foreign_keys = Schema(client), ForeignKeys(client)
        plans = make_plans(self._tables, foreign_keys.reaching(self._tables.by_name))
        self._name_the_gone(schema, self._tables.specs)
        assembler = Assembler(
            progress,
            self._tables,
            plans,
            end=binlog_end(client),
            trail=trail,
            keys_max=self._keys_max,
            stats=self._stats,
            now_ms=unix_ms,
        )
        binlog = Binlog(self._address, facts, assembler.position, schema=schema, plans=plans, options=self._options)
        try:
            for event in binlog.events():
                transaction = assembler.feed(event)
                if (ddl := assembler.saw_ddl) is not None:
                    binlog.forget_tables()
                    foreign_keys.forget(ddl.names)  # those too that no plan goes by now: a RENAME may bring them back
                    if ddl.may_change_plans(plans):
                        await_executed(client, facts, ddl.gtid)
                        plans = make_plans(self._tables, foreign_keys.reaching(self._tables.by_name))
                        binlog.plans = assembler.plans = plans
                        assembler.plans_made_ms = unix_ms()
                        self._name_the_gone(schema, self._named_by(ddl.statement))
                    assembler.saw_ddl = None
                if transaction is not None:
                    self._put(transaction, is_idle=False)
                elif isinstance(event, HeartbeatReceived) and event.read_ms and assembler.is_between:
                    self._check_end(client, facts, event)
                    self._put(ReadUpTo(event.read_ms, assembler.position, assembler.anchor), is_idle=True)
        finally:
            binlog.close()
            client.close()

    def _check_end(self, client: MySqlClient, facts: ServerFacts, event: HeartbeatReceived) -> None:
        """RESET MASTER leaves readers at the end of a deleted file, with heartbeats until there is as much again."""
        now_s = time.monotonic()
        if now_s < self._check_end_at_s:
            return
        self._check_end_at_s = now_s + CHECK_END_S
        end = binlog_end(client)
        if not FilePosition.parse(f"{facts.server_id}:{end}").includes(event.end):
            raise MySqlUnavailableError(
                f"MySQL {self._address} writes its binlog at {end} and says that it has sent it up to {event.end}"
            )

    def _named_by(self, statement: Statement) -> Iterable[TableSpec]:
        """None for what only may be DDL."""
        match statement.effect:
            case Effect.TABLES:
                return self._tables.mentioned_in(statement.identifiers)
            case Effect.DATABASES:
                return self._tables.of_databases(statement.identifiers)
        return ()

    def _name_the_gone(self, schema: Schema, specs: Iterable[TableSpec]) -> None:
        """Of a table that was renamed or dropped while we read, nothing else tells: heartbeats vouch for its keys."""
        for spec in specs:
            if schema.spelling(spec.name) is None:
                log.error("table_gone", table=str(spec.name), mysql=str(self._address), hint=_GONE_HINT)

    def _put(self, item: Item, *, is_idle: bool) -> None:
        now_s = time.monotonic()
        if not isinstance(item, ReadUpTo) and item.is_empty:
            # Thousands of transactions on tables nobody watches are one pulse per heartbeat.
            if now_s - self._said_at_s < self._options.heartbeat_ms / 2000:
                return
            item = ReadUpTo(min(item.read_ms, unix_ms()), item.position, item.anchor)
        if is_idle or isinstance(item, ReadUpTo):
            self._said_at_s = now_s
        self.handover.put(item)
