"""Servers whose history is not the one that was read: set back, restored, promoted, purged. No commit is missed."""

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.sql_server import SqlServer
from replicator.source.stats import Failure
from tests.eventually import now_ms, until
from tests.integration.source_world import World, kill_binlog_links
from versioning.entries import Gap, Replayed

NewMariaDb = Callable[..., MariaDb]


async def gaps(world: World) -> list[str]:
    return [body.reason for body in await world.bodies() if isinstance(body, Gap)]


async def replayed_since_the_last_gap(world: World) -> None:
    async def is_replayed() -> bool:
        marks = [type(body) for body in await world.bodies() if isinstance(body, Gap | Replayed)]
        return marks[-1] is Replayed

    await world.until(is_replayed, "the window is replayed")


def next_second() -> None:
    """Commit times are whole seconds."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.05)


def copied(server: MariaDb | MySql56) -> Path:
    """Return a copy of its data as of now; the server goes on."""
    copy = server.folder / "copy"
    server.stop()
    shutil.copytree(server.data_folder, copy)
    server.start()
    return copy


def set_back(server: MariaDb | MySql56, copy: Path) -> None:
    """End it, and leave it with the copy's data."""
    server.kill()
    shutil.rmtree(server.data_folder)
    copy.rename(server.data_folder)


def purged_to_one(server: SqlServer) -> bool:
    """MariaDB keeps a file for a moment that it might need after a crash."""
    files = [row["Log_name"] for row in server.query("SHOW BINARY LOGS")]
    server.execute(f"PURGE BINARY LOGS TO '{files[-1]}'")
    return len(files) == 1


@pytest.fixture(params=["mariadb", "mysql", "mysql without gtids"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mysql56: MySql56
) -> Iterator[MariaDb | MySql56]:
    folder = tmp_path_factory.mktemp("restored")
    options: dict[str, Any] = (
        {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"} if "without" in request.param else {}
    )
    kind = MariaDb if request.param == "mariadb" else MySql56
    with ProcessGroup() as group:
        made = group.add(kind("restored", folder / "server", server_id=31, **options))
        made.start()
        made.create_users()
        yield made


async def test_rewound_server_that_reused_the_sequence_past_our_position(
    server: MariaDb | MySql56, redis_a: RedisServer
) -> None:
    """A restored copy, or a crash with sync_binlog=0: the numbers are the same, the transactions are others."""
    world = World.with_items(server, redis_a)
    world.insert(1, 2)
    copy = copied(server)
    async with world.source():
        world.insert(3, 6)
        await world.caught_up()
    set_back(server, copy)
    next_second()
    server.start()
    rewritten = world.insert(101, 130)
    async with world.source():
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert len(await gaps(world)) == 2
    assert rewritten <= set(await world.keys())


async def test_rewound_server_of_which_nothing_but_the_begin_of_a_replay_was_read(
    server: MariaDb | MySql56, redis_a: RedisServer
) -> None:
    """There is no transaction that it could be held against: the file that the replay began with is."""
    world = World.with_items(server, redis_a)
    world.insert(1, 2)
    copy = copied(server)
    world.insert(3, 6)
    server.execute("FLUSH BINARY LOGS")
    until(lambda: purged_to_one(server), "no file but the newest is left", every_s=0.05)
    for _ in range(2):  # an idle server that is asked again has the file
        async with world.source():
            await replayed_since_the_last_gap(world)
            await world.caught_up()
    assert len(await gaps(world)) == 1
    set_back(server, copy)
    next_second()
    server.start()
    rewritten = world.insert(101, 130)
    async with world.source():
        await world.caught_up()
    assert rewritten <= set(await world.keys())
    assert len(await gaps(world)) == 2


async def test_an_idle_server_that_purges_the_file_which_a_replay_began_with_has_lost_nothing(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    world.insert(1, 2)
    for _ in range(2):
        world.server.execute("FLUSH BINARY LOGS")
        until(lambda: purged_to_one(world.server), "no file but the newest is left", every_s=0.05)
        async with world.source():
            await world.caught_up()
            await replayed_since_the_last_gap(world)
    assert len(await gaps(world)) == 1


async def test_rebuilt_server_with_the_same_sequence_file_and_offset(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    world.server.execute("RESET MASTER")
    async with world.source():
        world.insert(1, 4)
        await world.caught_up()
    next_second()
    world.server.execute("RESET MASTER")
    again = world.insert(5, 8)  # the same sizes at the same offsets
    two = World(world.server, redis_a, world.tables)
    async with world.source(), two.source():
        again |= world.insert(11, 12)
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert any("another transaction 0-" in reason for reason in await gaps(world))
    assert again <= set(await world.keys())


async def test_a_binlog_that_is_reset_while_it_is_read_is_a_gap(
    server: MariaDb | MySql56, redis_a: RedisServer
) -> None:
    """The server leaves its readers at the end of a deleted file, and sends them heartbeats."""
    world = World.with_items(server, redis_a)
    async with world.source():
        world.insert(1, 4)
        await world.caught_up()
        next_second()
        server.execute("RESET MASTER")
        rewritten = world.insert(5, 6)
        await world.until(lambda: stamped(world, rewritten), "what was written since is stamped")
    assert len(await gaps(world)) == 2


async def stamped(world: World, keys: set[str]) -> bool:
    return keys <= set(await world.keys())


def replicated(primary: MariaDb, replica: MariaDb) -> None:
    replica.replicate_from(primary.port)
    replica.catch_up_with(primary)


async def fail_over(world: World, replica: MariaDb) -> World:
    """The replica as primary, with the stream as it was."""
    world.server.kill()
    replica.stop_replication()
    return World(replica, world.redis, world.tables, world.options)


async def test_failover_to_a_replica_that_has_everything_is_followed_without_a_gap(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    primary, replica = new_mariadb(), new_mariadb()
    world = World.with_items(primary, redis_a)
    async with world.source():
        world.insert(1, 3)
        with primary.connect(database=world.database) as connection, connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO item (id, code) VALUES (4, 'c4')")
            next_second()  # the two servers will not agree about the second of this commit
            cursor.execute("COMMIT")
        await world.caught_up()
    replicated(primary, replica)
    promoted = await fail_over(world, replica)
    later = promoted.insert(5, 7)
    async with promoted.source():
        await promoted.caught_up()
    keys = [key for key in await promoted.keys() if key[5:].isdigit()]
    assert sorted(keys) == sorted(f"item:{number}" for number in range(1, 8))
    assert later <= set(keys)
    assert len(await gaps(promoted)) == 1


async def test_a_source_at_the_candidate_reads_on_when_that_is_promoted(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """So a planned failover moves the sources first: none is left at a primary that another one has overtaken."""
    primary, replica = new_mariadb(), new_mariadb(read_only="ON")
    world = World.with_items(primary, redis_a)
    async with world.source():
        world.insert(1, 3)
        await world.caught_up()
    replicated(primary, replica)
    moved = World(replica, redis_a, world.tables)
    async with moved.source():
        for sql in ("STOP ALL SLAVES", "RESET SLAVE ALL", "SET GLOBAL read_only = OFF"):
            replica.execute(sql)
        later = moved.insert(4, 6)
        await moved.caught_up()
        assert moved.stats.connections == 1
    assert later <= set(await moved.keys())
    assert len(await gaps(moved)) == 1


async def test_a_source_at_a_replica_that_falls_behind_waits_for_it_while_another_reads_on(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """Each of its replays would set the other one back, which would answer it, and so on."""
    primary, replica = new_mariadb(), new_mariadb(read_only="ON")
    world = World.with_items(primary, redis_a)
    replicated(primary, replica)
    beside = World(replica, redis_a, world.tables)
    async with world.source(), beside.source():
        world.insert(1, 3)
        await world.caught_up()
        replica.catch_up_with(primary)
        replica.stop_replication()
        numbers = itertools.count(4)
        world.insert(next(numbers))
        await world.caught_up()
        kill_binlog_links(replica)

        def refusals() -> int:
            return beside.stats.failures_by_reason.get(Failure.SERVER_BEHIND, 0)

        def is_refused_again() -> bool:
            world.insert(next(numbers))
            return refusals() > before

        for _ in range(3):
            before = refusals()
            await world.until(is_refused_again, "it finds that its server still lags")
        replica.execute("START SLAVE")
        replica.catch_up_with(primary)
        await world.until(lambda: beside.stats.is_connected, "it reads on")
        later = world.insert(next(numbers))
        await world.caught_up()
    assert later <= set(await world.keys())
    assert len(await gaps(world)) == 1


async def test_a_promoted_replica_that_hid_what_it_applied_vouches_for_nothing_before_it(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """A replay of its binlog lacks what the old primary had committed and nobody had stamped yet."""
    primary, replica = new_mariadb(), new_mariadb(log_slave_updates="OFF")
    world = World.with_items(primary, redis_a)
    async with world.source():
        world.insert(1, 2)
        await world.caught_up()
    world.insert(3, 4)
    replicated(primary, replica)
    promoted = await fail_over(world, replica)
    replica.execute("RESET SLAVE ALL")
    promoted_ms = now_ms()
    async with promoted.source():
        later = promoted.insert(5, 6)
        await promoted.caught_up()
        await replayed_since_the_last_gap(promoted)
    replay = [body for body in await promoted.bodies() if isinstance(body, Replayed)][-1]
    assert replay.since_ms >= promoted_ms
    assert later <= set(await promoted.keys())


async def test_failover_of_the_primary_with_a_reused_gtid_sequence(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    primary, replica = new_mariadb(), new_mariadb()
    world = World.with_items(primary, redis_a)
    replicated(primary, replica)
    replica.stop_replication()
    async with world.source():
        world.insert(1, 5)  # never reach the replica
        await world.caught_up()
    promoted = await fail_over(world, replica)
    reused = promoted.insert(101, 120)
    async with promoted.source():
        await promoted.caught_up()
        await replayed_since_the_last_gap(promoted)
    assert len(await gaps(promoted)) == 2
    assert reused <= set(await promoted.keys())


async def test_failback_to_a_rebuilt_primary_whose_lost_branch_we_hold(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """The promoted server's transactions below our position are old ones to a comparison of numbers."""
    primary, replica = new_mariadb(gtid_strict_mode="OFF"), new_mariadb(gtid_strict_mode="OFF")
    world = World.with_items(primary, redis_a)
    replicated(primary, replica)
    replica.stop_replication()
    async with world.source():
        world.insert(1)
        await world.caught_up()
    promoted = World(replica, redis_a, world.tables)
    missed = promoted.insert(101, 102)
    last = str(replica.gtid_position()).rpartition("-")[2]
    # The old primary, rebuilt from the promoted one, writes again: its numbers go on above ours.
    promoted.run(
        f"SET SESSION server_id = {primary.options['server_id']}, gtid_seq_no = {int(last) + 20}",
        "INSERT INTO item (id, code) VALUES (103, 'c103')",
    )
    async with promoted.source():
        await promoted.caught_up()
        await replayed_since_the_last_gap(promoted)
    assert missed | {"item:103"} <= set(await promoted.keys())


async def test_a_sequence_number_that_goes_back_in_its_domain_is_no_old_transaction(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """Two primaries in one domain, without gtid_strict_mode."""
    world = World.with_items(new_mariadb(gtid_strict_mode="OFF"), redis_a)
    async with world.source():
        world.run("SET SESSION gtid_seq_no = 1000", "INSERT INTO item (id, code) VALUES (1, 'a')")
        world.run(
            "SET SESSION server_id = 77, gtid_seq_no = 500",
            "INSERT INTO item (id, code) VALUES (2, 'b')",
        )
        await world.caught_up()
        assert "item:2" in await world.keys()
    for number in (3, 4):
        async with world.source():
            world.run("SET SESSION server_id = 77", f"INSERT INTO item (id, code) VALUES ({number}, 'c{number}')")
            await world.caught_up()
            assert f"item:{number}" in await world.keys()
    assert len(await gaps(world)) == 1


async def test_an_idle_server_that_lost_the_last_commit_is_a_gap(
    server: MariaDb | MySql56, redis_a: RedisServer
) -> None:
    """Nothing comes in its place that could tell."""
    world = World.with_items(server, redis_a)
    world.insert(1, 2)
    copy = copied(server)
    async with world.source():
        world.insert(3)
        await world.caught_up()
    set_back(server, copy)
    server.start()
    async with world.source():
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert len(await gaps(world)) == 2


async def test_several_gtid_domains_in_one_binlog(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    world = World.with_items(mariadb_a, redis_a)

    def insert_in(domain: int, number: int) -> None:
        world.run(
            f"SET SESSION gtid_domain_id = {domain}", f"INSERT INTO item (id, code) VALUES ({number}, 'c{number}')"
        )

    async with world.source():
        for number in range(1, 7):
            insert_in(number % 3, number)
        await world.caught_up()
    for number in range(7, 13):
        insert_in(number % 3, number)
    async with world.source():
        await world.caught_up()
    keys = [key for key in await world.keys() if key[5:].isdigit()]
    assert sorted(keys) == sorted(f"item:{number}" for number in range(1, 13))
    assert len(await gaps(world)) == 1


async def test_an_idle_server_whose_binlogs_are_purged_is_followed_on(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    world = World.with_items(new_mariadb(), redis_a)
    async with world.source():
        world.insert(1, 2)
        await world.caught_up()
    for _ in range(2):
        world.run("FLUSH BINARY LOGS")
    newest = world.server.query("SHOW MASTER STATUS")[0]["File"]

    async def is_purged() -> bool:
        world.run(f"PURGE BINARY LOGS TO '{newest}'")
        return len(world.server.query("SHOW BINARY LOGS")) == 1

    await world.until(is_purged, "the old binlogs are gone")
    async with world.source():
        later = world.insert(3, 4)
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert later <= set(await world.keys())


async def test_behind_a_binlog_that_a_crash_has_cut_off_changes_are_stamped_again(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """A power failure with sync_binlog=0, or a full disk. The server begins the next file; nobody gets past the cut."""
    server = new_mariadb()
    world = World.with_items(server, redis_a)
    async with world.source():
        world.insert(1)
        await world.caught_up()
        world.insert(2)
        server.kill()
        (torn,) = server.data_folder.glob("binlog.0*")
        os.truncate(torn, torn.stat().st_size - 60)
        server.start()
        next_second()
        later = world.insert(3, 4)
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert later <= set(await world.keys())
    *_, last = said = await gaps(world)
    assert "truncated in the middle" in last
    assert len(said) <= 3


async def test_a_server_of_another_flavor_behind_the_same_name_is_a_gap_and_no_crash(
    mariadb_a: SqlServer, mysql56: MySql56, redis_a: RedisServer
) -> None:
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        await world.caught_up()
    moved = World.with_items(mysql56, redis_a)
    other = World(mysql56, redis_a, moved.tables, may_adopt=True)
    async with other.source():
        keys = other.insert(1, 2)
        await other.caught_up()
    assert len(await gaps(other)) == 2
    assert keys <= set(await other.keys())


async def test_times_that_statements_set_for_themselves_hide_nothing_from_a_replay(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """As `mysqlbinlog | mysql` does; a statement of that length would too."""
    world = World.with_items(new_mariadb(), redis_a)
    world.insert(1)
    back, ahead = "SET timestamp = UNIX_TIMESTAMP() - 5000", "SET timestamp = UNIX_TIMESTAMP() + 86400"
    world.run(back, "FLUSH BINARY LOGS")
    world.run(back, "INSERT INTO item (id, code) VALUES (2, 'c2')")
    world.run(ahead, "INSERT INTO item (id, code) VALUES (3, 'c3')")
    world.insert(4)
    async with world.source():
        await world.caught_up()
        await replayed_since_the_last_gap(world)
    assert {f"item:{number}" for number in range(1, 5)} <= set(await world.keys())
