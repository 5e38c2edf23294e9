"""What a source does when it, its MySQL or its Redis fails: nothing is lost, nothing claimed that is not known."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.redis_server import RedisServer
from replicator.doctor.ask_mysql import ask_schema
from replicator.errors import MySqlAuthenticationError, PreflightError
from replicator.tables import TableName
from tests.integration.source_world import World, address, kill_binlog_links, watch
from versioning import backoff
from versioning.backends.base import DigestRefusedError
from versioning.entries import Gap, Heartbeat, Replayed


def kinds(bodies: list[Any]) -> list[type]:
    return [type(body) for body in bodies if not isinstance(body, Heartbeat)]


async def replayed(world: World) -> None:
    async def is_over() -> bool:
        return Replayed in kinds(await world.bodies())

    await world.until(is_over, "the window is replayed")


async def test_the_first_start_says_gap_and_stamps_again_what_the_binlog_has(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    keys = world.insert(1, 3)
    async with world.source():
        await replayed(world)
    bodies = await world.bodies()
    assert isinstance(bodies[0], Gap)
    assert set(await world.item_keys()) == keys
    assert Replayed in kinds(bodies)


async def test_a_replay_of_mysql_begins_with_its_oldest_file_where_nothing_is_before_it(
    mysql56: MySql56, redis_a: RedisServer
) -> None:
    world = World.with_items(mysql56, redis_a)
    keys = world.insert(1, 2)
    world.run("FLUSH LOGS")
    async with world.source():
        keys |= world.insert(3, 4)
        await replayed(world)
    assert set(await world.item_keys()) == keys


async def test_a_replay_that_was_interrupted_is_ended_by_the_next_source(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        pass  # the end of the replay takes a second of silence
    assert Replayed not in kinds(await world.bodies())
    async with world.source():
        await replayed(world)
    assert kinds(await world.bodies()).count(Gap) == 1


async def test_a_restarted_source_goes_on_behind_its_last_commit(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        first = world.insert(1, 3)
        await world.caught_up()
    second = world.insert(4, 7)
    async with world.source():
        third = world.insert(8, 9)
        await world.caught_up()
    keys = await world.item_keys()
    assert set(keys) == first | second | third
    assert len(keys) == len(set(keys))


async def test_a_mysql_source_resumes_from_its_gtid_set(mysql56: MySql56, redis_a: RedisServer) -> None:
    world = World.with_items(mysql56, redis_a)
    async with world.source():
        world.insert(1, 3)
        await world.caught_up()
    world.insert(4, 7)
    async with world.source():
        await world.caught_up()
    keys = await world.item_keys()
    assert sorted(keys) == sorted(f"item:{number}" for number in range(1, 8))


async def test_two_sources_at_once_stamp_every_change_once(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    one = World.with_items(mariadb_a, redis_a)
    two = World(mariadb_a, redis_a, one.tables)
    async with one.source(), two.source():
        keys = one.insert(1, 59)
        await one.caught_up()
    found = await one.item_keys()
    assert set(found) == keys
    assert len(found) == len(keys)
    assert one.stats.gaps + two.stats.gaps == 1
    assert one.stats.transactions_covered + two.stats.transactions_covered > 0
    stamps = [entry.stamp for entry in await one.entries()]
    assert stamps == sorted(set(stamps))


async def test_a_killed_binlog_connection_is_opened_again_and_loses_nothing(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        first = world.insert(1, 2)
        await world.caught_up()
        kill_binlog_links(mariadb_a)
        second = world.insert(3, 5)
        await world.caught_up()
        assert world.stats.connections > 1
    assert sorted(await world.item_keys()) == sorted(first | second)


async def test_a_restarted_mysql_is_followed_again(new_mariadb: Callable[..., MariaDb], redis_a: RedisServer) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        first = world.insert(1, 2)
        await asyncio.to_thread(world.server.restart)
        second = world.insert(3, 5)
        await world.caught_up()
    assert sorted(await world.item_keys()) == sorted(first | second)


async def test_a_silent_mysql_is_noticed_and_followed_again(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a, read_timeout_ms=1_000)
    async with world.source():
        await world.caught_up()  # The binlog is being read: a server that stops before answers no login.
        world.server.pause()
        try:
            await world.until(lambda: "silent for 1 s" in world.stats.last_error, "the silence is noticed")
        finally:
            world.server.resume()
        keys = world.insert(1, 2)
        await world.caught_up()
    assert set(await world.item_keys()) == keys


async def test_a_flushed_redis_gets_a_gap_and_the_window_again_with_stamps_that_grow(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        keys = world.insert(1, 3)
        await world.caught_up()
        before = (await world.entries())[-1].stamp
        redis_a.flush()
        await replayed(world)
        entries = await world.entries()
        assert kinds([entry.body for entry in entries])[0] is Gap
        assert keys <= set(await world.item_keys())
        assert entries[0].stamp > before


async def test_a_stopped_redis_delays_changes_and_loses_none(
    mariadb_a: MariaDb, new_redis: Callable[..., RedisServer]
) -> None:
    redis = new_redis(appendonly="yes")
    world = World.with_items(mariadb_a, redis)
    async with world.source():
        first = world.insert(1, 2)
        await world.caught_up()
        await asyncio.to_thread(redis.kill)
        second = world.insert(3, 5)
        await world.until(lambda: world.stats.appends_failed > 0, "an append fails")
        await asyncio.to_thread(redis.restart)
        await world.caught_up()
    assert first | second <= set(await world.item_keys())


async def test_a_purged_binlog_gives_a_gap_and_a_replay_of_what_is_left(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        await replayed(world)
    world.insert(1, 2)
    world.run("FLUSH BINARY LOGS")
    left = world.insert(3, 4)
    newest = world.server.query("SHOW MASTER STATUS")[0]["File"]
    # Deletes files only when the server needs them no more, so the crash recovery marker must have moved on.
    world.run("FLUSH BINARY LOGS")
    await purge(world, str(newest))
    async with world.source():
        await world.caught_up()
    bodies = await world.bodies()
    assert kinds(bodies).count(Gap) == 2
    assert left <= set(await world.item_keys())


async def purge(world: World, file: str) -> None:
    async def is_purged() -> bool:
        world.run(f"PURGE BINARY LOGS TO '{file}'")
        return str(world.server.query("SHOW BINARY LOGS")[0]["Log_name"]) == file

    await world.until(is_purged, "the old binlogs are gone")


async def test_a_rebuilt_server_without_our_position_gives_a_gap(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        world.insert(1, 5)
        await world.caught_up()
    world.server.execute("RESET MASTER")
    again = world.insert(6, 7)
    async with world.source():
        await world.caught_up()
    assert kinds(await world.bodies()).count(Gap) == 2
    assert again <= set(await world.item_keys())


async def test_a_source_of_another_mysql_writes_nothing_to_a_stream_in_use(
    mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    other = World(mariadb_a, redis_a, world.tables, {"name": "b"})
    async with world.source():
        await world.caught_up()
        stream, stop = other.stream(), asyncio.Event()
        task = asyncio.create_task(other.run_source(stream, stop))
        try:
            refused = "source:a writes to this stream"
            await world.until(lambda: refused in other.stats.last_error or task.done(), "the other source is refused")
            assert set((await stream.state()).checkpoints) == {"source:a"}
        finally:
            stop.set()
            await task
            await stream.aclose()
    assert (other.stats.failures_by_reason, other.stats.gaps) == ({"other_writer": 1}, 0)


async def test_other_key_templates_are_refused_by_name(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        await world.caught_up()
    other = World(mariadb_a, redis_a, watch(world.database, item=["item:{id}"]))
    with pytest.raises(DigestRefusedError, match="key templates differ"):
        async with other.source():
            await other.until(lambda: "key templates differ" in other.stats.last_error, "the templates are refused")


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ({"absent": ["item:{id}"]}, "does not exist or may not be read"),
        ({"keyless": ["item:{id}"]}, "no primary key"),
        ({"item": ["item:{ID}"]}, "it is spelled id"),
        ({"documents": ["item:{body}"]}, "type json"),
        ({"hashed": ["item:{hash|lower}"]}, "takes no filter"),
        ({"packed": ["item:{code}"]}, "is COMPRESSED"),
    ],
)
async def test_a_table_that_cannot_be_watched_is_refused_with_one_line_that_names_the_fix(
    mariadb_a: MariaDb, redis_a: RedisServer, tables: dict[str, list[str]], fault: str
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.run("CREATE TABLE keyless (id INT)", "CREATE TABLE documents (id INT PRIMARY KEY, body JSON)",
              "CREATE TABLE hashed (id INT PRIMARY KEY, hash BINARY(8))",
              "CREATE TABLE packed (id INT PRIMARY KEY, code VARCHAR(20) COMPRESSED)")  # fmt: skip
    world.tables = watch(world.database, **tables)
    with pytest.raises(PreflightError, match=fault) as caught:
        await world.check()
    assert "\n" not in str(caught.value)


async def test_a_name_that_is_not_the_binlogs_spelling_is_refused_with_that_spelling(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    """With lower_case_table_names the server finds any spelling; the binlog knows one."""
    world = World.with_items(new_mariadb(lower_case_table_names=1), redis_a)
    database = world.database
    world.tables = watch(database.capitalize(), Item=["item:{id}"])
    with pytest.raises(PreflightError, match=f"it is spelled {database}.item"):
        await world.check()
    (facts,) = ask_schema(address(world.server), world.tables).tables
    assert facts.spelling == TableName(database, "item")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"log_bin": None, "log_slave_updates": None}, "set log_bin in my.cnf"),
        ({"binlog_format": "MIXED"}, "set binlog_format=ROW"),
        ({"binlog_ignore_db": "shop_other"}, "leaves databases out"),
    ],
)
async def test_a_server_whose_binlog_is_of_no_use_is_refused(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, options: dict[str, Any], fault: str
) -> None:
    world = World.with_items(new_mariadb(**options), redis_a)
    with pytest.raises(PreflightError, match=fault):
        await world.check()


async def test_a_replica_that_keeps_what_it_applies_out_of_its_binlog_is_refused(
    new_mariadb: Callable[..., MariaDb], mariadb_a: MariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(log_slave_updates="OFF"), redis_a)
    await world.check()
    world.server.execute(
        "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = 'repl'", (mariadb_a.host, mariadb_a.port)
    )
    with pytest.raises(PreflightError, match="set log_slave_updates=ON"):
        await world.check()


async def test_a_server_that_comes_back_unfit_is_not_read_until_it_is_mended(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeats would vouch for changes that its binlog does not have."""
    monkeypatch.setattr(backoff, "DENIED_S", 0.2)
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        await world.caught_up()
        await come_back(world, binlog_ignore_db=world.database)
        await world.until(lambda: "leaves databases out" in world.stats.last_error, "the server is refused")
        read_ms = (await world.checkpoint()).read_ms
        await asyncio.sleep(1)
        assert (await world.checkpoint()).read_ms == read_ms
        await come_back(world, binlog_ignore_db=None)
        keys = world.insert(1, 2)
        await world.caught_up()
    assert set(await world.item_keys()) == keys
    assert world.stats.failures_by_reason["server_unfit"] > 1


async def come_back(world: World, **options: Any) -> None:
    await asyncio.to_thread(world.server.stop)
    world.server.options.update(options)  # type: ignore[attr-defined]
    await asyncio.to_thread(world.server.start)


async def test_a_server_that_became_a_replica_and_hides_what_it_applies_is_read_no_further(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    """The old primary of a failover, at the address that the source has."""
    old, new = new_mariadb(log_slave_updates="OFF"), new_mariadb()
    world = World.with_items(old, redis_a)
    async with world.source():
        await world.caught_up()
        old.replicate_from(new.port)
        kill_binlog_links(old)
        await world.until(lambda: "set log_slave_updates=ON" in world.stats.last_error, "the server is refused")


async def test_a_wrong_password_is_named_and_not_shown(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)
    world.options = {"mysql": address(mariadb_a, password="not-this-one")}
    with pytest.raises(MySqlAuthenticationError, match="check user, password") as caught:
        await world.check()
    assert "not-this-one" not in str(caught.value) + repr(world.source_options())
