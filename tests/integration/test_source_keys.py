"""A row read with SELECT and the same row decoded from the binlog give the same key, for every type a key may use."""

from collections.abc import Callable

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from replicator.binlog.schema import Schema
from replicator.mysql import MySqlClient
from replicator.tables import TableName
from tests.integration.source_world import World, address, watch
from versioning.keys import KeyTemplate

COLUMNS = [
    ("TINYINT", ["-128", "127"]),
    ("TINYINT UNSIGNED", ["255"]),
    ("BOOLEAN", ["TRUE"]),
    ("SMALLINT UNSIGNED", ["65535"]),
    ("MEDIUMINT", ["-8388608"]),
    ("MEDIUMINT UNSIGNED", ["16777215"]),
    ("INT", ["-2147483648"]),
    ("INT UNSIGNED ZEROFILL", ["4294967295", "7"]),
    ("BIGINT", ["-9223372036854775808"]),
    ("BIGINT UNSIGNED", ["18446744073709551615"]),
    ("DECIMAL(30,10)", ["-12345678901234567890.1234500000", "0", "1.5", "-0.1"]),
    ("DECIMAL(5,5)", ["0.00001"]),
    ("FLOAT", ["0.1", "-123456.7", "1e20", "16777217"]),
    ("DOUBLE", ["0.1", "1e-7", "-1.5e300", "123456789.123456789"]),
    ("FLOAT(10,2)", ["12345.67", "-0.1", "99999999.99"]),
    ("DOUBLE(16,3)", ["1234567890123.457", "-1.005", "0"]),
    ("BIT(1)", ["b'1'"]),
    ("YEAR(2)", ["1970", "69", "0"]),
    ("BIT(20)", ["b'10000000000000000001'"]),
    ("YEAR", ["1901", "2155", "0"]),
    ("CHAR(10)", ["'ab  '", "''", "'%N'"]),
    ("VARCHAR(300)", ["'a:b{c}d%e f'", "'ÄÖß €'", "'trailing  '", "REPEAT('x', 299)"]),
    ("VARCHAR(20) CHARACTER SET latin1", ["'Äß€'", "x'c381e28dbdc390'", "x'818d8f909d'"]),
    ("VARCHAR(20) CHARACTER SET euckr", ["'갂똠가'", "x'a4d4a4a1a4bfa4a4'"]),
    ("VARCHAR(20) CHARACTER SET utf16", ["'Ä😀'"]),
    ("TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", ["'text 😀'"]),
    ("BINARY(4)", ["x'0100'", "x'00000000'", "'ab'"]),
    ("VARBINARY(16)", ["x'00ff00'", "''", "'0x00'"]),
    ("BLOB", ["x'c3'"]),
    ("ENUM('a','B c','ü')", ["'B c'", "'ü'"]),
    (r"ENUM('a\\b','it''s','x,y','nl\n','q\"')", [r"'a\\b'", "'it''s'", "'x,y'", r"'nl\n'", "'q\"'"]),
    ("SET('x','y','z')", ["'z,x'", "''", "'y'"]),
    ("DATE", ["'2024-02-29'", "'0999-12-31'"]),
    ("DATETIME", ["'2024-01-02 03:04:05'"]),
    ("DATETIME(3)", ["'2024-01-02 03:04:05.120'", "'2024-01-02 00:00:00'"]),
    ("DATETIME(6)", ["'2024-01-02 03:04:05.000001'"]),
    ("TIMESTAMP(1) NULL", ["'2024-01-02 03:04:05.5'"]),
    ("TIME", ["'-838:59:59'", "'00:00:00'", "'101:02:03'"]),
    ("TIME(2)", ["'01:02:03.45'", "'-00:00:01.50'", "'-838:59:58.99'"]),
    ("TIME(6)", ["'-00:00:00.000001'", "'838:59:58.999999'"]),
    ("ENUM('ü','ß') CHARACTER SET latin1", ["'ü'", "'ß'"]),
    ("ENUM('갂','가') CHARACTER SET euckr", ["'갂'", "'가'"]),
    ("SET('ü','ß') CHARACTER SET latin1", ["'ß,ü'"]),
]


async def check_types(world: World) -> None:
    """One table per type; every value goes through the binlog and through SELECT."""
    names = [f"t{number}" for number in range(len(COLUMNS))]
    for name, (kind, _) in zip(names, COLUMNS, strict=True):
        world.run(f"CREATE TABLE {name} (id INT PRIMARY KEY, before_it INT, v {kind}, after_it VARCHAR(9) NULL)")
    template = "{name}:{{v}}:{{id}}"
    world.tables = watch(world.database, **{name: [template.format(name=name)] for name in names})
    expected: dict[str, str] = {}
    async with world.source():
        await world.forget()
        for name, (kind, values) in zip(names, COLUMNS, strict=True):
            rows = [f"({number}, 1, {value}, 'x')" for number, value in enumerate([*values, "NULL"])]
            nullable = rows if "NULL" in kind or "DEFAULT" not in kind else rows[:-1]
            world.run("SET NAMES utf8mb4", f"INSERT INTO {name} VALUES {', '.join(nullable)}")
            parsed = KeyTemplate.parse(template.format(name=name))
            for row in world.server.query(f"SELECT id, v FROM {name}", database=world.database):
                key = parsed.render(row)
                assert key is not None
                expected[key] = kind
        await world.caught_up()
        assert await world.generations() == []
        found = await world.keys()
    assert {key: kind for key, kind in expected.items() if key not in found} == {}
    assert len(found) == len(expected)


@pytest.mark.parametrize("server", ["mariadb_a", "mysql56"])
async def test_every_type_gives_the_same_key_from_the_binlog_and_from_select(
    request: pytest.FixtureRequest, redis_a: RedisServer, server: str
) -> None:
    await check_types(World.with_items(request.getfixturevalue(server), redis_a))


@pytest.mark.parametrize("metadata", ["MINIMAL", "NO_LOG"])
async def test_types_without_full_metadata_come_from_information_schema(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, metadata: str
) -> None:
    await check_types(World.with_items(new_mariadb(binlog_row_metadata=metadata), redis_a))


MARIADB_TABLES = {
    "a UUID": "UUID()",
    "a INET4": "'10.0.0.1'",
    "a INET6": "'::1'",
    "a BLOB UNIQUE": "'x'",
    "a TEXT COMPRESSED": "REPEAT('a', 999)",
    "a VARCHAR(300) COMPRESSED": "REPEAT('a', 299)",
    "a VARCHAR(20) COMPRESSED": "'a'",
    "a INT WITH SYSTEM VERSIONING": "7",
}
"""A column before the others, and its value: what only MariaDB has in a table, beside columns of a key."""


@pytest.mark.parametrize("metadata", ["FULL", "NO_LOG"])
async def test_tables_as_only_mariadb_has_them_are_read_to_their_last_column(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, metadata: str
) -> None:
    world = World.with_items(new_mariadb(binlog_row_metadata=metadata), redis_a)
    names = {f"t{number}": definition for number, definition in enumerate(MARIADB_TABLES)}
    for name, definition in names.items():
        column, _, option = definition.partition(" WITH ")
        world.run(
            f"CREATE TABLE {name} ({column}, id INT PRIMARY KEY, code VARCHAR(10) CHARACTER SET latin1,"
            " shelf VARCHAR(10), kind ENUM('x','y') COLLATE utf8mb4_uca1400_ai_ci)"
            f"{' WITH ' + option if option else ''}"
        )
    world.tables = watch(world.database, **{name: [name + ":{id}:{code}:{shelf}:{kind}"] for name in names})
    async with world.source():
        await world.forget()
        for name, definition in names.items():
            row = f"1, 'ä', 'ö', 'y', {MARIADB_TABLES[definition]}"
            world.run("SET NAMES utf8mb4", f"INSERT INTO {name} (id, code, shelf, kind, a) VALUES ({row})")
            world.run(f"DELETE FROM {name}")
        await world.caught_up()
        assert await world.generations() == []
        assert set(await world.keys()) == {f"{name}:1:%C3%A4:%C3%B6:y" for name in names}


@pytest.mark.parametrize("server", ["mariadb_a", "mysql56"])
def test_members_with_an_emoji_are_not_known_from_information_schema(
    request: pytest.FixtureRequest, redis_a: RedisServer, server: str
) -> None:
    world = World.with_items(request.getfixturevalue(server), redis_a)
    world.run("SET NAMES utf8mb4", "CREATE TABLE e (v ENUM('😀','ä?','ä') CHARACTER SET utf8mb4 PRIMARY KEY)")
    client = MySqlClient(address(world.server))
    (column,) = Schema(client).columns(TableName(world.database, "e"))
    client.close()
    assert column.members == [None, None, "ä"]


@pytest.mark.parametrize("charset", ["utf8mb4", "ucs2"])
async def test_members_under_a_collation_of_uca_14_have_keys(
    mariadb_a: MariaDb, redis_a: RedisServer, charset: str
) -> None:
    """The default of MariaDB 11; the map says which characters they are by the collation's number alone."""
    world = World.with_items(mariadb_a, redis_a)
    world.run(f"CREATE TABLE e (v ENUM('ä','b') CHARACTER SET {charset} COLLATE uca1400_german2_ai_ci PRIMARY KEY)")
    world.tables = watch(world.database, e=["e:{v}"])
    async with world.source():
        await world.forget()
        world.run("INSERT INTO e VALUES ('ä')")
        await world.caught_up()
        assert (await world.keys(), await world.generations()) == (["e:%C3%A4"], [])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("DATE", "'0000-00-00'"),
        ("DATETIME", "'2024-00-00 00:00:00'"),
        ("TIMESTAMP NULL", "0"),
        ("VARCHAR(9) CHARACTER SET greek", "x'e1a1'"),
        ("VARCHAR(9) CHARACTER SET sjis", "x'815f'"),
    ],
)
async def test_a_value_the_binlog_does_not_tell_for_sure_ages_out_the_namespace(
    mariadb_a: MariaDb, redis_a: RedisServer, kind: str, value: str
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run(f"CREATE TABLE odd (id INT PRIMARY KEY, v {kind})")
    world.tables = watch(world.database, odd=["odd:{v}"])
    async with world.source():
        await world.forget()
        world.run("SET sql_mode = ''", f"INSERT INTO odd VALUES (1, {value})")
        await world.caught_up()
        assert await world.keys() == []
        assert [body.namespaces for body in await world.generations()] == [("odd",)]
