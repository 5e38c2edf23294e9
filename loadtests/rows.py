"""The tables of the load tests: trackers in bulk, and a small table of plans. Every row carries its version.

Rows are made on both servers alike and outside the binlog: a world begins with a full table and an empty history.
"""

import json
from collections.abc import Iterator
from typing import Any

from deploy.simulation.configs import DATABASE
from deploy.simulation.mariadb import MariaDb
from loadtests.profile import PLANS, Profile

BATCH_ROWS = 2_000
CREATED = "2026-01-01 00:00:00"
PLAN_TABLE = """CREATE TABLE IF NOT EXISTS plan (
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, extra JSON NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4"""
PLAN_TEMPLATES = ("plan:{id}",)
INSERT_PLAN = "INSERT INTO plan (id, name, extra) VALUES (%s, %s, %s)"
_INSERT_TRACKER = (
    "INSERT INTO tracker_web (id, tracker_id, name, tenant_id, extra, created_at, updated_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s)"
)


def version_json(version: int) -> str:
    return json.dumps({"version": version})


def plan_rows(version: int) -> list[tuple[Any, ...]]:
    return [(number, f"plan {number}, version {version}", version_json(version)) for number in range(1, PLANS + 1)]


def tenant_of(tracker: int, tenants: int) -> int:
    return tracker % tenants


def create(server: MariaDb, profile: Profile) -> None:
    with server.connect(database=DATABASE) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute(PLAN_TABLE)
        cursor.executemany(INSERT_PLAN, plan_rows(0))
        for batch in _batches(profile):
            cursor.executemany(_INSERT_TRACKER, batch)


def _batches(profile: Profile) -> Iterator[list[tuple[Any, ...]]]:
    for first in range(1, profile.trackers + 1, BATCH_ROWS):
        last = min(first + BATCH_ROWS, profile.trackers + 1)
        yield [_tracker(number, tenant_of(number, profile.tenants)) for number in range(first, last)]


def _tracker(number: int, tenant: int) -> tuple[Any, ...]:
    return number, f"T{number}", f"tracker {number}, version 0", tenant, version_json(0), CREATED, CREATED
