"""Connections that die without saying so, readers that push each other out, and transactions too big for memory."""

import asyncio
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.relay import Relay
from tests.integration.roles import Role, write_config
from tests.integration.source_world import World, address
from versioning.entries import Gap, Heartbeat

HUGE_ROWS = 2_000_000
# A source takes about 90 MB; the rows of the huge transaction alone would be 200 MB of keys.
HUGE_GROWTH_MB_MAX = 60


async def test_duplicate_server_id_of_two_sources_loses_nothing(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    """The server ends the older of two readers with one id: they take turns, and the stream has it all."""
    one = World.with_items(mariadb_a, redis_a, server_id=4_000_000_001)
    two = World(mariadb_a, redis_a, one.tables, one.options)
    async with one.source(), two.source():
        keys = one.insert(1, 3)
        await one.until(lambda: one.stats.connections + two.stats.connections > 4, "they take turns")
        keys |= one.insert(4, 6)
        await one.caught_up()
    found = sorted(await one.item_keys())
    assert found == sorted(keys)
    assert sum(isinstance(body, Gap) for body in await one.bodies()) == 1


async def test_half_open_link_is_noticed_and_claims_nothing_meanwhile(
    mariadb_a: MariaDb, redis_a: RedisServer, relay: Relay
) -> None:
    port = relay.add_link("mysql", mariadb_a.port)
    world = World.with_items(mariadb_a, redis_a)
    world.options = {"mysql": dataclasses.replace(address(mariadb_a), port=port), "read_timeout_ms": 1_500}
    async with world.source():
        keys = world.insert(1, 2)
        await world.caught_up()
        relay.black_hole("mysql")
        beats = await heartbeats(world)
        keys |= world.insert(3, 4)
        await world.until(lambda: "silent for 1.5 s" in world.stats.last_error, "the silence is noticed")
        # One that was on its way may still come; then none.
        assert await heartbeats(world) - beats <= 2
        relay.heal("mysql")
        keys |= world.insert(5)
        await world.caught_up()
    assert sorted(await world.item_keys()) == sorted(keys)


async def heartbeats(world: World) -> int:
    return sum(isinstance(body, Heartbeat) for body in await world.bodies())


async def test_a_link_that_is_cut_inside_a_transaction_resumes_at_its_begin(
    mariadb_a: MariaDb, redis_a: RedisServer, relay: Relay
) -> None:
    """A slow link is cut when part of a big transaction is over it: nothing of it is stamped, then all of it."""
    port = relay.add_link("mysql", mariadb_a.port)
    world = World.with_items(mariadb_a, redis_a)
    world.options = {"mysql": dataclasses.replace(address(mariadb_a), port=port)}
    async with world.source():
        await world.caught_up()
        rows = world.stats.rows
        relay.slow(200_000, link="mysql")
        world.run("INSERT INTO item (code, name) SELECT CONCAT('c', seq), REPEAT('x', 60) FROM seq_1_to_20000")
        await world.until(lambda: world.stats.rows > rows, "part of the transaction came")
        relay.cut("mysql")
        await world.until(lambda: not world.stats.is_connected, "the cut is noticed")
        assert await world.item_keys() == []
        relay.heal("mysql")
        await world.caught_up()
    found = await world.item_keys()
    assert len(found) == len(set(found)) == 20_000


def resident_mb(pid: int, field: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.timeout(240)
async def test_huge_transaction_of_two_million_rows_in_bounded_memory(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, tmp_path: Path
) -> None:
    """Above keys_max the rows are skipped undecoded, and the namespaces are aged out at its commit, not before."""
    server = new_mariadb(innodb_buffer_pool_size="128M", innodb_log_file_size="16M", binlog_cache_size="1M")
    world = World.with_items(server, redis_a)
    text = f'[stream]\nurl = "{redis_a.url}"\n[source]\nname = "a"\nheartbeat_ms = 200\n'
    text += f'[source.mysql]\nurl = "{server.url("stampline_source")}"\n'
    text += f'[[table]]\nname = "{world.database}.wide"\nkeys = ["wide:{{id}}"]\n'
    world.run("CREATE TABLE wide (id BIGINT PRIMARY KEY, a INT, note VARCHAR(40))")
    with Role(["source", "--metrics-port", "PORT"], write_config(tmp_path, text), ready="/readyz") as role:
        insert_row = "INSERT INTO wide VALUES ({0}, 1, 'warm')"
        world.run(insert_row.format(-1))
        await world.caught_up()
        assert role.process.pid is not None
        before_mb = resident_mb(role.process.pid, "VmRSS")
        await asyncio.to_thread(
            world.run, f"INSERT INTO wide SELECT seq, seq, REPEAT('x', 30) FROM seq_1_to_{HUGE_ROWS}"
        )
        world.run(insert_row.format(-2))
        await world.caught_up()
        grown_mb = resident_mb(role.process.pid, "VmHWM") - before_mb
    keys = await world.keys()
    assert set(keys) == {"wide:-1", "wide:-2"}
    reasons = [body.reason for body in await world.generations() if not body.reason.startswith("statement")]
    assert reasons == ["transaction with more than 100000 keys"]
    assert grown_mb < HUGE_GROWTH_MB_MAX
