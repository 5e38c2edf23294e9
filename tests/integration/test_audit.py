"""The audit beside real servers: it counts what readers would be served, finds the wrong value, and says why."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import now_ms
from tests.integration.feed import Feed
from tests.integration.roles import DEADLINE_S, Role, run, write_config
from versioning import header
from versioning import stamp as stamps
from versioning.backends.base import Fill
from versioning.backends.redis_values import AsyncRedisValues
from versioning.header import ValueHeader

SQL = "SELECT JSON_OBJECT('id', id, 'name', name) FROM {database}.tracker_web WHERE id = {{id}}"


class World:
    """Stream and values in one Redis, rows in a database; the test plays source and reader."""

    def __init__(self, redis: RedisServer, mysql: MariaDb, database: str, folder: Path, feed: Feed) -> None:
        self.redis, self.mysql, self.database, self.feed = redis, mysql, database, feed
        sql = SQL.format(database=database)
        self.config = write_config(
            folder,
            f'[stream]\nurl = "{redis.url}"\ndc = "b"\n[values]\nurl = "{redis.url}"\ntimeout_ms = 5000\n'
            f"[audit]\nafter_s = [0.1, 0.3]\nsamples_per_s = 100\nconfirm_ms = 300\n"
            f'[audit.mysql]\nurl = "{mysql.url("toc")}"\n'
            f'[[audit.check]]\ntemplate = "tracker_web:{{id}}"\nsql = "{sql}"\n',
        )

    def cache(self, number: int, name: str, fill_stamp: int) -> None:
        async def work() -> None:
            values = AsyncRedisValues.from_url(self.redis.url, timeout_ms=5_000)
            try:
                payload = json.dumps({"id": number, "name": name}).encode()
                data = header.pack(ValueHeader(fill_stamp, now_ms()), payload)
                await values.fill([Fill(f"tracker_web:{number}", data, 60_000)])
            finally:
                await values.aclose()

        asyncio.run(work())

    def commit(self, number: int, name: str) -> None:
        sql = "INSERT INTO tracker_web (id, tracker_id, name, tenant_id) VALUES (%s, %s, %s, 1)"
        self.mysql.execute(sql, (number, f"t-{number}", name), database=self.database)


@pytest.fixture
def world(redis_b: RedisServer, mariadb_a: MariaDb, database: str, tmp_path: Path) -> Iterator[World]:
    with Feed(redis_b.url) as feed:
        yield World(redis_b, mariadb_a, database, tmp_path, feed)


def test_right_and_wrong_values_are_told_apart_and_counted(world: World) -> None:
    # Filled above the stamps to come; the second with the row of before, as a load inside an old transaction leaves it.
    above = world.feed.change("tracker_web:9") + (10_000 << stamps.SEQUENCE_BITS)
    for number, cached in ((1, "new"), (2, "old")):
        world.commit(number, "new")
        world.cache(number, cached, above)
    with Role(["audit", "--json", "--metrics-port", "PORT"], world.config, ready="/readyz") as audit:

        def is_counted(result: str) -> bool:
            labels = f'after_s="0.3",dc="b",namespace="tracker_web",result="{result}"'
            return f"stampline_audit_looks_total{{{labels}}} 1.0" in audit.request("GET", "/metrics")[1]

        world.feed.change("tracker_web:1")
        audit.process.wait_until(lambda: is_counted("consistent"), DEADLINE_S)
        world.feed.change("tracker_web:2")
        audit.process.wait_until(lambda: is_counted("wrong"), DEADLINE_S)
        rows = {(row["namespace"], row["after_s"]): row for row in audit.get("/status")["rows"]}
        row = rows["tracker_web", 0.3]
        assert (row["consistent"], row["wrong"], row["nines"]) == (1, 1, "0.3")
        audit.process.stop(DEADLINE_S)
        assert audit.process.exit_code == 1


def test_a_quiet_audit_ends_by_itself_with_0(world: World) -> None:
    done = run("audit", "--for", "0", "--json", config=world.config)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"wrong": 0, "rows": []}


def test_one_wrong_value_is_explained(world: World) -> None:
    world.commit(3, "new")
    world.cache(3, "old", world.feed.change("tracker_web:3"))
    done = run("audit", "--key", "tracker_web:3", "--json", config=world.config)
    assert done.code == 1, done.err
    trace = json.loads(done.out)
    assert (trace["result"], trace["layer"], trace["verdict"]) == ("wrong", "load", "fresh")
    assert trace["history"][0]["gtid"] == "0-1-1"
    assert trace["fill_stamp"] == trace["last_stamp"]


def test_a_superseded_value_is_explained_as_harmless(world: World) -> None:
    world.commit(4, "new")
    world.cache(4, "old", world.feed.change("tracker_web:4"))
    world.feed.change("tracker_web:4")
    done = run("audit", "--key", "tracker_web:4", config=world.config)
    assert done.code == 0, done.err
    assert "layer: none\nwhy: superseded, and readers refuse it\nverdict: stale" in done.out


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("FROM no_such_table", "no_such_table"),
        ("FORM x", "error in your SQL syntax"),
        ("FROM mysql.global_priv", "denied"),
    ],
    ids=["no table", "no SQL", "no right"],
)
@pytest.mark.parametrize("flags", [("--for", "0"), ("--key", "tracker_web:1")], ids=["observing", "explaining"])
def test_a_statement_that_the_database_refuses_is_bad_settings_and_named(
    world: World, flags: tuple[str, str], wrong: str, said: str
) -> None:
    text = world.config.read_text().replace(f"FROM {world.database}.tracker_web", wrong)
    done = run("audit", *flags, config=write_config(world.config.parent, text))
    assert done.code == 2
    assert "audit of tracker_web:{id}: " in done.line
    assert said in done.line
    assert "not available" not in done.line
