"""Row images, tables and statements that hide what they change: a key, or at least its namespace, is stamped."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.sql_server import SqlServer
from replicator.binlog import kinds, wire
from replicator.errors import UnsupportedEventError
from tests.eventually import until_async
from tests.integration.source_world import ITEM_KEYS, World, address, watch

NewMariaDb = Callable[..., MariaDb]
EVERYTHING = {"item", "shelf"}


@pytest.fixture(params=["mariadb_a", "mysql56"])
def server(request: pytest.FixtureRequest) -> SqlServer:
    found: SqlServer = request.getfixturevalue(request.param)
    return found


async def stamped(world: World) -> tuple[set[str], set[str]]:
    """Keys, and namespaces aged out."""
    await world.caught_up()
    aged = {namespace for body in await world.generations() for namespace in body.namespaces}
    return set(await world.keys()), aged


NOTE = "CREATE TABLE note (id INT PRIMARY KEY, owner INT NOT NULL, title VARCHAR(20) NOT NULL DEFAULT '', body TEXT)"
NOTE_KEYS = ["note:{id}", "by_owner:{owner}", "by_body:{body}"]


@pytest.mark.parametrize(
    ("image", "statement", "keys", "aged"),
    [
        ("NOBLOB", "UPDATE note SET owner = 8", {"note:1", "by_owner:7", "by_owner:8"}, {"by_body"}),
        ("NOBLOB", "UPDATE note SET body = 'new'", {"note:1", "by_owner:7", "by_body:new"}, {"by_body"}),
        ("NOBLOB", "DELETE FROM note", {"note:1", "by_owner:7"}, {"by_body"}),
        ("MINIMAL", "UPDATE note SET owner = 8", {"note:1", "by_owner:8"}, {"by_owner", "by_body"}),
        ("MINIMAL", "UPDATE note SET id = 2", {"note:1", "note:2"}, {"by_owner", "by_body"}),
        ("MINIMAL", "UPDATE note SET title = 'x'", {"note:1"}, {"by_owner", "by_body"}),
        ("MINIMAL", "DELETE FROM note", {"note:1"}, {"by_owner", "by_body"}),
        ("MINIMAL", "REPLACE INTO note (id, owner, body) VALUES (1, 9, 'c')",
         {"note:1", "by_owner:9", "by_body:c"}, {"by_owner", "by_body"}),
    ],
)  # fmt: skip
async def test_minimal_and_noblob_row_images(
    server: SqlServer, redis_a: RedisServer, image: str, statement: str, keys: set[str], aged: set[str]
) -> None:
    """The after image is the before image overlaid with the columns present; what is absent ages out its namespace."""
    world = World.with_items(server, redis_a)
    world.run(NOTE, "INSERT INTO note VALUES (1, 7, 't', 'b')")
    world.tables = watch(world.database, note=NOTE_KEYS)
    async with world.source():
        await world.forget()
        world.run(f"SET SESSION binlog_row_image = {image}", statement)
        found, found_aged = await stamped(world)
        absent = {"by_owner:7", "by_body:b"} - found
        assert keys <= found
        assert {key.partition(":")[0] for key in absent} <= found_aged <= aged


@pytest.mark.parametrize("image", ["FULL", "NOBLOB", "MINIMAL"])
async def test_an_update_to_a_value_without_a_word_ages_out_its_namespace(
    server: SqlServer, redis_a: RedisServer, image: str
) -> None:
    """A zero date is in the row, and no key can be made of it: it must not pass for a column that did not change."""
    world = World.with_items(server, redis_a)
    world.run(
        "CREATE TABLE visit (id INT PRIMARY KEY, day DATE NOT NULL, UNIQUE KEY (day), body TEXT)",
        "CREATE TABLE guest (id INT PRIMARY KEY, day DATE NOT NULL,"
        " FOREIGN KEY (day) REFERENCES visit (day) ON UPDATE CASCADE)",
        "INSERT INTO visit VALUES (1, '2024-01-02', 'b')", "INSERT INTO guest VALUES (1, '2024-01-02')",
    )  # fmt: skip
    world.tables = watch(world.database, visit=["visit:{id}", "by_day:{day}"], guest=["guest:{id}"])
    async with world.source():
        for day in ("0000-00-00", "2024-05-06"):
            await world.forget()
            world.run(f"SET SESSION binlog_row_image = {image}, sql_mode = ''", f"UPDATE visit SET day = '{day}'")
            keys, aged = await stamped(world)
            known = {"by_day:2024-01-02"} if day == "0000-00-00" else {"by_day:2024-05-06"}
            assert aged == {"by_day", "guest"}
            assert keys == {"visit:1"} | (known if image != "MINIMAL" or day != "0000-00-00" else set())


async def test_without_metadata_rows_before_an_alter_are_aged_out_by_it(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """NO_LOG: the source finds the columns of today for rows of yesterday; the same number of the same types."""
    world = World.with_items(new_mariadb(binlog_row_metadata="NO_LOG"), redis_a)
    world.run("CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT)")
    world.tables = watch(world.database, pair=["pair:{a}"])
    async with world.source():
        await world.forget()
    world.run("INSERT INTO pair VALUES (1, 10, 20)", "ALTER TABLE pair MODIFY a INT AFTER b")
    async with world.source():
        keys, aged = await stamped(world)
        assert "pair:10" in keys or "pair" in aged
        await world.forget()
        world.run("INSERT INTO pair (id, a, b) VALUES (2, 30, 40)")
        assert await stamped(world) == ({"pair:30"}, set())


async def test_without_metadata_a_table_of_another_shape_gives_a_generation_and_never_a_wrong_key(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(binlog_row_metadata="NO_LOG"), redis_a)
    world.run("CREATE TABLE pair (id INT PRIMARY KEY, a INT)")
    world.tables = watch(world.database, pair=["pair:{a}"])
    async with world.source():
        await world.forget()
    world.run("INSERT INTO pair VALUES (1, 10)", "ALTER TABLE pair ADD COLUMN extra INT FIRST")
    async with world.source():
        assert await stamped(world) == (set(), {"pair"})


async def test_without_metadata_a_table_altered_outside_the_binlog_is_read_as_it_is_now(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """A rolling schema change, with sql_log_bin = 0 on each server: no statement tells the source of it."""
    world = World.with_items(new_mariadb(binlog_row_metadata="NO_LOG"), redis_a)
    world.run("CREATE TABLE pair (id INT PRIMARY KEY, a INT, b INT)", "CREATE TABLE one (id INT PRIMARY KEY, a INT)")
    world.tables = watch(world.database, pair=["pair:{a}"], one=["one:{a}"])
    async with world.source():
        world.run("INSERT INTO pair VALUES (1, 10, 20)", "INSERT INTO one VALUES (1, 10)")
        await world.forget()
        world.run(
            "SET sql_log_bin = 0", "ALTER TABLE pair MODIFY a INT AFTER b", "ALTER TABLE one ADD COLUMN extra INT FIRST"
        )
        world.run("INSERT INTO pair (id, a, b) VALUES (2, 30, 40)", "INSERT INTO one (id, a) VALUES (2, 30)")
        assert await stamped(world) == ({"pair:30", "one:30"}, set())


async def test_a_column_altered_to_a_type_that_no_key_takes_ages_out_its_namespace(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    """Preflight refuses it, and is long over."""
    world = World.with_items(mariadb_a, redis_a)
    world.run("CREATE TABLE visit (id CHAR(36) PRIMARY KEY, n INT)", "INSERT INTO visit VALUES (UUID(), 1)")
    world.tables = watch(world.database, visit=["visit:{id}"])
    async with world.source():
        world.run("ALTER TABLE visit MODIFY id UUID NOT NULL")
        await world.forget()
        world.run("UPDATE visit SET n = 2")
        assert await stamped(world) == (set(), {"visit"})


@pytest.mark.parametrize("metadata", ["FULL", "NO_LOG"])
async def test_columns_that_we_may_not_read_have_their_place_in_a_row(
    new_mariadb: NewMariaDb, redis_a: RedisServer, metadata: str
) -> None:
    """A user with rights on single columns sees only these; the value of its neighbour was taken for one's own."""
    world = World.with_items(new_mariadb(binlog_row_metadata=metadata), redis_a)
    world.run(
        "CREATE TABLE tenant (id BIGINT PRIMARY KEY, secret BIGINT, owner BIGINT)",
        "CREATE TABLE plan (id BIGINT PRIMARY KEY, secret TEXT, price FLOAT(10,2))",
        "CREATE USER lean IDENTIFIED BY 'lean'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT, SLAVE MONITOR ON *.* TO lean",
        "GRANT SELECT (id, owner), REFERENCES (id) ON tenant TO lean",
        "GRANT SELECT (id, price), REFERENCES (id) ON plan TO lean",
    )
    world.tables = watch(world.database, tenant=["owner:{owner}"], plan=["price:{price}"])
    world.options["mysql"] = address(world.server, user="lean", password="lean")
    async with world.source():
        await world.forget()
        world.run("INSERT INTO tenant VALUES (1, 666, 42)", "INSERT INTO plan VALUES (1, 'x', 123456.75)")
        assert await stamped(world) == ({"owner:42", "price:123456.75"}, set())


async def test_checksum_none_while_the_source_reads(new_mariadb: NewMariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        await world.forget()
        for number, checksum in enumerate(["NONE", "CRC32", "NONE"]):
            world.run(
                f"SET GLOBAL binlog_checksum = {checksum}",
                f"INSERT INTO item (id, code) VALUES ({number + 1}, 'c') ON DUPLICATE KEY UPDATE id = {number + 1}",
            )
        keys, aged = await stamped(world)
        assert {"item:1", "item:2", "item:3"} <= keys
        assert aged == set()


async def test_ci_collation_keys_have_one_spelling_with_the_lower_filter(
    server: SqlServer, redis_a: RedisServer
) -> None:
    world = World.with_items(server, redis_a)
    world.tables = watch(world.database, item=["item:code:{code|lower}"])
    async with world.source():
        await world.forget()
        world.run("INSERT INTO item (code) VALUES ('AbÇ')", "UPDATE item SET code = 'aBç' WHERE code = 'ABÇ'")
        assert await stamped(world) == ({"item:code:ab%C3%A7"}, set())


async def test_rows_behind_a_savepoint_that_was_rolled_back_harm_nothing(
    server: SqlServer, redis_a: RedisServer
) -> None:
    world = World.with_items(server, redis_a)
    async with world.source():
        await world.forget()
        world.run(
            "BEGIN", "INSERT INTO item (id, code) VALUES (1, 'a')", "SAVEPOINT s",
            "INSERT INTO item (id, code) VALUES (2, 'b')", "ROLLBACK TO s",
            "INSERT INTO item (id, code) VALUES (3, 'c')", "COMMIT",
        )  # fmt: skip
        keys, aged = await stamped(world)
        assert {"item:1", "item:3"} <= keys
        assert aged == set()


async def test_a_rollback_over_a_table_without_transactions(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    """What MyISAM was told stays, and the binlog shows it in a transaction that ends with ROLLBACK."""
    world = World.with_items(mariadb_a, redis_a)
    world.run("CREATE TABLE quick (id INT PRIMARY KEY) ENGINE = MyISAM")
    world.tables = watch(world.database, item=["item:{id}"], quick=["quick:{id}"])
    async with world.source():
        await world.forget()
        world.run("BEGIN", "INSERT INTO quick VALUES (5)", "INSERT INTO item (id, code) VALUES (1, 'a')", "ROLLBACK")
        keys, aged = await stamped(world)
        assert "quick:5" in keys
        assert aged == set()


XA_PREPARED = ("XA START 'x'", "INSERT INTO item (id, code) VALUES (2, 'b')", "XA END 'x'", "XA PREPARE 'x'")


async def test_xa_commit_of_rows_that_were_prepared_before_the_source_began(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        world.run(*XA_PREPARED)
        world.run("INSERT INTO item (id, code) VALUES (3, 'c')")
        await world.forget()
    async with world.source():
        world.run("XA COMMIT 'x'")
        assert await stamped(world) == (set(), EVERYTHING)
        assert world.stats.xa_unknown == 1


async def test_xa_rollback_stamps_nothing(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        await world.forget()
        world.run(*XA_PREPARED)
        world.run("XA ROLLBACK 'x'")
        assert await stamped(world) == (set(), set())


CASCADE_IN_TWO_STEPS = (
    "CREATE TABLE building (id INT PRIMARY KEY)",
    "CREATE TABLE room (id INT PRIMARY KEY, building INT)",
    "ALTER TABLE room ADD FOREIGN KEY (building) REFERENCES building (id) ON DELETE CASCADE",
    "ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES room (id) ON DELETE SET NULL",
    "INSERT INTO building VALUES (1)",
    "INSERT INTO room VALUES (7, 1)",
    "INSERT INTO item (id, code, shelf) VALUES (1, 'a', 7)",
)


async def test_fk_cascade_over_two_steps_and_by_set_null(server: SqlServer, redis_a: RedisServer) -> None:
    world = World.with_items(server, redis_a)
    world.run(*CASCADE_IN_TWO_STEPS)
    async with world.source():
        await world.forget()
        world.run("DELETE FROM building")
        assert await stamped(world) == (set(), EVERYTHING)
        await world.forget()
        world.run("ALTER TABLE room DROP FOREIGN KEY room_ibfk_1")  # and now nothing follows a building
        await world.forget()
        world.run("INSERT INTO building VALUES (2)", "DELETE FROM building")
        assert await stamped(world) == (set(), set())


PERIOD = (
    ", born TIMESTAMP(6) GENERATED ALWAYS AS ROW START, died TIMESTAMP(6) GENERATED ALWAYS AS ROW END,"
    " PERIOD FOR SYSTEM_TIME (born, died)"
)


@pytest.mark.parametrize("metadata", ["FULL", "NO_LOG"])
@pytest.mark.parametrize("period", ["", PERIOD], ids=["hidden", "named"])
async def test_a_row_deleted_from_a_parent_with_system_versioning_takes_its_children_along(
    new_mariadb: NewMariaDb, redis_a: RedisServer, metadata: str, period: str
) -> None:
    """In the binlog such a DELETE is an update: the row is still there, until now."""
    world = World.with_items(new_mariadb(binlog_row_metadata=metadata), redis_a)
    world.run(
        f"CREATE TABLE room (id INT PRIMARY KEY, size INT{period}) WITH SYSTEM VERSIONING",
        "ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES room (id) ON DELETE CASCADE",
        "INSERT INTO room (id, size) VALUES (7, 1), (8, 1)",
        "INSERT INTO item (id, code, shelf) VALUES (1, 'a', 7), (2, 'b', 8)",
    )
    async with world.source():
        for image in ("FULL", "MINIMAL"):
            await world.forget()
            world.run(f"SET SESSION binlog_row_image = {image}", "UPDATE room SET size = size + 1")
            assert await stamped(world) == (set(), set())
        for statement in ("DELETE FROM room WHERE id = 7", "REPLACE INTO room (id, size) VALUES (8, 2)"):
            await world.forget()
            world.run(statement)
            assert await stamped(world) == (set(), EVERYTHING)
        assert not world.server.query("SELECT * FROM item", database=world.database)


async def test_a_cascade_is_seen_though_its_foreign_key_spells_the_parents_column_otherwise(
    server: SqlServer, redis_a: RedisServer
) -> None:
    """As a dump does that is loaded without checks: the key is older than the table it names."""
    world = World.with_items(server, redis_a)
    world.run(
        "SET foreign_key_checks = 0",
        "ALTER TABLE item ADD FOREIGN KEY (shelf) REFERENCES room (ID) ON UPDATE CASCADE",
        "CREATE TABLE room (id INT PRIMARY KEY)",
        "SET foreign_key_checks = 1",
        "INSERT INTO room VALUES (7)",
        "INSERT INTO item (id, code, shelf) VALUES (1, 'a', 7)",
    )
    async with world.source():
        await world.forget()
        world.run("UPDATE room SET id = 8")
        assert await stamped(world) == (set(), EVERYTHING)


async def test_a_table_that_is_locked_hides_no_foreign_key(new_mariadb: NewMariaDb, redis_a: RedisServer) -> None:
    """A server with a short lock_wait_timeout leaves locked tables out of its answer, with a mere warning."""
    server = new_mariadb(lock_wait_timeout=1)
    world = World.with_items(server, redis_a)
    world.run(*CASCADE_IN_TWO_STEPS)
    async with world.source():
        async with locked(world, "room"):
            world.run("CREATE TABLE other (room INT)")
            await until_async(lambda: "stampline_source" in waiting(server), "the source asks")
            await until_async(lambda: waiting(server) == {"root"}, "it has an answer")
        await world.forget()
        world.run("DELETE FROM building")
        assert await stamped(world) == (set(), EVERYTHING)


@pytest.mark.parametrize("table", ["aside", "room"])
async def test_a_table_that_is_locked_holds_up_no_changes_of_others(
    mariadb_a: MariaDb, redis_a: RedisServer, table: str
) -> None:
    """It may be for the hours of an ALTER."""
    world = World.with_items(mariadb_a, redis_a)
    world.run(*CASCADE_IN_TWO_STEPS, "CREATE TABLE aside (id INT)", "CREATE TABLE part (id INT PRIMARY KEY)")
    world.tables = watch(world.database, item=ITEM_KEYS, part=["part:{id}"])
    async with world.source():
        await world.forget()
        async with locked(world, table):
            world.run("CREATE TABLE other (id INT COMMENT 'references nothing')", "TRUNCATE TABLE part")
            world.run("INSERT INTO part VALUES (1)")
            assert "part:1" in (await stamped(world))[0]


async def test_an_alter_in_two_phases_is_one_change(new_mariadb: NewMariaDb, redis_a: RedisServer) -> None:
    """MariaDB says that it begins, and once more that it has ended."""
    world = World.with_items(new_mariadb(binlog_alter_two_phase=1), redis_a)
    async with world.source():
        await world.forget()
        world.run("ALTER TABLE item ADD COLUMN x INT")
        assert await stamped(world) == (set(), EVERYTHING)
        assert len(await world.generations()) == 1


async def test_a_foreign_key_that_a_rename_brings_into_reach_is_the_one_that_is_there_by_then(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    """Tools that change a table beside it drop the parent, and another takes its name, in no plan by then."""
    world = World.with_items(mariadb_a, redis_a)
    to_room = "FOREIGN KEY (shelf) REFERENCES room (id) ON DELETE CASCADE"
    world.run(
        "CREATE TABLE building (id INT PRIMARY KEY)",
        "CREATE TABLE room (id INT PRIMARY KEY, building INT)",
        "CREATE TABLE room2 LIKE room",
        "ALTER TABLE room2 ADD FOREIGN KEY (building) REFERENCES building (id) ON DELETE CASCADE",
        f"ALTER TABLE item ADD CONSTRAINT to_room {to_room}",
        "CREATE TABLE item_new LIKE item",
        f"ALTER TABLE item_new ADD CONSTRAINT to_room_too {to_room}",
        "INSERT INTO building VALUES (1)",
        "INSERT INTO room VALUES (1, 1)",
        "INSERT INTO room2 VALUES (1, 1)",
        "INSERT INTO item_new (id, code, shelf) VALUES (1, 'a', 1)",
    )
    async with world.source():
        await world.caught_up()
        world.run(
            "ALTER TABLE item DROP FOREIGN KEY to_room",
            "SET foreign_key_checks = 0",
            "DROP TABLE room",
            "RENAME TABLE room2 TO room",
            "RENAME TABLE item TO item_old, item_new TO item",
        )
        await world.forget()
        world.run("DELETE FROM building")
        assert await stamped(world) == (set(), EVERYTHING)


@asynccontextmanager
async def locked(world: World, table: str) -> AsyncIterator[None]:
    """It is held by a RENAME that waits for another table meanwhile, and ends in vain."""
    world.run("CREATE TABLE zoo (id INT)")
    swap = f"RENAME TABLE {table} TO old_{table}, zoo TO old_zoo"
    with world.server.connect(database=world.database) as reading, reading.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM zoo")
        swapping = asyncio.create_task(asyncio.to_thread(world.run, "SET lock_wait_timeout = 60", swap))
        await until_async(lambda: waiting(world.server) == {"root"}, "the swap waits")
        try:
            yield
        finally:
            world.server.execute(f"KILL QUERY {running(world.server, swap)}")
            with pytest.raises(pymysql.err.MySQLError):
                await swapping


def waiting(server: SqlServer) -> set[str]:
    """Users who wait for a table that is locked."""
    rows = server.query("SHOW PROCESSLIST")
    return {row["User"] for row in rows if row["State"] == "Waiting for table metadata lock"}


def running(server: SqlServer, statement: str) -> int:
    found: int = next(row["Id"] for row in server.query("SHOW PROCESSLIST") if row["Info"] == statement)
    return found


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO item (code) VALUES ('quiet')"],
        ["INSERT INTO other SELECT id FROM item", "UPDATE other, item SET item.shelf = 1 WHERE item.id = other.id"],
        ["/* a comment */ DELETE FROM item"],
    ],
    ids=["insert", "multi-table update", "commented delete"],
)
async def test_statement_sessions(server: SqlServer, redis_a: RedisServer, statements: list[str]) -> None:
    world = World.with_items(server, redis_a)
    world.run("CREATE TABLE other (id BIGINT PRIMARY KEY)", "INSERT INTO item (id, code) VALUES (1, 'a')")
    async with world.source():
        await world.forget()
        world.run("SET SESSION binlog_format = STATEMENT", *statements)
        assert await stamped(world) == (set(), EVERYTHING)


async def test_load_data_in_a_statement_session(server: SqlServer, redis_a: RedisServer, tmp_path: Path) -> None:
    world = World.with_items(server, redis_a)
    file = server.folder / f"{world.database}.csv"
    file.write_text("5,code five\n")
    file.chmod(0o644)
    async with world.source():
        await world.forget()
        world.run(
            "SET SESSION binlog_format = STATEMENT",
            f"LOAD DATA INFILE '{file}' INTO TABLE item FIELDS TERMINATED BY ',' (id, code)",
        )
        assert await stamped(world) == (set(), EVERYTHING)


async def test_load_data_that_fails_in_a_statement_session(server: SqlServer, redis_a: RedisServer) -> None:
    """Its file is in the binlog, and the statement is not: the event that deletes the file is no change."""
    world = World.with_items(server, redis_a)
    world.run("CREATE TABLE other (id INT PRIMARY KEY) ENGINE = MyISAM", "INSERT INTO other VALUES (1)")
    file = server.folder / f"{world.database}.csv"
    file.write_text("1\n")
    file.chmod(0o644)
    load = f"LOAD DATA INFILE '{file}' INTO TABLE other"
    async with world.source():
        await world.forget()
        with pytest.raises(pymysql.err.IntegrityError):
            world.run("SET SESSION binlog_format = STATEMENT", load)
        assert "Delete_file" in [event["Event_type"] for event in newest_events(server)]
        world.run("INSERT INTO item (id, code, shelf) VALUES (2, 'b', 3)")
        assert {"item:2"} <= (await stamped(world))[0]


def newest_events(server: SqlServer) -> list[dict[str, Any]]:
    newest = server.query("SHOW MASTER STATUS")[0]["File"]
    return server.query(f"SHOW BINLOG EVENTS IN '{newest}'")


@pytest.mark.parametrize(
    "statement",
    ["ANALYZE UPDATE item SET name = 'x'", "ANALYZE FORMAT=JSON DELETE FROM item",
     "EXECUTE IMMEDIATE 'DELETE FROM item'",
     "SET STATEMENT max_statement_time = 60 FOR DELETE FROM item", "/*M!100100 DELETE FROM item */",
     "BEGIN NOT ATOMIC DELETE FROM item; END"],
)  # fmt: skip
async def test_what_mariadb_runs_in_a_statement_session_under_other_words(
    mariadb_a: MariaDb, redis_a: RedisServer, statement: str
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run("INSERT INTO item (id, code) VALUES (1, 'a')")
    async with world.source():
        await world.forget()
        world.run("SET SESSION binlog_format = STATEMENT", statement)
        assert await stamped(world) == (set(), EVERYTHING)


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE fresh LIKE item", "RENAME TABLE item TO old_item, fresh TO item"],
        ["CREATE TABLE fresh LIKE item", "DROP TABLE item", "ALTER TABLE fresh RENAME item"],
        ["DROP DATABASE {database}"],
        ["ALTER TABLE item PARTITION BY KEY (id) PARTITIONS 2", "ALTER TABLE item TRUNCATE PARTITION p0"],
        ["TRUNCATE`item`"],
        ["/*!50003 TRUNCATE TABLE `item` */"],
        ["ALTER /* nightly event 42 */ TABLE item ADD extra INT"],
        ["DROP /* temporary */ TABLE item"],
        ["RENAME /* user request */ TABLE item TO old_item"],
        ["ALTER -- view of users\nTABLE item ADD extra INT"],
        ["ALTER /*!99999 VIEW */ TABLE item ADD extra INT"],
        ["ALTER /*!99999 /* a */ VIEW */ TABLE item ADD extra INT"],
        ["ALTER /*M!999999 VIEW */ TABLE item ADD extra INT"],
    ],
    ids=[
        "rename swap",
        "alter rename",
        "drop database",
        "truncate partition",
        "no blank",
        "versioned comment",
        "comment",
        "temporary comment",
        "rename comment",
        "line comment",
        "comment of a newer server",
        "comment in a comment",
        "comment for mariadb",
    ],
)
async def test_rename_and_other_ddl(server: SqlServer, redis_a: RedisServer, statements: list[str]) -> None:
    world = World.with_items(server, redis_a)
    world.run("ALTER TABLE item DROP KEY code")
    async with world.source():
        await world.forget()
        world.run(*(statement.format(database=world.database) for statement in statements))
        assert await stamped(world) == (set(), EVERYTHING)


async def test_rows_after_a_rename_belong_to_the_table_of_that_name(server: SqlServer, redis_a: RedisServer) -> None:
    world = World.with_items(server, redis_a)
    world.run("CREATE TABLE fresh (note INT, id BIGINT UNSIGNED PRIMARY KEY, code VARCHAR(64), shelf INT)")
    async with world.source():
        world.run("RENAME TABLE item TO old_item, fresh TO item")
        await world.forget()
        world.run(
            "INSERT INTO item (id, code, shelf) VALUES (5, 'e', 2)", "INSERT INTO old_item (id, code) VALUES (6, 'f')"
        )
        assert await stamped(world) == ({"item:5", "item:code:e", "shelf:2:e"}, set())


async def test_create_or_replace_as_select(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        await world.forget()
        world.run("CREATE OR REPLACE TABLE item (PRIMARY KEY (id)) SELECT 9 AS id, 'n' AS code, 3 AS shelf, '' AS name")
        keys, aged = await stamped(world)
        assert keys == {"item:9", "item:code:n", "shelf:3:n"}
        assert aged == EVERYTHING


async def test_statements_that_do_not_parse_as_utf_8_age_out_everything(
    server: SqlServer, redis_a: RedisServer
) -> None:
    """A session in latin1 writes its bytes to the binlog, table names included."""
    world = World.with_items(server, redis_a)
    world.run("CREATE TABLE `größe` (id INT PRIMARY KEY)")
    world.tables = watch(world.database, größe=["size:{id}"])
    async with world.source():
        await world.forget()
        world.run("TRUNCATE TABLE größe", charset="latin1")
        assert await stamped(world) == (set(), {"size"})


async def test_statements_in_another_character_set_that_parse_as_utf_8_by_chance(
    server: SqlServer, redis_a: RedisServer
) -> None:
    """A client that sends UTF-8 and says latin1: the server takes each byte for a letter of the name."""
    world = World.with_items(server, redis_a)
    world.run("CREATE TABLE `grÃ¶n` (id INT PRIMARY KEY)")
    world.tables = watch(world.database, **{"grÃ¶n": ["size:{id}"]})
    async with world.source():
        await world.forget()
        world.run("TRUNCATE TABLE `grÃ¶n`", charset="latin1")
        assert await stamped(world) == (set(), {"size"})


@pytest.mark.parametrize(("charset", "written", "name"), [("cp850", "grün", "gr├╝n"), ("swe7", "gr~n", "grün")])
async def test_ddl_of_a_session_in_a_character_set_that_we_cannot_read_ages_out_everything(
    server: SqlServer, redis_a: RedisServer, charset: str, written: str, name: str
) -> None:
    world = World.with_items(server, redis_a)
    world.run(f"CREATE TABLE `{name}` (id INT PRIMARY KEY)")
    world.tables = watch(world.database, **{name: ["size:{id}"]})
    async with world.source():
        await world.forget()
        world.run(f"SET NAMES {charset}", f"TRUNCATE TABLE `{written}`")
        assert await stamped(world) == (set(), {"size"})


async def test_an_event_type_the_reader_does_not_know_stops_it_by_name(
    mariadb_a: MariaDb, redis_a: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.with_items(mariadb_a, redis_a)

    async def read_it() -> None:
        async with world.source():
            await world.forget()
            monkeypatch.setattr(wire, "DECODED", kinds.DECODED - {kinds.XID})
            world.run("INSERT INTO item (id, code) VALUES (1, 'a')")
            await world.until(lambda: "type 16" in world.stats.last_error, "the event is refused")

    with pytest.raises(UnsupportedEventError, match=r"type 16 is not supported \(update stampline"):
        await read_it()
    assert await world.keys() == []


async def test_a_minimal_image_session_of_mysql_completes_the_key_from_the_before_image(
    mysql56: MySql56, redis_a: RedisServer
) -> None:
    world = World.with_items(mysql56, redis_a)
    world.run("CREATE TABLE pair (a INT, b INT, n INT, PRIMARY KEY (a, b))", "INSERT INTO pair VALUES (1, 2, 0)")
    world.tables = watch(world.database, pair=["pair:{a}:{b}"])
    async with world.source():
        await world.forget()
        world.run("SET SESSION binlog_row_image = MINIMAL", "UPDATE pair SET b = 3")
        assert await stamped(world) == ({"pair:1:2", "pair:1:3"}, set())


@pytest.mark.parametrize(
    ("image", "keys", "aged"),
    [
        ("FULL", {"gen:1", "virtual:11", "stored:12", "virtual:21", "stored:22", "hidden:3"}, set()),
        ("MINIMAL", {"gen:1", "stored:22"}, {"virtual", "stored", "hidden"}),
    ],
)
async def test_generated_and_invisible_columns(
    mariadb_a: MariaDb, redis_a: RedisServer, image: str, keys: set[str], aged: set[str]
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run(
        "CREATE TABLE gen (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL, p INT AS (a + 2) PERSISTENT,"
        " h INT INVISIBLE DEFAULT 3)",
        "INSERT INTO gen (id, a) VALUES (1, 10)",
    )
    world.tables = watch(world.database, gen=["gen:{id}", "virtual:{v}", "stored:{p}", "hidden:{h}"])
    async with world.source():
        await world.forget()
        world.run(f"SET SESSION binlog_row_image = {image}", "UPDATE gen SET a = 20")
        assert await stamped(world) == (keys, aged)


@pytest.mark.parametrize(
    "statement", ["INSERT INTO past (id, a) VALUES (1, 10)", "REPLACE INTO past (a, id) VALUES (10, 1)"]
)
@pytest.mark.parametrize("image", ["FULL", "MINIMAL"])
async def test_a_virtual_column_that_mariadb_has_not_computed_is_no_null(
    mariadb_a: MariaDb, redis_a: RedisServer, image: str, statement: str
) -> None:
    """Rows of a table WITH SYSTEM VERSIONING have all their columns, whatever the image; MINIMAL leaves these empty."""
    world = World.with_items(mariadb_a, redis_a)
    world.run("CREATE TABLE past (id INT PRIMARY KEY, a INT, v INT AS (a + 1) VIRTUAL) WITH SYSTEM VERSIONING")
    world.tables = watch(world.database, past=["past:{id}", "virtual:{v}"])
    async with world.source():
        await world.forget()
        world.run(f"SET SESSION binlog_row_image = {image}", statement)
        keys, aged = await stamped(world)
        assert keys == ({"past:1", "virtual:11"} if image == "FULL" else {"past:1"})
        assert aged == (set() if image == "FULL" else {"virtual"})


@pytest.mark.parametrize(
    "definition",
    [
        "v TEXT AS (HEX(a)) VIRTUAL) WITH SYSTEM VERSIONING",
        "v BLOB AS (HEX(a)) PERSISTENT) WITH SYSTEM VERSIONING",
        "v TEXT AS (HEX(a)) PERSISTENT, UNIQUE (v))",
    ],
)
async def test_a_long_column_that_mariadb_computes_is_not_believed_where_it_keeps_versions_or_hashes(
    mariadb_a: MariaDb, redis_a: RedisServer, definition: str
) -> None:
    """REPLACE wrote `1C` for the new row, `1` for the old one, where a SELECT shows `9` and `1C`."""
    world = World.with_items(mariadb_a, redis_a)
    world.run(f"CREATE TABLE past (id INT PRIMARY KEY, a INT, {definition}")
    world.tables = watch(world.database, past=["past:{id}", "computed:{v}"])
    async with world.source():
        world.run("INSERT INTO past (id, a) VALUES (1, 28)")
        await world.forget()
        world.run("REPLACE INTO past (id, a) VALUES (1, 9)")
        assert await stamped(world) == ({"past:1"}, {"computed"})


@pytest.mark.parametrize("image", ["NOBLOB", "MINIMAL"])
async def test_a_virtual_column_is_not_believed_where_a_replica_has_applied_its_row(
    new_mariadb: NewMariaDb, redis_a: RedisServer, image: str
) -> None:
    """It logged NULL for what was inserted, and for an update the text of before it on both sides."""
    primary, replica = new_mariadb(), new_mariadb()
    world = World.with_items(primary, redis_a)
    world.run("CREATE TABLE part (id INT PRIMARY KEY, a INT, v TEXT AS (HEX(a)) VIRTUAL)")
    replica.replicate_from(primary.port)
    replica.catch_up_with(primary)
    there = World(replica, redis_a, watch(world.database, part=["part:{id}", "virtual:{v}"]))
    async with there.source():
        for statement in ("INSERT INTO part (id, a) VALUES (1, 28)", "UPDATE part SET a = 9"):
            await there.forget()
            world.run(f"SET SESSION binlog_row_image = {image}", statement)
            replica.catch_up_with(primary)
            assert await stamped(there) == ({"part:1"}, {"virtual"})


async def test_a_fraction_of_a_second_in_mariadbs_old_format_is_as_long_as_it_is(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """A table from before 10.1 that was never rebuilt: its map does not tell the fraction, which decides the length."""
    world = World.with_items(new_mariadb(), redis_a)
    columns = [f"{kind}({digits})" for kind in ("TIME", "DATETIME", "TIMESTAMP") for digits in range(7)]
    defined = ", ".join(f"c{number} {column} NULL" for number, column in enumerate(columns))
    world.run(
        "SET GLOBAL mysql56_temporal_format = OFF",
        f"CREATE TABLE old (id INT PRIMARY KEY, {defined}, k INT)",
        "CREATE TABLE visit (id INT PRIMARY KEY, at TIME(6), k INT)",
        "SET GLOBAL mysql56_temporal_format = ON",
    )
    world.tables = watch(world.database, old=["old:{k}", "at:{c6}"], visit=["visit:{k}"])
    async with world.source():
        await world.forget()
        moments = (
            "11:12:13.654321" if column.startswith("TIME(") else "2024-01-02 03:04:05.654321" for column in columns
        )
        values = ", ".join(f"'{moment}'" for moment in moments)
        world.run(f"INSERT INTO old VALUES (1, {values}, 7), (2, {values}, 8)")
        # These rows happened to be read to the last byte of their event, as others.
        rows = ", ".join(f"({number}, '11:12:13.123456', {number + 100})" for number in range(1, 12))
        world.run(f"INSERT INTO visit VALUES {rows}")
        assert await stamped(world) == (
            {"old:7", "old:8", *(f"visit:{number + 100}" for number in range(1, 12))},
            {"at"},
        )
