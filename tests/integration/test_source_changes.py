"""What each kind of change in a real MySQL or MariaDB becomes in a real stream A."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from replicator.errors import PreflightError
from tests.integration.source_world import World, address, watch

FIRST = "INSERT INTO item (id, code, shelf) VALUES (1, 'A', 7)"


@pytest.fixture(params=["mariadb_a", "mysql56"])
async def world(request: pytest.FixtureRequest, redis_a: RedisServer) -> AsyncIterator[World]:
    """A source that follows a server on which only item 1 exists; its stream is empty."""
    made = World.with_items(request.getfixturevalue(request.param), redis_a)
    made.run(FIRST)
    async with made.source():
        await made.forget()
        yield made


ROW_1 = {"item:1", "item:code:a", "shelf:7:A"}


@pytest.mark.parametrize(
    ("statements", "keys"),
    [
        (["INSERT INTO item (id, code) VALUES (2, 'b c')"], {"item:2", "item:code:b%20c", "shelf:%N:b%20c"}),
        (["UPDATE item SET name = 'x'"], ROW_1),
        (["UPDATE item SET shelf = 8"], ROW_1 | {"shelf:8:A"}),
        (["UPDATE item SET id = 9"], ROW_1 | {"item:9"}),
        (["DELETE FROM item"], ROW_1),
        (["REPLACE INTO item (id, code) VALUES (3, 'A')"], ROW_1 | {"item:3", "shelf:%N:A"}),
        (
            ["INSERT INTO item (code) VALUES ('A') ON DUPLICATE KEY UPDATE code = 'Z', shelf = NULL"],
            ROW_1 | {"item:code:z", "shelf:%N:Z"},
        ),
        (["INSERT INTO item (id, code) VALUES (4, 'd'), (5, 'e')"],
         {"item:4", "item:code:d", "shelf:%N:d", "item:5", "item:code:e", "shelf:%N:e"}),
        (["BEGIN", "UPDATE item SET name = 'y'", "ROLLBACK"], set()),
        (["BEGIN", "INSERT INTO item (id, code) VALUES (6, 'f')", "SAVEPOINT s",
          "UPDATE item SET shelf = 1 WHERE id > 5",
          "RELEASE SAVEPOINT s", "COMMIT"], {"item:6", "item:code:f", "shelf:%N:f", "shelf:1:f"}),
    ],
    ids=["insert", "update", "derived column", "primary key", "delete", "replace", "duplicate key", "many rows",
         "rollback", "savepoint"],
)  # fmt: skip
async def test_a_committed_change_stamps_the_keys_before_and_after_it(
    world: World, statements: list[str], keys: set[str]
) -> None:
    world.run(*statements)
    await world.caught_up()
    assert set(await world.keys()) == keys
    assert await world.generations() == []


async def test_a_transaction_over_two_tables_is_one_position(world: World) -> None:
    world.run("BEGIN", "INSERT INTO item (id, code) VALUES (2, 'b')", "DELETE FROM item WHERE id = 1", "COMMIT")
    await world.caught_up()
    assert ROW_1 | {"item:2"} <= set(await world.keys())
    assert len({body.gtid for body in await world.bodies() if hasattr(body, "keys")}) == 1


async def test_a_table_without_transactions_is_stamped_at_its_own_commit(world: World) -> None:
    world.run("ALTER TABLE item ENGINE = MyISAM", "INSERT INTO item (id, code) VALUES (2, 'b')")
    await world.caught_up()
    assert "item:2" in await world.keys()


@pytest.mark.parametrize(
    "statements",
    [
        ["TRUNCATE TABLE item"],
        ["ALTER TABLE item ADD COLUMN extra INT FIRST"],
        ["RENAME TABLE item TO old_item"],
        ["DROP TABLE item"],
        ["SET SESSION binlog_format = STATEMENT", "UPDATE item SET name = 'quiet'"],
    ],
)
async def test_what_shows_no_rows_ages_out_the_tables_namespaces(world: World, statements: list[str]) -> None:
    world.run(*statements)
    await world.caught_up()
    aged = {namespace for body in await world.generations() for namespace in body.namespaces}
    assert aged == {"item", "shelf"}


async def test_rows_after_an_alter_are_read_with_the_new_columns(world: World) -> None:
    world.run(
        "ALTER TABLE item ADD COLUMN extra INT UNSIGNED FIRST", "INSERT INTO item (extra, id, code) VALUES (5, 6, 'f')"
    )
    await world.caught_up()
    assert set(await world.keys()) == {"item:6", "item:code:f", "shelf:%N:f"}


async def test_statements_that_concern_no_watched_table_leave_no_entry(world: World) -> None:
    world.run(
        "CREATE TABLE other (id INT PRIMARY KEY)", "INSERT INTO other VALUES (1)", "DROP TABLE other", "FLUSH TABLES"
    )
    await world.caught_up()
    assert await world.keys() == []
    assert await world.generations() == []


async def test_an_xa_transaction_is_stamped_at_its_commit_under_the_commits_position(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        await world.forget()
        world.run("XA START 'x'", "INSERT INTO item (id, code) VALUES (2, 'b')", "XA END 'x'", "XA PREPARE 'x'")
        await world.caught_up()
        assert await world.keys() == []
        world.run("XA COMMIT 'x'")
        await world.caught_up()
        assert "item:2" in await world.keys()
        assert mariadb_a.gtid_position() in {body.gtid for body in await world.bodies()}


async def test_a_deleted_parent_ages_out_the_children_that_the_database_changes_by_itself(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run(
        "CREATE TABLE parent (id INT PRIMARY KEY, note INT)",
        "ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE",
        "INSERT INTO parent VALUES (1, 1), (2, 2)",
        "INSERT INTO item (id, code, shelf) VALUES (1, 'a', 1)",
    )
    async with world.source():
        await world.forget()
        world.run("UPDATE parent SET note = 5")
        await world.caught_up()
        assert await world.generations() == []
        world.run("DELETE FROM parent WHERE id = 1")
        await world.caught_up()
        assert [set(body.namespaces) for body in await world.generations()] == [{"item", "shelf"}]


async def test_a_cascade_is_seen_though_its_foreign_key_is_gone_when_it_is_read(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run(
        "CREATE TABLE building (id INT PRIMARY KEY)",
        "CREATE TABLE room (id INT PRIMARY KEY, building INT,"
        " CONSTRAINT f FOREIGN KEY (building) REFERENCES building (id) ON DELETE CASCADE)",
        "ALTER TABLE item ADD COLUMN room INT, ADD FOREIGN KEY (room) REFERENCES room (id) ON DELETE CASCADE",
        "INSERT INTO building VALUES (1)",
        "INSERT INTO room VALUES (7, 1)",
        "INSERT INTO item (id, code, room) VALUES (5, 'a', 7)",
    )
    async with world.source():
        await world.forget()
    world.run("DELETE FROM building", "ALTER TABLE room DROP FOREIGN KEY f")
    async with world.source():
        await world.caught_up()
    assert {"item", "shelf"} in [set(body.namespaces) for body in await world.generations()]


@pytest.mark.parametrize("columns", ["id, shelf, code", "id, code"])
async def test_a_table_of_whose_foreign_keys_not_all_is_seen_is_refused(
    mariadb_a: MariaDb, redis_a: RedisServer, columns: str
) -> None:
    """With rights on single columns: its primary key is seen, which is a constraint, too."""
    world = World.with_items(mariadb_a, redis_a)
    user = f"lean_{world.database[-8:]}_{len(columns)}"
    world.run(
        "CREATE TABLE room (id INT PRIMARY KEY)",
        "ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES room (id) ON DELETE CASCADE",
        f"CREATE USER {user} IDENTIFIED BY 'lean'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT, SLAVE MONITOR ON *.* TO {user}",
        f"GRANT SELECT ({columns}), REFERENCES ({columns}) ON item TO {user}",
    )
    world.tables = watch(world.database, item=["item:{id}"])
    world.options["mysql"] = address(world.server, user=user, password="lean")
    with pytest.raises(PreflightError, match=f"foreign keys of {world.database}.item cannot be seen"):
        await world.check()
    world.run(f"GRANT REFERENCES ON {world.database}.* TO {user}")
    await world.check()


async def test_a_parent_whose_foreign_keys_cannot_be_seen_is_refused(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    other = f"common_{world.database}"
    world.run(
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.room (id INT PRIMARY KEY)",
        f"ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES {other}.room (id) ON DELETE CASCADE",
    )
    with pytest.raises(PreflightError, match=f"{other}.room cannot be seen.*GRANT REFERENCES ON `{other}`"):
        await world.check()
    mariadb_a.execute(f"GRANT REFERENCES ON `{other}`.* TO 'stampline_source'@'%'")
    await world.check()


async def test_a_transaction_above_the_limit_becomes_generations(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a, keys_max=50)
    async with world.source():
        await world.forget()
        world.run("INSERT INTO item (code) SELECT CONCAT('c', seq) FROM seq_1_to_2000")
        await world.caught_up()
        assert await world.keys() == []
        assert [set(body.namespaces) for body in await world.generations()] == [{"item", "shelf"}]
        assert world.stats.rows < 100


MINIMAL = {"binlog_row_image": "MINIMAL", "binlog_row_metadata": "NO_LOG", "binlog_checksum": "NONE"}


async def test_minimal_images_without_metadata_and_checksums_give_keys_or_a_generation(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(**MINIMAL), redis_a)
    world.tables = watch(world.database, item=["item:{id}", "shelf:{shelf}"])
    async with world.source():
        await world.forget()
        world.run("INSERT INTO item (id, code, shelf) VALUES (18446744073709551615, 'A', -1)")
        await world.caught_up()
        assert set(await world.keys()) == {"item:18446744073709551615", "shelf:-1"}
        await world.forget()
        world.run("UPDATE item SET name = 'only the name'")
        await world.caught_up()
        assert set(await world.keys()) == {"item:18446744073709551615"}
        assert [body.namespaces for body in await world.generations()] == [("shelf",)]


async def test_compressed_events_are_read_like_plain_ones(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    server = new_mariadb(log_bin_compress="ON", log_bin_compress_min_len=10)
    world = World.with_items(server, redis_a)
    async with world.source():
        await world.forget()
        world.run(
            "INSERT INTO item (id, code, name) VALUES (2, 'b', REPEAT('x', 60))",
            "UPDATE item SET name = REPEAT('y', 60), code = 'c'",
            "DELETE FROM item",
        )
        await world.caught_up()
        assert {"item:2", "item:code:b", "item:code:c"} <= set(await world.keys())
        await world.forget()
        world.run(f"TRUNCATE TABLE item /* {'long enough ' * 10} */")
        await world.caught_up()
        assert [set(body.namespaces) for body in await world.generations()] == [{"item", "shelf"}]


async def test_compressed_events_without_checksums_are_read_to_their_last_byte(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    server = new_mariadb(log_bin_compress="ON", log_bin_compress_min_len=10, binlog_checksum="NONE")
    world = World.with_items(server, redis_a)
    async with world.source():
        await world.forget()
        world.run("INSERT INTO item (id, code, name) VALUES (2, 'b', REPEAT('x', 60))")
        await world.caught_up()
        assert {"item:2", "item:code:b"} <= set(await world.keys())
        assert not await world.generations()


@pytest.fixture
def mysql_without_gtids(mysql56: MySql56, tmp_path: Path) -> Iterator[MySql56]:
    assert mysql56.is_running  # it is available here at all
    with ProcessGroup() as group:
        server = MySql56(
            "no-gtids", tmp_path / "no-gtids", server_id=9, gtid_mode="OFF", enforce_gtid_consistency="OFF"
        )
        group.add(server).start()
        server.create_users()
        yield server


async def test_without_gtids_a_source_resumes_from_file_and_offset(
    mysql_without_gtids: MySql56, redis_a: RedisServer
) -> None:
    world = World.with_items(mysql_without_gtids, redis_a)
    async with world.source():
        world.run(FIRST, "FLUSH LOGS", "INSERT INTO item (id, code) VALUES (2, 'b')")
        await world.caught_up()
    world.run("INSERT INTO item (id, code) VALUES (3, 'c')")
    async with world.source():
        await world.caught_up()
    assert sorted(key for key in await world.keys() if key[5:].isdigit()) == ["item:1", "item:2", "item:3"]
    stored = await world.checkpoint()
    assert re.fullmatch(r"9:[^/]+\.000002/\d+ last=.*", stored.position)


@pytest.mark.parametrize(("before", "after"), [("CRC32", "NONE"), ("NONE", "CRC32")])
async def test_without_gtids_a_file_has_its_whole_name_when_checksums_were_switched(
    mysql_without_gtids: MySql56, redis_a: RedisServer, before: str, after: str
) -> None:
    world = World.with_items(mysql_without_gtids, redis_a)
    world.run(f"SET GLOBAL binlog_checksum = {before}")
    async with world.source():
        world.run(FIRST, f"SET GLOBAL binlog_checksum = {after}", "INSERT INTO item (id, code) VALUES (2, 'b')")
        await world.caught_up()
    newest = world.server.query("SHOW MASTER STATUS")[0]
    stored = await world.checkpoint()
    assert stored.position.startswith(f"9:{newest['File']}/{newest['Position']} last={newest['File']}/")
