"""Nothing lost (I3): MariaDB's own reading of its binlog against the stream, after a random workload with faults."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from deploy.simulation import oracle
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import until_async
from tests.integration.random_workload import RandomWorkload
from tests.integration.source_world import World, kill_binlog_links

SEED = 20_261_123


def findings(world: World) -> oracle.Findings:
    templates = {str(spec.name): spec.templates for spec in world.tables.specs}
    assert isinstance(world.server, MariaDb)
    return oracle.compare(oracle.changes(world.server, templates), oracle.read_stamps(world.redis.url))


async def progress(workload: RandomWorkload, transactions: int) -> None:
    wanted = workload.transactions + transactions
    await until_async(lambda: workload.transactions >= wanted, f"{transactions} transactions more")


@pytest.mark.timeout(240)
async def test_every_row_change_of_the_binlog_has_a_stamp_whatever_fails(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer
) -> None:
    """Two sources; connections killed, a source restarted, the server restarted and killed, logs rotated."""
    server = new_mariadb()
    one = World.with_items(server, redis_a)
    two = World(server, redis_a, one.tables)
    workload = RandomWorkload(one, SEED)
    async with one.source():
        workload.start()
        try:
            for _ in range(2):
                async with two.source():
                    await progress(workload, 100)
                    await asyncio.to_thread(kill_binlog_links, server)
                    await progress(workload, 100)
                    await asyncio.to_thread(server.execute, "FLUSH BINARY LOGS")
            await asyncio.to_thread(server.restart)
            await progress(workload, 100)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            await progress(workload, 100)
        finally:
            workload.stop()
        await one.caught_up()
    found = await asyncio.to_thread(findings, one)
    assert found.changes > 500
    assert found.lost == ()
    assert found.foreign == ()


async def test_a_stamp_that_is_missing_is_found(mariadb_a: MariaDb, redis_a: RedisServer) -> None:
    """The oracle itself: take one entry out of the stream, and it names the key."""
    world = World.with_items(mariadb_a, redis_a)
    async with world.source():
        for number in range(1, 5):
            world.run(f"INSERT INTO item (id, code) VALUES ({number}, 'c''{number}')")
        await world.caught_up()
    assert (await asyncio.to_thread(findings, world)).lost == ()
    stream, client = "{stampline}:stream", cast("Any", redis_a.client())
    removed = next(stamp for stamp, fields in client.xrange(stream) if b'"item:3"' in fields[b"b"])
    client.xdel(stream, removed)
    found = await asyncio.to_thread(findings, world)
    assert {change.what for change in found.lost} == {"item:3", "item:code:c%273", "shelf:%N:c%273"}
