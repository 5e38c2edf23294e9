"""Random tables and statements: what SELECT shows of a row before and after its change is what the source has stamped.

Compared by GTID: each key of a row that came, went or changed is among the keys of the transaction's entries, or its
namespace was aged out by them. A seed that failed is run again by its number.
"""

import contextlib
import random
from collections.abc import Callable, Iterable
from typing import Any

import pymysql
import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.integration.source_world import World, watch
from tests.integration.test_source_keys import COLUMNS
from versioning.entries import Change, Generation
from versioning.keys import KeyTemplate

TRANSACTIONS = 60
IDS = 12
Row = tuple[Any, ...]
Rows = list[Row]


class RandomTable:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        chosen = rng.sample(COLUMNS, rng.randint(2, 9))
        self.kinds = {f"c{number}": kind for number, (kind, _) in enumerate(chosen)}
        self._values = {f"c{number}": values for number, (_, values) in enumerate(chosen)}
        self._values["id"] = [str(number) for number in range(IDS)]
        made_of, stored = rng.choice([*self.kinds]), rng.choice(["VIRTUAL", "PERSISTENT"])
        parts = [
            "id INT PRIMARY KEY",
            *(f"{name} {kind}" for name, kind in self.kinds.items()),
            f"g VARCHAR(999) AS (MD5({made_of})) {stored}",
        ]
        rng.shuffle(parts)
        self.create = f"CREATE TABLE t ({', '.join(parts)}) {rng.choice(['', 'WITH SYSTEM VERSIONING'])}"
        self.names = ["id", *self.kinds, "g"]
        self.templates = [f"{name}:{{{name}}}" for name in self.names] + [f"both:{{{made_of}}}:{{g}}"]

    def statement(self) -> str:
        rng = self.rng
        names = ["id", *rng.sample([*self.kinds], rng.randint(1, len(self.kinds)))]
        rows = ", ".join(f"({', '.join(map(self._value, names))})" for _ in range(rng.randint(1, 3)))
        into, some = f"INTO t ({', '.join(names)})", rng.choice(["", f" WHERE id < {rng.randrange(IDS)}", " LIMIT 2"])
        changed = ", ".join(f"{name} = {self._value(name)}" for name in rng.sample(names, rng.randint(1, len(names))))
        return rng.choice([
            f"INSERT IGNORE {into} VALUES {rows}",
            f"REPLACE {into} VALUES {rows}",
            f"INSERT {into} VALUES {rows} ON DUPLICATE KEY UPDATE {changed}",
            f"INSERT IGNORE {into} SELECT id + 5, {', '.join(names[1:])} FROM t",
            f"REPLACE {into} SELECT {', '.join(names)} FROM t",
            f"UPDATE IGNORE t SET {changed}{some}",
            f"UPDATE IGNORE t JOIN (SELECT 1) AS one SET {changed}",
            f"DELETE FROM t{some}",
        ])  # fmt: skip

    def alter(self) -> str:
        name = self.rng.choice([*self.kinds])
        return f"ALTER TABLE t MODIFY {name} {self.kinds[name]} {self.rng.choice(['FIRST', 'AFTER id'])}"

    def _value(self, name: str) -> str:
        may_be_null = name != "id" and self.rng.random() < 0.2
        return "NULL" if may_be_null else self.rng.choice(self._values[name])


class Writer:
    """One session; remembers the rows before and after each transaction, and its GTID."""

    def __init__(self, world: World, table: RandomTable) -> None:
        self._world = world
        self._table = table
        self.changes: list[tuple[str, Rows, Rows]] = []

    def run(self) -> None:
        with self._world.server.connect(database=self._world.database) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00', sql_mode = ''")
            before: Rows = []
            for _ in range(TRANSACTIONS):
                self._transaction(cursor)
                cursor.execute(f"SELECT {', '.join(self._table.names)} FROM t")
                after = [tuple(row.values()) for row in cursor.fetchall()]
                cursor.execute("SELECT @@last_gtid AS gtid")
                self.changes.append((str(cursor.fetchall()[0]["gtid"]), before, after))
                before = after

    def _transaction(self, cursor: "pymysql.cursors.Cursor") -> None:
        rng = self._table.rng
        statements = [self._table.statement() for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.1:
            statements = [self._table.alter()]
        cursor.execute(f"SET SESSION binlog_row_image = {rng.choice(['FULL', 'FULL', 'NOBLOB', 'MINIMAL'])}")
        cursor.execute("BEGIN")
        for statement in statements:
            with contextlib.suppress(pymysql.err.IntegrityError):
                cursor.execute(statement)
        cursor.execute("COMMIT")


def changed(before: Iterable[Row], after: Iterable[Row]) -> set[Row]:
    return set(before) ^ set(after)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("metadata", ["FULL", "NO_LOG"])
async def test_what_select_shows_of_a_changed_row_is_stamped(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, metadata: str, seed: int
) -> None:
    world = World.with_items(new_mariadb(binlog_row_metadata=metadata, system_versioning_alter_history="KEEP"), redis_a)
    table = RandomTable(random.Random(seed))
    world.run(table.create)
    world.tables = watch(world.database, t=table.templates)
    writer = Writer(world, table)
    async with world.source():
        await world.forget()
        writer.run()
        await world.caught_up()
        bodies = await world.bodies()
    keys: dict[str, set[str]] = {}
    aged: dict[str, set[str]] = {}
    for body in bodies:
        if isinstance(body, Change):
            keys.setdefault(body.gtid, set()).update(body.keys)
        if isinstance(body, Generation):
            aged.setdefault(body.gtid, set()).update(body.namespaces)
    for gtid, before, after in writer.changes:
        for row in changed(before, after):
            for template in map(KeyTemplate.parse, table.templates):
                key = template.render(dict(zip(table.names, row, strict=True)))
                assert key in keys.get(gtid, set()) or template.namespace in aged.get(gtid, set()), (gtid, row)
    assert sum(len(found) for found in keys.values()) > TRANSACTIONS
