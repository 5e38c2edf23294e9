"""Writers in datacenter A: one thread per part of the rows, so that every row has one writer and dense versions.

They write to MySQL itself, whatever becomes of the pipeline. A try whose outcome is unknown is repeated with the same
version until one is acknowledged; each try changes the row, so the last acknowledged one has a GTID of its own.
"""

import contextlib
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import pymysql

from deploy.simulation.configs import DATABASE
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.pace import pick_by_rank
from deploy.simulation.staleness import History

ROWS = 200
THREADS = 4
ANSWER_TIMEOUT_S = 3
RETRY_S = 0.05
UPDATE = "UPDATE tracker_web SET name = %s, extra = %s WHERE id = %s AND JSON_VALUE(extra, '$.version') + 0 <= %s"
"""A try that a stopped server carries out when it wakes up must not undo what was written since."""

INSERT = "INSERT INTO tracker_web (id, tracker_id, tenant_id, name, extra) VALUES (%s, %s, %s, '', %s)"


@dataclass(frozen=True)
class Commit:
    row: int
    sent_ms: int
    gtid: str


@dataclass(frozen=True)
class Pace:
    """How a load writes and reads."""

    updates_per_s: float
    reads_per_s: float
    """Per ToC."""
    hot_share: float = 0.0
    """Share of both that goes to one row."""


def create_rows(server: MariaDb, history: History) -> None:
    rows = [(row, f"T{row}", row % 10, json.dumps({"version": 0})) for row in range(1, ROWS + 1)]
    with server.connect(database=DATABASE) as connection, connection.cursor() as cursor:
        cursor.executemany(INSERT, rows)
    for row in range(1, ROWS + 1):
        history.commit(row, 0, time.time())


class Writers:
    """They write from `start` until `stop`, and then until no outcome is unknown any more."""

    def __init__(self, server: MariaDb, history: History, pace: Pace, seed: int = 1) -> None:
        self.commits: list[Commit] = []
        self.failures = 0
        self._server = server
        self._history = history
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(part, pace, random.Random(seed * THREADS + part)), daemon=True)
            for part in range(THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def ask_to_stop(self) -> None:
        self._stop.set()

    def stop(self, deadline_s: float) -> None:
        """Return when every commit is acknowledged; raises TimeoutError, for MySQL A must be up by then."""
        self.ask_to_stop()
        give_up_at = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(give_up_at - time.monotonic(), 0))
            if thread.is_alive():
                raise TimeoutError(f"a writer has no answer from {self._server.name} after {deadline_s:g} s")

    def _run(self, part: int, pace: Pace, chance: random.Random) -> None:
        rows = [row for row in range(1, ROWS + 1) if row % THREADS == (part + 1) % THREADS]
        per_s = pace.updates_per_s * (1 - pace.hot_share) / THREADS
        if rows[0] == 1:
            per_s += pace.updates_per_s * pace.hot_share
        pick = pick_by_rank(rows, chance, pace.hot_share if rows[0] == 1 else 0.0)
        with _Session(self._server) as session:
            while not self._stop.wait(chance.expovariate(per_s)):
                self._write(session, pick())

    def _write(self, session: "_Session", row: int) -> None:
        version = self._history.version(row) + 1
        sent_s = time.time()
        self._history.begin(row, sent_s)
        tries = 0
        while True:
            tries += 1
            try:
                gtid = session.update(row, version, tries)
            except (pymysql.err.MySQLError, OSError):
                self.failures += 1
                session.hang_up()
                time.sleep(RETRY_S)
            else:
                break
        self._history.commit(row, version, time.time())
        self.commits.append(Commit(row, int(sent_s * 1000), gtid))


class _Session:
    """One connection, opened when it is needed."""

    def __init__(self, server: MariaDb) -> None:
        self._connect: Callable[[], Any] = lambda: server.connect(
            user="tob", database=DATABASE, read_timeout=ANSWER_TIMEOUT_S, write_timeout=ANSWER_TIMEOUT_S
        )
        self._connection: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def update(self, row: int, version: int, tries: int) -> str:
        """Commit the version; return the commit's GTID."""
        if self._connection is None:
            self._connection = self._connect()
        with self._connection.cursor() as cursor:
            name = f"tracker {row}, version {version}, try {tries}"
            cursor.execute(UPDATE, (name, json.dumps({"version": version}), row, version))
            cursor.execute("SELECT @@last_gtid AS gtid")
            return str(cursor.fetchone()["gtid"])

    def hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(pymysql.err.Error, OSError):
                connection.close()
