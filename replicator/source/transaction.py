"""Only this file decides when a transaction is complete. Nothing leaves before its commit.

Feed it the events of one binlog connection in order: it returns a Transaction at each commit, DDL or other end of a
group, and None in between. It holds one open transaction (`keys_max` keys, then only namespaces) and the prepared
XA transactions (at most XA_MAX, with XA_KEYS_MAX keys; when a forgotten one commits, everything is aged out).

A full ROLLBACK reaches the binlog only when the transaction changed something that cannot be rolled back. So what it
logged is stamped like a commit: an extra miss where it was undone, no stale value where it was not. The same holds for
rows behind a SAVEPOINT that were rolled back.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from replicator.binlog.events import (
    BinlogEvent,
    Committed,
    FileBegan,
    GroupBegan,
    HeartbeatReceived,
    QueryRan,
    RowsChanged,
    XaPrepared,
)
from replicator.binlog.plan import TablePlans
from replicator.position import FilePosition, Position, place_of
from replicator.source.anchor import Anchor, Proof, Trail
from replicator.source.commit_times import CommitTimes
from replicator.source.harvest import Harvest
from replicator.source.progress import Progress
from replicator.source.statements import Effect, Statement, classify
from replicator.source.stats import SourceStats
from replicator.tables import WatchedTables
from versioning.limits import CLOCK_ERROR_MS

XA_MAX = 1_000
"""Prepared XA transactions remembered; a server with more of them open is in trouble already."""

XA_KEYS_MAX = 1_000_000
"""Keys of all of them together, about 100 MB; the last one is remembered whatever it holds."""

_FOREIGN_KEY_WORDS = frozenset({"references", "foreign"})


@dataclass(frozen=True, slots=True)
class Ddl:
    statement: Statement
    gtid: str = ""

    @property
    def names(self) -> frozenset[str] | None:
        """Of the tables that it may concern, in lower case; None: any may be."""
        return self.statement.identifiers if self.statement.effect is Effect.TABLES else None

    def may_change_plans(self, plans: TablePlans) -> bool:
        """Whether it may have made or dropped a foreign key; asking the server after every DDL would be a burden."""
        named = self.statement.identifiers
        match self.statement.effect:
            case Effect.TABLES:
                return any(table.table.lower() in named for table in plans) or not named.isdisjoint(_FOREIGN_KEY_WORDS)
            case Effect.DATABASES:
                return any(table.database.lower() in named for table in plans)
        return True

    def may_have_cut_a_cascade(self, plans: TablePlans) -> bool:
        """Whether a foreign key or a parent that was there before it is missing in plans made after it."""
        named = self.statement.identifiers
        parents = [table for table, plan in plans.items() if plan.cascades]
        if self.statement.effect is Effect.DATABASES:
            return any(parent.database.lower() in named for parent in parents)
        return not named.isdisjoint(_FOREIGN_KEY_WORDS) or any(parent.table.lower() in named for parent in parents)


class Transaction(NamedTuple):
    gtid: str
    position: Position
    """Behind this transaction: where a new connection resumes."""
    committed_ms: int
    """Unix time in ms (``CommitTimes``); 0: unknown."""
    keys: tuple[str, ...] = ()
    generations: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Pairs of a reason and the namespaces it ages out."""
    anchor: Anchor | None = None
    """Of `position`."""
    read_ms: int = 0
    """Up to when it shows the binlog to be read; 0: nothing, as it was there before the connection began."""
    is_out_of_order: bool = False
    """A position that seems to include it does not: its sequence number is lower than one before it."""

    @property
    def is_empty(self) -> bool:
        return not self.keys and not self.generations


class Assembler:
    def __init__(
        self,
        progress: Progress,
        tables: WatchedTables,
        plans: TablePlans,
        *,
        end: str,
        trail: Trail,
        keys_max: int,
        stats: SourceStats,
        now_ms: Callable[[], int],
    ) -> None:
        self.position = progress.resume_from
        self.anchor: Anchor | None = None
        self._proof = Proof(progress.position, progress.anchors)
        self._end: tuple[int, int] | None = place_of(end)
        """Of the binlog as the connection began; None: behind it."""
        self._trail = trail
        self.plans = plans
        self.plans_made_ms = now_ms()
        """Changed with `plans`. A DDL that is not surely younger may have cut what they lack, and rows before it have
        been judged without that: it ages out everything. Of the backlog none is surely younger."""
        self.saw_ddl: Ddl | None = None
        """Set at DDL: the owner forgets the schema, renews `plans` where needed and clears this."""
        self._tables = tables
        self._keys_max = keys_max
        self._stats = stats
        self._times, self._proven = CommitTimes(now_ms), CommitTimes(now_ms)
        """Of all commits, and of those behind the end: a session may have set one of the backlog ahead."""
        self._prepared: OrderedDict[str, Harvest] = OrderedDict()
        self._harvest = Harvest(keys_max, stats)
        self._begin("", is_open=False)

    @property
    def is_between(self) -> bool:
        """No transaction is half read, and the server is known to have what was read before."""
        return not self._is_open and not self._gtid and self._proof.is_given

    def feed(self, event: BinlogEvent) -> Transaction | None:
        match event:
            case RowsChanged():
                plan = self.plans.get(event.table)
                if plan is not None:
                    self._harvest.take(event, plan)
            case GroupBegan():
                self._begin(event.gtid, is_open=event.is_open, begins_alter=event.begins_alter)
            case Committed():
                return self._complete(event)
            case QueryRan():
                return self._take_query(event)
            case XaPrepared():
                return self._take_prepared(event)
            case FileBegan():
                self._begin("", is_open=False)
            case HeartbeatReceived():
                self._proof.end()
        return None

    def _begin(self, gtid: str, *, is_open: bool, begins_alter: bool = False) -> None:
        self._gtid = gtid
        self._is_open = is_open
        self._begins_alter = begins_alter
        if not self._harvest.is_untouched:
            self._harvest = Harvest(self._keys_max, self._stats)

    def _take_query(self, event: QueryRan) -> Transaction | None:
        statement = classify(event.sql, event.charset)
        if statement.effect is Effect.BEGIN:
            self._is_open = True
            return None
        if statement.effect in {Effect.XA_COMMIT, Effect.XA_ROLLBACK}:
            self._end_prepared(statement)
            return self._complete(event)
        self._age_out(statement, event)
        # Without BEGIN a statement is a transaction of its own: DDL, GRANT and the like.
        if statement.effect in {Effect.COMMIT, Effect.ROLLBACK} or not self._is_open:
            return self._complete(event)
        return None

    def _age_out(self, statement: Statement, event: QueryRan) -> None:
        # An ALTER that only begins changes nothing yet, and whoever asks about its table may wait until it has ended.
        if not statement.changes_something or self._begins_alter:
            return
        concerned = self._concerned(statement)
        if statement.may_be_ddl:
            self.saw_ddl = Ddl(statement, self._gtid)
            is_older = self._is_backlog(event.end) or event.time_ms <= self.plans_made_ms + CLOCK_ERROR_MS
            if is_older and self.saw_ddl.may_have_cut_a_cascade(self.plans):
                concerned = self._tables.namespaces
        self._harvest.age_out(concerned, "statement: " + " ".join(event.sql[:200].split())[:80])

    def _concerned(self, statement: Statement) -> frozenset[str]:
        match statement.effect:
            case Effect.TABLES:
                return self._tables.namespaces_of(self._tables.mentioned_in(statement.identifiers))
            case Effect.DATABASES:
                return self._tables.namespaces_of(self._tables.of_databases(statement.identifiers))
        return self._tables.namespaces

    def _take_prepared(self, event: XaPrepared) -> Transaction:
        if not event.is_one_phase:
            self._prepared[event.xid] = self._harvest
            self._harvest = Harvest(self._keys_max, self._stats)
            self._forget_prepared()
        return self._complete(event)

    def _forget_prepared(self) -> None:
        keys = sum(len(harvest.keys) for harvest in self._prepared.values())
        while len(self._prepared) > 1 and (len(self._prepared) > XA_MAX or keys > XA_KEYS_MAX):
            _, forgotten = self._prepared.popitem(last=False)
            keys -= len(forgotten.keys)

    def _end_prepared(self, statement: Statement) -> None:
        prepared = self._prepared.pop(statement.xid, None)
        if statement.effect is Effect.XA_ROLLBACK:
            return
        if prepared is None:
            self._stats.xa_unknown += 1
            self._harvest.age_out(self._tables.namespaces, "XA COMMIT of rows prepared before this source began")
        else:
            self._harvest = prepared

    def _complete(self, end: Committed | QueryRan | XaPrepared) -> Transaction:
        gtid = end.end if isinstance(self.position, FilePosition) else self._gtid
        # A group without GTID on a server that has them: an old file of before they were switched on.
        is_out_of_order = bool(gtid) and self.position.includes(gtid)
        changed_ms = end.changed_ms or end.time_ms
        if gtid:
            self._trail.add(gtid, changed_ms)
        if gtid and not is_out_of_order:
            self._advance(gtid, changed_ms)
        keys, generations = tuple(self._harvest.keys), self._harvest.generations()
        self._stats.transactions += 1
        self._begin("", is_open=False)
        committed_ms = self._times.take(end.time_ms)
        read_ms = 0 if self._is_backlog(end.end) else self._proven.take(end.time_ms)
        return Transaction(gtid, self.position, committed_ms, keys, generations, self.anchor, read_ms, is_out_of_order)

    def _is_backlog(self, end: str) -> bool:
        """Whether an event that ends there was in the binlog before the connection began."""
        if self._end is not None and place_of(end) > self._end:
            self._end = None
        return self._end is not None

    def _advance(self, gtid: str, changed_ms: int) -> None:
        self.anchor = Anchor(gtid, self.position.before(gtid), changed_ms)
        self.position = self.position.after(gtid)
        self._proof.look_at(gtid, changed_ms, self.position)
