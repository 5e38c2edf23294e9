"""What real servers answer to a gate."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from deploy.simulation import mysql56 as mysql56_server
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.sql_server import PASSWORD
from replicator.mirror.gate import GateDeniedError, GateError, GateSetupError
from replicator.mirror.gate_mysql import check_gates
from replicator.mirror.gtids import answer_includes
from tests.conftest import require
from tests.eventually import until_async
from tests.integration.mirror_site import gate_on

MYSQL_GTID = "3e11fa47-71ca-11e1-9e33-c80aa9429562:5"
INSERT = "INSERT INTO tracker_web (tracker_id, tenant_id) VALUES ('t-1', 7)"


def following(position: str) -> str:
    """Return the GTID after this one, in a server that has one domain."""
    domain, server, sequence = position.split("-")
    return f"{domain}-{server}-{int(sequence) + 1}"


async def test_a_wait_ends_when_the_replica_has_applied_it(
    mariadb_a: MariaDb, replica_b: MariaDb, database: str
) -> None:
    replica_b.catch_up_with(mariadb_a)
    gate = gate_on(replica_b)
    await gate.check()
    wanted = following(mariadb_a.gtid_position())
    waiting = asyncio.ensure_future(gate.wait(wanted, 20_000))
    await asyncio.to_thread(mariadb_a.execute, INSERT, database=database)
    position = await waiting
    while not answer_includes(position, wanted):  # Another test's commit may have been the one that ended the wait.
        position = await gate.wait(wanted, 1_000)
    assert replica_b.scalar("SELECT COUNT(*) FROM tracker_web", database=database) == 1
    await gate.aclose()


@pytest.mark.usefixtures("database")
async def test_a_wait_is_no_statement_that_takes_too_long(mariadb_a: MariaDb, replica_b: MariaDb) -> None:
    replica_b.catch_up_with(mariadb_a)
    before = mariadb_a.gtid_position()
    gate = gate_on(replica_b)
    replica_b.execute("SET GLOBAL max_statement_time = 0.1")
    try:
        assert answer_includes(await gate.wait(following(before), 500), before)
    finally:
        replica_b.execute("SET GLOBAL max_statement_time = 0")
    await gate.aclose()


async def test_an_empty_gtid_asks_only_for_the_position(mariadb_a: MariaDb, replica_b: MariaDb) -> None:
    replica_b.catch_up_with(mariadb_a)
    gate = gate_on(replica_b)
    assert answer_includes(await gate.wait("", 60_000), mariadb_a.gtid_position())
    await gate.aclose()


@pytest.mark.usefixtures("database")  # Whose creation is a transaction: of none there is no position to wait for.
async def test_a_foreign_domain_is_never_applied(mariadb_a: MariaDb, replica_b: MariaDb) -> None:
    gate = gate_on(replica_b)
    wanted = f"{mariadb_a.gtid_position()},77-1-1"
    assert not answer_includes(await gate.wait(wanted, 100), wanted)
    await gate.aclose()


async def test_a_mysql_gtid_is_refused_by_mariadb(replica_b: MariaDb) -> None:
    gate = gate_on(replica_b)
    with pytest.raises(GateError, match="another notation"):
        await gate.wait(MYSQL_GTID, 100)
    assert await gate.wait("", 0), "it says where it is all the same"
    await gate.aclose()


@pytest.mark.parametrize("unreadable", ["garbage", "a/b", "0-1-", "u:1"])
async def test_what_is_no_gtid_is_never_applied(replica_b: MariaDb, unreadable: str) -> None:
    gate = gate_on(replica_b)
    before = await gate.wait("", 0)
    assert await gate.wait(unreadable, 100) == before
    await gate.aclose()


async def test_a_server_that_has_been_given_gtids_is_asked_for_them(tmp_path: Path) -> None:
    require(mysql56_server.missing())
    with ProcessGroup() as group:
        server = group.add(MySql56("mysql", tmp_path / "mysql", gtid_mode="OFF", enforce_gtid_consistency="OFF"))
        server.start()
        server.create_users()
        gate = gate_on(server)
        with pytest.raises(GateError, match="another notation"):
            await gate.wait(MYSQL_GTID, 100)
        server.stop()
        server.options |= {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"}
        server.start()
        server.create_database("shop_gtid")
        wanted = server.gtid_position()
        # The first answer may still be an error of the connection that was lost.
        position = await until_async(partial(gate.wait, wanted, 100), "it answers", despite=(GateError,))
        assert answer_includes(position, wanted)
        await gate.aclose()


async def test_an_offset_in_the_primary_s_binlog_can_be_waited_for(mariadb_a: MariaDb, replica_b: MariaDb) -> None:
    status = mariadb_a.query("SHOW MASTER STATUS")[0]
    wanted = f"{status['File']}/{status['Position']}"
    gate = gate_on(replica_b)
    position = await gate.wait(wanted, 5_000)
    assert answer_includes(position, wanted)
    assert not answer_includes(position, f"{status['File']}/{status['Position'] + 1_000_000}")
    await gate.aclose()


async def test_the_primary_itself_can_be_listed(mariadb_a: MariaDb, database: str) -> None:
    gate = gate_on(mariadb_a, "primary")
    await gate.check()
    mariadb_a.execute(INSERT, database=database)
    wanted = mariadb_a.gtid_position()
    assert answer_includes(await gate.wait(wanted, 5_000), wanted)
    assert not answer_includes(await gate.wait("9-9-9", 50), "9-9-9")
    await gate.aclose()


async def test_what_a_detached_replica_wrote_itself_is_nothing_of_its_primary_s(
    mariadb_a: MariaDb, database: str, new_mariadb: Callable[..., MariaDb]
) -> None:
    replica = new_mariadb(gtid_strict_mode="OFF")
    replica.replicate_from(mariadb_a.port)
    replica.catch_up_with(mariadb_a)
    gate = gate_on(replica)
    before = await gate.wait("", 0)
    replica.stop_replication()
    replica.execute("RESET SLAVE ALL")
    replica.create_database("shop_local")
    mariadb_a.execute(INSERT, database=database)
    wanted = mariadb_a.gtid_position()
    assert await gate.wait(wanted, 100) == before
    replica.kill()
    replica.start()
    with pytest.raises(GateError):
        await gate.wait(wanted, 100)
    assert await gate.wait("", 0) == before
    assert await gate.wait(wanted, 100) == before
    replica.execute(INSERT, database=database)  # Promoted after all.
    wanted = replica.gtid_position()
    assert answer_includes(await gate.wait(wanted, 1_000), wanted)
    assert await gate.wait("", 0) == wanted
    await gate.aclose()


async def test_a_database_that_can_never_open_the_gate_is_refused(new_mariadb: Callable[..., MariaDb]) -> None:
    gate = gate_on(new_mariadb(log_bin=None, log_slave_updates=None))
    with pytest.raises(GateSetupError, match="replicates from nowhere"):
        await check_gates([gate])
    await gate.aclose()


async def test_a_wrong_password_is_told_apart_from_a_server_that_is_down(
    replica_b: MariaDb, new_mariadb: Callable[..., MariaDb]
) -> None:
    gate = gate_on(replica_b, password="wrong")
    with pytest.raises(GateDeniedError):
        await gate.wait("", 0)
    await gate.aclose()
    stopped = new_mariadb()
    stopped.stop()
    gate = gate_on(stopped)
    with pytest.raises(GateError, match="not available"):
        await gate.wait("", 0)
    await gate.aclose()


async def test_an_account_whose_plugin_the_driver_does_not_know_is_told(new_mariadb: Callable[..., MariaDb]) -> None:
    server = new_mariadb()
    server.execute("INSTALL SONAME 'auth_ed25519'")
    server.execute("ALTER USER 'stampline_gate'@'%%' IDENTIFIED VIA ed25519 USING PASSWORD(%s)", (PASSWORD,))
    gate = gate_on(server)
    with pytest.raises(GateDeniedError, match="'pynacl' package is required"):
        await gate.wait("", 0)
    await gate.aclose()


@pytest.mark.parametrize("password", ["pässwörd", "пароль"])
async def test_a_password_may_have_any_letters(new_mariadb: Callable[..., MariaDb], password: str) -> None:
    server = new_mariadb()
    server.execute("ALTER USER 'stampline_gate'@'%%' IDENTIFIED BY %s", (password,))
    gate = gate_on(server, password=password)
    await gate.wait("", 0)
    await gate.aclose()


async def test_a_gate_finds_a_restarted_replica_again(mariadb_a: MariaDb, replica_b: MariaDb) -> None:
    gate = gate_on(replica_b)
    before = await gate.wait("", 0)
    replica_b.kill()
    with pytest.raises(GateError):
        await gate.wait("", 0)
    replica_b.start()
    assert answer_includes(await gate.wait("", 0), before)
    await gate.aclose()


async def test_mysql_answers_by_its_executed_set(mysql56: MySql56) -> None:
    gate = gate_on(mysql56, "mysql", user="root", password=mysql56.password)
    await gate.check()
    mysql56.create_database("shop_gate")
    wanted = mysql56.gtid_position().replace("\n", "")
    assert answer_includes(await gate.wait(wanted, 1_000), wanted)
    uuid = wanted.partition(":")[0]
    assert not answer_includes(await gate.wait(f"{uuid}:99999", 100), f"{uuid}:99999")
    await gate.aclose()
