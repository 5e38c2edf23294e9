"""Roles of both datacenters as processes, on one MariaDB and two Redis; a writer, a reader, and the judges.

The row's `tenant_id` counts its updates, so that every read says how stale it was (deploy.simulation.staleness).
"""

import contextlib
import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploy.simulation import oracle
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.staleness import Audit, History
from tests.eventually import until
from tests.integration.roles import Role, write_config
from versioning.keys import KeyTemplate

ROWS = 8
WRITE_PAUSE_S = 0.03
POLL_S = 0.05
STALE_MAX_S = 15.0
"""One of two is always there, so nothing but a slow machine stands behind this; I1 allows 300."""

KEYS = ("tracker_web:{id}",)


class Deployment:
    def __init__(self, folder: Path, mysql: MariaDb, redis_a: RedisServer, redis_b: RedisServer) -> None:
        self.folder, self.mysql, self.redis_a, self.redis_b = folder, mysql, redis_a, redis_b
        self.history = History()
        self.audit = Audit(bound_s=STALE_MAX_S)
        self.updates = 0
        self._is_over = threading.Event()
        mysql.create_database("shop")
        for number in range(1, ROWS + 1):
            sql = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (%s, %s, 0)"
            mysql.execute(sql, (number, f"t-{number}"), database="shop")
            self.history.commit(number, 0, time.monotonic())

    def source_config(self, name: str, *keys: str, table: str = "shop.tracker_web") -> Path:
        text = f'[stream]\nurl = "{self.redis_a.url}"\ndc = "a"\n[source]\nname = "a"\nheartbeat_ms = 200\n'
        text += f'[source.mysql]\nurl = "{self.mysql.url("stampline_source")}"\n'
        text += f'[[table]]\nname = "{table}"\nkeys = {list(keys or KEYS)}\n'
        return write_config(self.folder, text, f"{name}.toml")

    def source(self, name: str, *options: str) -> Role:
        config = self.source_config(name)
        return Role(["source", "--metrics-port", "PORT", *options], config, ready="/readyz")

    def mirror(self, name: str) -> Role:
        text = self._stream_b() + f'[mirror]\norigin_url = "{self.redis_a.url}"\nheartbeat_ms = 200\n'
        text += f'[[mirror.gate]]\nname = "mysql"\nurl = "{self.mysql.url("stampline_gate")}"\n'
        config = write_config(self.folder, text, f"{name}.toml")
        return Role(["mirror", "--metrics-port", "PORT"], config, ready="/readyz")

    def service(self, name: str) -> Role:
        config = write_config(self.folder, self._stream_b(), f"{name}.toml")
        return Role(["serve", "--port", "PORT"], config, ready="/readyz")

    def toc(self, name: str) -> Role:
        text = self._stream_b() + f'[values]\nurl = "{self.redis_b.url}"\ntimeout_ms = 2000\n[toc]\n'
        text += f'[toc.mysql]\nurl = "{self.mysql.url("toc", "shop")}"\n'
        config = write_config(self.folder, text, f"{name}.toml")
        return Role(["toc", "--port", "PORT"], config, ready="/readyz?max_lag=5")

    def _stream_b(self) -> str:
        return f'[stream]\nurl = "{self.redis_b.url}"\ndc = "b"\n'

    @contextlib.contextmanager
    def load(self, toc: Role | None = None) -> Iterator[None]:
        """Rows are updated, and read through ``toc``, until the block is left."""
        works = [self._write, *([] if toc is None else [lambda: self._read(toc)])]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.end_load()
            for thread in threads:
                thread.join()

    def end_load(self) -> None:
        self._is_over.set()

    def _write(self) -> None:
        sql = "UPDATE tracker_web SET tenant_id = tenant_id + 1 WHERE id = %s"
        with self.mysql.connect(database="shop") as connection, connection.cursor() as cursor:
            for number in itertools.cycle(range(1, ROWS + 1)):
                if self._is_over.wait(WRITE_PAUSE_S):
                    return
                self.history.begin(number, time.monotonic())
                cursor.execute(sql, (number,))
                self.history.commit(number, self.history.version(number) + 1, time.monotonic())
                self.updates += 1

    def _read(self, toc: Role) -> None:
        rows = random.Random(1)
        while not self._is_over.wait(WRITE_PAUSE_S / 2):
            number, sent_s = rows.randint(1, ROWS), time.monotonic()
            with contextlib.suppress(OSError):  # It is being restarted: its clients go to another one.
                version = toc.get(f"/trackers/{number}")["tenant_id"]
                self.audit.take(self.history.judge(number, version, sent_s, time.monotonic()))

    def findings(self, redis: RedisServer, *keys: str) -> oracle.Findings:
        templates = {"shop.tracker_web": [KeyTemplate.parse(text) for text in keys or KEYS]}
        return oracle.compare(oracle.changes(self.mysql, templates), oracle.read_stamps(redis.url))

    def assert_nothing_is_lost(self, redis: RedisServer, *keys: str) -> None:
        """I3, a minute after the last write at the latest."""
        until(lambda: not self.findings(redis, *keys).lost, "nothing is lost", every_s=POLL_S)
        found = self.findings(redis, *keys)
        assert found.changes >= self.updates
        assert not found.foreign

    def bodies(self, redis: RedisServer, kind: str) -> list[dict[str, Any]]:
        with redis.client(decode_responses=True) as client:
            entries = client.xrange("{stampline}:stream")
        return [json.loads(fields["b"]) for _, fields in entries if fields["t"] == kind]
