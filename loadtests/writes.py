"""The only writer of a world: every row's versions are dense, and each commit is bracketed in the history.

It writes at a steady pace on a thread of its own; the big changes are made between two of those writes.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import Any, Self

import pymysql

from deploy.simulation.configs import DATABASE
from deploy.simulation.staleness import History
from loadtests import rows
from loadtests.profile import PLANS, Profile
from loadtests.reads import PLAN_ROW
from loadtests.worlds import LoadWorld
from loadtests.zipf import Zipf

HOT = 1
"""The most popular tracker."""

ANSWER_TIMEOUT_S = 60
IDLE_S = 0.02
UPDATE = "UPDATE tracker_web SET name = %s, extra = %s WHERE id = %s"
BULK = "UPDATE tracker_web SET extra = JSON_OBJECT('version', CAST(JSON_VALUE(extra, '$.version') AS INTEGER) + 1)"

OnCommit = Callable[[int, int, float], None]
Pick = Callable[[], int]


class Writer:
    """``on_commit(row, version, acknowledged_s)`` is called after each single update, on the writer's thread."""

    def __init__(self, world: LoadWorld, profile: Profile, on_commit: OnCommit, seed: int = 1) -> None:
        self.history = History()
        self.failure = ""
        """Why it writes no more; empty while it can."""
        self._on_commit = on_commit
        self._chance = random.Random(seed)
        self._zipf = Zipf(profile.trackers)
        self._trackers = profile.trackers
        self._pace: tuple[float, Pick] | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._tob = world.mysql_a.connect(
            user="tob", database=DATABASE, read_timeout=ANSWER_TIMEOUT_S, write_timeout=ANSWER_TIMEOUT_S
        )
        self._root = world.mysql_a.connect(database=DATABASE, read_timeout=ANSWER_TIMEOUT_S, autocommit=False)
        now_s = time.time()
        for row in (*range(1, profile.trackers + 1), *(PLAN_ROW + plan for plan in range(1, PLANS + 1))):
            self.history.commit(row, 0, now_s)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._tob.close()
        self._root.close()

    def popular(self) -> int:
        return self._zipf.pick(self._chance)

    def any(self) -> int:
        return self._chance.randint(1, self._trackers)

    def pace(self, per_s: float, pick: Pick | None = None) -> None:
        """Update so many rows a second from now on; 0: none."""
        self._pace = (per_s, pick or self.popular) if per_s else None

    @contextmanager
    def paused(self) -> Any:
        with self._lock:
            yield

    def update(self, row: int) -> float:
        """Commit the row's next version; return when that was acknowledged."""
        with self._lock:
            return self._update(row)

    def burst(self, count: int) -> None:
        """As many single updates, as fast as they go, of popular trackers, none of them twice."""
        chosen: set[int] = set()
        while len(chosen) < min(count, self._trackers):
            chosen.add(self.popular())
        with self._lock:
            for row in chosen:
                self._update(row)

    def bulk(self) -> float:
        """Change every tracker in one transaction; return when it was acknowledged."""
        everything = range(1, self._trackers + 1)
        with self._lock:
            self._begin(everything)
            with self._tob.cursor() as cursor:
                cursor.execute(BULK)
            return self._commit(everything)

    def truncate_plans(self) -> float:
        """Empty the small table, and fill it again; return when that was acknowledged."""
        plans = range(PLAN_ROW + 1, PLAN_ROW + PLANS + 1)
        with self._lock, self._root.cursor() as cursor:
            self._begin(plans)
            cursor.execute("TRUNCATE plan")
            self._commit(plans)
            self._begin(plans)
            cursor.executemany(rows.INSERT_PLAN, rows.plan_rows(self.history.version(PLAN_ROW + 1) + 1))
            self._root.commit()
            return self._commit(plans)

    def _update(self, row: int) -> float:
        version = self.history.version(row) + 1
        self._begin((row,))
        with self._tob.cursor() as cursor:
            cursor.execute(UPDATE, (f"tracker {row}, version {version}", rows.version_json(version), row))
        acknowledged_s = self._commit((row,))
        self._on_commit(row, version, acknowledged_s)
        return acknowledged_s

    def _begin(self, changed: Iterable[int]) -> None:
        sent_s = time.time()
        for row in changed:
            self.history.begin(row, sent_s)

    def _commit(self, changed: Iterable[int]) -> float:
        acknowledged_s = time.time()
        for row in changed:
            self.history.commit(row, self.history.version(row) + 1, acknowledged_s)
        return acknowledged_s

    def _run(self) -> None:
        due_s = time.monotonic()
        while not self._stop.is_set():
            pace = self._pace
            if pace is None:
                due_s = time.monotonic()
                self._stop.wait(IDLE_S)
                continue
            per_s, pick = pace
            due_s += self._chance.expovariate(per_s)
            self._stop.wait(max(due_s - time.monotonic(), 0))
            try:
                self.update(pick())
            except (pymysql.err.MySQLError, OSError) as error:
                self.failure = f"the writer gave up: {error}"
                return
