"""Random writes to the table `item` of a source's world: every way a row can change, from one seed."""

import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any, cast

import pymysql

from tests.integration.source_world import World

CODES = ["A", "b C", "ä:ö", "it's", "back\\slash", "100%", "x{y}", "😀"]
IDS = 40


class RandomWorkload:
    """Runs on a thread of its own until `stop`; a server that is away is simply tried again."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)
        self._xids = 0
        self.transactions = 0
        self.errors: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._session()
            except (pymysql.err.OperationalError, pymysql.err.InterfaceError) as error:
                self._stopped.wait(0.05)  # killed, restarting, or a duplicate key under XA
                self.errors.append(str(error))

    def _session(self) -> None:
        options: dict[str, Any] = {"database": self._world.database, "ssl_disabled": True, "read_timeout": 10}
        with self._world.server.connect(**options) as connection, connection.cursor() as cursor:
            cursor.execute(f"SET SESSION binlog_row_image = {self._chance.choice(['FULL', 'MINIMAL', 'NOBLOB'])}")
            cursor.execute(f"SET SESSION gtid_domain_id = {self._chance.choice([0, 0, 7])}")
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
            self._end_prepared(cursor)
            for _ in range(self._chance.randrange(1, 40)):
                if self._stopped.is_set():
                    return
                self._transaction(lambda sql, *arguments: self._try(cursor, sql, *arguments))
                self.transactions += 1

    def _end_prepared(self, cursor: pymysql.cursors.Cursor) -> None:
        """What a killed server or session left behind holds its locks until somebody decides."""
        cursor.execute("XA RECOVER FORMAT='SQL'")
        for row in cast("list[dict[str, Any]]", cursor.fetchall()):
            cursor.execute(f"XA {self._chance.choice(['COMMIT', 'ROLLBACK'])} {row['data']}")

    @staticmethod
    def _try(cursor: pymysql.cursors.Cursor, sql: str, *arguments: object) -> None:
        with contextlib.suppress(pymysql.err.IntegrityError):  # a duplicate: this statement changed nothing
            cursor.execute(sql, arguments or None)

    def _transaction(self, run: Callable[..., None]) -> None:
        kind = self._chance.random()
        if kind < 0.5:
            self._change(run)
        elif kind < 0.9:
            run("BEGIN")
            for _ in range(self._chance.randrange(1, 6)):
                self._change(run)
                if self._chance.random() < 0.2:
                    run("SAVEPOINT s")
                    self._change(run)
                    run(self._chance.choice(["ROLLBACK TO s", "RELEASE SAVEPOINT s"]))
            run(self._chance.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))
        else:
            self._xids += 1
            run(f"XA START 'x{self._xids}'")
            self._change(run)
            for step in ("END", "PREPARE", self._chance.choice(["COMMIT", "ROLLBACK"])):
                run(f"XA {step} 'x{self._xids}'")

    def _change(self, run: Callable[..., None]) -> None:
        chance = self._chance
        number, code = chance.randrange(1, IDS), f"{chance.choice(CODES)}{chance.randrange(8)}"
        shelf = chance.choice([None, 1, 2, -3])
        statements: list[tuple[str, tuple[object, ...]]] = [
            ("INSERT INTO item (id, code, shelf) VALUES (%s, %s, %s)", (number, code, shelf)),
            ("INSERT INTO item (id, code) VALUES (18446744073709551000 + %s, %s)", (number, code)),
            ("REPLACE INTO item (id, code, shelf) VALUES (%s, %s, %s)", (number, code, shelf)),
            (
                "INSERT INTO item (id, code) VALUES (%s, %s) ON DUPLICATE KEY UPDATE shelf = %s, name = 'dup'",
                (number, code, shelf),
            ),
            ("UPDATE item SET shelf = %s WHERE id BETWEEN %s AND %s", (shelf, number, number + 5)),
            ("UPDATE item SET code = %s, name = 'renamed' WHERE id = %s", (code, number)),
            ("UPDATE IGNORE item SET id = %s WHERE id = %s", (number + 1, number)),
            ("DELETE FROM item WHERE id = %s", (number,)),
            ("DELETE FROM item WHERE shelf = %s LIMIT 3", (shelf,)),
        ]
        sql, arguments = chance.choice(statements)
        run(sql, *arguments)
