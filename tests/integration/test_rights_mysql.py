"""The accounts of deploy/mysql/grants.sql: each role can do its work with its own, and nothing else."""

import asyncio
import re
from collections.abc import Callable

import pymysql
import pytest

from app.mysql_pool import MySqlPool
from deploy.simulation.mariadb import MariaDb
from replicator.binlog.foreign_keys import ForeignKeys
from replicator.mirror.gate_mysql import MySqlGate
from replicator.mysql import MySqlClient, binlog_files, server_facts
from replicator.tables import TableName
from tests.integration.source_world import address
from versioning.cli.sections import MySqlSection


def read_binlog(server: MariaDb, _: str) -> None:
    client = MySqlClient(address(server))
    assert server_facts(client).position
    assert binlog_files(client)
    assert client.query("SHOW MASTER STATUS")
    ForeignKeys(client).reaching([TableName("shop", "item")])
    client.close()


def wait_at_gate(server: MariaDb, _: str) -> None:
    async def wait() -> None:
        gate = MySqlGate("a", address(server, user="stampline_gate"))
        await gate.check()
        assert await gate.wait("", 100)
        await gate.aclose()

    asyncio.run(wait())


def run_as(user: str, *statements: str) -> Callable[[MariaDb, str], None]:
    def run(server: MariaDb, database: str) -> None:
        async def work() -> None:
            pool = MySqlPool(MySqlSection(url=server.url(user, database)).full_address(), 1)
            for statement in statements:
                await pool.select(statement, ())
            await pool.aclose()

        asyncio.run(work())

    return run


INSERT = "INSERT INTO tracker_web (id, tracker_id, name, tenant_id) VALUES (1, 't', 'n', 1)"
SELECT, UPDATE, DELETE = "SELECT * FROM tracker_web", "UPDATE tracker_web SET name = 'x'", "DELETE FROM tracker_web"
TABLE = re.compile(r"\b(tracker_web|other_table)\b")
FORBIDDEN_TO_ALL = (
    "DROP TABLE tracker_web",
    "TRUNCATE tracker_web",
    "CREATE TABLE other_table (id INT)",
    "ALTER TABLE tracker_web ADD x INT",
    "SET GLOBAL binlog_format = 'ROW'",
    "SELECT * FROM mysql.global_priv",
    "CREATE USER u",
    "FLUSH LOGS",
)
DENIED = {1044, 1045, 1142, 1227, 1290, 1370}


@pytest.mark.parametrize(
    ("user", "work", "forbidden"),
    [
        ("stampline_source", read_binlog, [INSERT, UPDATE, DELETE, "PURGE BINARY LOGS TO 'x'"]),
        ("stampline_gate", wait_at_gate, [SELECT, INSERT, "STOP SLAVE"]),
        ("toc", run_as("toc", SELECT), [INSERT, UPDATE, DELETE, "SHOW SLAVE STATUS", "SHOW BINARY LOGS"]),
        ("tob", run_as("tob", INSERT, UPDATE, SELECT, DELETE), ["SHOW SLAVE STATUS", "SHOW BINARY LOGS"]),
    ],
)
def test_an_account_of_mysql_does_its_work_and_nothing_else(
    mariadb_a: MariaDb, database: str, user: str, work: Callable[[MariaDb, str], None], forbidden: list[str]
) -> None:
    work(mariadb_a, database)
    with mariadb_a.connect(user) as connection, connection.cursor() as cursor:
        for statement in (*FORBIDDEN_TO_ALL, *forbidden):
            with pytest.raises(pymysql.err.Error) as caught:
                cursor.execute(TABLE.sub(rf"{database}.\1", statement))
            assert caught.value.args[0] in DENIED, (statement, caught.value)
