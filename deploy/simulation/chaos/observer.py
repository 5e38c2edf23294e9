"""What a read may have seen: the history of commits in A, and the history of what the replica in B showed.

The replica's lag is the data's own. So the cache's part of a staleness counts from when the replica showed a version;
a probe asks it for all rows, many times a second. A version appeared between the last probe that did not show it
(or its commit, if that was later) and the answer of the first one that did.
"""

import contextlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pymysql

from deploy.simulation.configs import DATABASE
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.staleness import Bounds, History

PROBE_S = 0.1
PROBE_TIMEOUT_S = 2
VERSIONS_MAX = 2_000
SELECT = "SELECT id, extra FROM tracker_web"


@dataclass
class Observer:
    """Times are Unix seconds: everything runs on one machine."""

    commits: History = field(default_factory=lambda: History(VERSIONS_MAX))
    visible: History = field(default_factory=lambda: History(VERSIONS_MAX))
    _probed_s: float = 0.0
    """When the last probe was sent that was answered."""

    def judge(self, row: int, version: int, sent_s: float, answered_s: float) -> tuple[Bounds, Bounds]:
        """Return the bounds of the whole staleness, and of the cache's part of it."""
        whole = self.commits.judge(row, version, sent_s, answered_s)
        certain_s = self.visible.staleness_s(row, version, sent_s)
        appeared_s = self._appeared_s(row, version + 1)
        worst_s = max(answered_s - appeared_s, 0.0) if appeared_s is not None else 0.0
        return whole, Bounds(certain_s, min(worst_s, whole.worst_s))

    def see(self, versions: dict[int, int], sent_s: float, answered_s: float) -> None:
        """Take in the answer of a probe."""
        for row, version in versions.items():
            for seen in range(self.visible.version(row) + 1, version + 1):
                self.visible.begin(row, max(self._probed_s, self.commits.begun_s(row, seen) or 0.0))
                self.visible.commit(row, seen, answered_s)
        self._probed_s = sent_s

    def _appeared_s(self, row: int, version: int) -> float | None:
        """Return when the replica may have shown the version, at the earliest; None when it cannot have."""
        if version <= self.visible.version(row):
            return self.visible.begun_s(row, version)
        begun_s = self.commits.begun_s(row, version)
        return None if begun_s is None else max(begun_s, self._probed_s)


class Probe:
    """Asks the replica itself, past every cache and relay, from a thread of its own."""

    def __init__(self, replica: MariaDb, observer: Observer) -> None:
        self._replica = replica
        self._observer = observer
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        connection: Any = None
        while not self._stop.wait(PROBE_S):
            try:
                connection = connection or self._connect()
                self._ask(connection)
            except (pymysql.err.MySQLError, OSError):
                with contextlib.suppress(pymysql.err.Error, OSError, AttributeError):
                    connection.close()
                connection = None

    def _connect(self) -> Any:
        return self._replica.connect(user="toc", database=DATABASE, read_timeout=PROBE_TIMEOUT_S)

    def _ask(self, connection: Any) -> None:
        sent_s = time.time()
        with connection.cursor() as cursor:
            cursor.execute(SELECT)
            versions = {row["id"]: int(json.loads(row["extra"])["version"]) for row in cursor.fetchall()}
        self._observer.see(versions, sent_s, time.time())
