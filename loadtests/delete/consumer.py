"""Binlog of the replica in B -> deletes in Redis B and evictions over its channel. One process; its keeper restarts it.

python -m loadtests.delete.consumer MYSQL_URL REDIS_URL DATABASE.TABLE=TEMPLATE,TEMPLATE ...
"""

import contextlib
import logging
import queue
import random
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql
import redis
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import HeartbeatLogEvent, MariadbGtidEvent, QueryEvent, XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent
from redis.backoff import NoBackoff
from redis.retry import Retry

from loadtests.delete.messages import CHANNEL, PREFIX, pack
from versioning.keys import KeyTemplate

POSITION_KEY = "delete-on-change:position"
BATCH_KEYS = 500
SECOND_DELETE_S = 1.0
"""Longer than a load takes: what a slow load stored after the first delete is deleted by the second."""

HEARTBEAT_S = 0.5
SILENCE_S = 5
BACKOFF_S = (0.1, 2.0)
ROWS = (WriteRowsEvent, UpdateRowsEvent, DeleteRowsEvent)
EVENTS = [MariadbGtidEvent, XidEvent, QueryEvent, HeartbeatLogEvent, *ROWS]

_log = logging.getLogger("loadtests.delete")
_WHOLE_TABLE = re.compile(r"^\s*(?:TRUNCATE|ALTER|DROP|RENAME)\b", re.IGNORECASE)

Templates = dict[str, tuple[KeyTemplate, ...]]


class Deleter:
    """Deletes and tells, then does both again a moment later."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), socket_timeout=SILENCE_S)
        self._again: queue.SimpleQueue[tuple[float, Sequence[str]]] = queue.SimpleQueue()
        threading.Thread(target=self._delete_again, name="second-delete", daemon=True).start()

    def position(self) -> str | None:
        data = self._client.get(POSITION_KEY)
        return data.decode() if isinstance(data, bytes) else None

    def keys(self, keys: Sequence[str], position: str) -> None:
        self._delete(keys, position)
        self._again.put((time.monotonic() + SECOND_DELETE_S, keys))

    def namespaces(self, names: Iterable[str]) -> None:
        for name in names:
            batch: list[bytes] = []
            for key in self._client.scan_iter(match=f"{PREFIX}{name}:*", count=1_000):
                batch.append(key)
                if len(batch) >= BATCH_KEYS:
                    self._client.unlink(*batch)
                    batch.clear()
            if batch:
                self._client.unlink(*batch)
            self._client.publish(CHANNEL, pack(namespace=name))

    def _delete(self, keys: Sequence[str], position: str | None) -> None:
        for start in range(0, len(keys), BATCH_KEYS):
            part = keys[start : start + BATCH_KEYS]
            with self._client.pipeline(transaction=False) as pipe:
                pipe.unlink(*(PREFIX + key for key in part))
                pipe.publish(CHANNEL, pack(part))
                pipe.execute()
        if position is not None:
            self._client.set(POSITION_KEY, position)

    def _delete_again(self) -> None:
        while True:
            due_s, keys = self._again.get()
            time.sleep(max(due_s - time.monotonic(), 0))
            try:
                self._delete(keys, None)
            except (redis.RedisError, OSError) as error:
                _log.warning("the second delete of %d keys failed: %s", len(keys), error)


class Consumer:
    def __init__(self, mysql_url: str, templates: Templates, deleter: Deleter) -> None:
        self._settings = _settings(mysql_url)
        self._templates = templates
        self._deleter = deleter
        self._position = ""

    def run(self) -> None:
        failures = 0
        while True:
            try:
                for _ in self._consume():
                    failures = 0
            except (pymysql.err.MySQLError, redis.RedisError, OSError) as error:
                failures += 1
                _log.warning("connecting again: %s", error)
                least, most = BACKOFF_S
                time.sleep(min(most, least * 2**failures) * random.uniform(0.5, 1.0))

    def _consume(self) -> Iterator[None]:
        """Yield after each event, so that the caller knows the link works."""
        keys: dict[str, None] = {}
        gtid = ""
        with contextlib.closing(self._open()) as reader:
            for event in reader:
                match event:
                    case MariadbGtidEvent():
                        gtid = event.gtid
                    case WriteRowsEvent() | UpdateRowsEvent() | DeleteRowsEvent():
                        keys.update(dict.fromkeys(self._keys_of(event)))
                    case XidEvent():
                        # The library connects again by itself, and from here, not from where it began.
                        self._position = reader.auto_position = gtid
                        if keys:
                            self._deleter.keys(list(keys), gtid)
                            keys = {}
                    case QueryEvent() if _WHOLE_TABLE.match(_text(event.query)):
                        self._deleter.namespaces(self._namespaces_in(_text(event.query)))
                        self._position = reader.auto_position = gtid
                yield

    def _open(self) -> BinLogStreamReader:
        position = self._position or self._deleter.position()
        if not position:
            # A first start, or Redis lost the position: what was changed meanwhile is unknown, so all must go.
            position = self._current_position()
            self._deleter.namespaces({template.namespace for all_of in self._templates.values() for template in all_of})
        return BinLogStreamReader(
            connection_settings=dict(self._settings),
            ctl_connection_settings=dict(self._settings),
            server_id=random.randrange(10**6, 2**31),
            is_mariadb=True,
            auto_position=position,
            blocking=True,
            only_events=EVENTS,
            only_tables=[name.partition(".")[2] for name in self._templates],
            slave_heartbeat=HEARTBEAT_S,
            enable_logging=False,
        )

    def _current_position(self) -> str:
        with pymysql.connect(**self._settings) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT @@global.gtid_current_pos")
            row = cursor.fetchone()
        return str(row[0]) if row and row[0] else "0-1-0"

    def _keys_of(self, event: Any) -> Iterator[str]:
        for row in event.rows:
            for image in (row.get("values"), row.get("before_values"), row.get("after_values")):
                if image is not None:
                    yield from self._keys_of_row(f"{event.schema}.{event.table}", image)

    def _keys_of_row(self, table: str, values: dict[str, Any]) -> Iterator[str]:
        for template in self._templates.get(table, ()):
            key = template.render(values)
            if key is not None:
                yield key

    def _namespaces_in(self, statement: str) -> set[str]:
        words = set(re.findall(r"\w+", statement.lower()))
        tables = (all_of for name, all_of in self._templates.items() if name.partition(".")[2].lower() in words)
        return {template.namespace for all_of in tables for template in all_of}


def parse_table(text: str) -> tuple[str, tuple[KeyTemplate, ...]]:
    """Read `shop.tracker_web=tracker_web:{id},trackers_by_tenant:{tenant_id}`."""
    name, _, templates = text.partition("=")
    return name, tuple(KeyTemplate.parse(template) for template in templates.split(","))


def _settings(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "password": unquote(parts.password or ""),
        "database": "information_schema",
        "charset": "utf8mb4",
        "read_timeout": SILENCE_S,
        "autocommit": True,
    }


def _text(query: bytes | str) -> str:
    return query.decode(errors="replace") if isinstance(query, bytes) else query


def main(argv: Sequence[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    mysql_url, redis_url, *tables = argv
    Consumer(mysql_url, dict(parse_table(text) for text in tables), Deleter(redis_url)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
