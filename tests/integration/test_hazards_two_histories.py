"""A source that still holds what a failover of MySQL lost appends it while the others read the new primary."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.integration.source_world import World
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Gap

COUNT = "SELECT COUNT(*) FROM item WHERE id = 102"
IN_ITS_PLACE = (
    "SET SESSION gtid_domain_id = 1",
    "SET SESSION gtid_seq_no = 2",
    "INSERT INTO item (id, code) VALUES (201, 'c201')",
)

NewMariaDb = Callable[..., MariaDb]


class HeldBack:
    """A stream that takes nothing until it is let go."""

    def __init__(self, stream: RedisStream) -> None:
        self._stream = stream
        self.go = asyncio.Event()

    async def append(self, batch: Append) -> list[int]:
        await self.go.wait()
        return await self._stream.append(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@asynccontextmanager
async def stopped_source(world: World) -> AsyncIterator[HeldBack]:
    stream, stop = world.stream(), asyncio.Event()
    held: Any = HeldBack(stream)
    task = asyncio.create_task(world.run_source(held, stop))
    try:
        yield held
    finally:
        stop.set()
        await task
        await stream.aclose()


def insert(world: World, number: int, domain: int = 0) -> str:
    world.run(f"SET SESSION gtid_domain_id = {domain}", f"INSERT INTO item (id, code) VALUES ({number}, 'c{number}')")
    return f"item:{number}"


def forget(replica: MariaDb, domain: int) -> None:
    """What it ignores of a domain counts as applied: set back to what it has."""
    applied, logged = (str(replica.scalar(f"SELECT @@gtid_{name}_pos")).split(",") for name in ("slave", "binlog"))
    known = [gtid for gtid in applied if not gtid.startswith(f"{domain}-")]
    last = next(gtid for gtid in logged if gtid.startswith(f"{domain}-"))
    replica.execute("SET GLOBAL gtid_slave_pos = %s", (",".join([*known, last]),))


async def gaps(world: World) -> list[str]:
    return [body.reason for body in await world.bodies() if isinstance(body, Gap)]


async def test_what_a_stopped_source_held_of_one_domain_hides_nothing_of_the_new_primary(
    new_mariadb: NewMariaDb, redis_a: RedisServer
) -> None:
    """The promoted replica has later transactions of the other domain: replicas apply domains side by side."""
    primary, replica = new_mariadb(), new_mariadb()
    world = World.with_items(primary, redis_a)
    insert(world, 1, domain=1)
    async with world.source():
        await world.caught_up()
    replica.replicate_from(primary.port)
    replica.catch_up_with(primary)
    replica.execute("STOP SLAVE")
    replica.execute("CHANGE MASTER TO IGNORE_DOMAIN_IDS = (1)")
    stopped, promoted = World(primary, redis_a, world.tables), World(replica, redis_a, world.tables)
    async with AsyncExitStack() as sources:
        held = await sources.enter_async_context(stopped_source(stopped))
        await stopped.until(lambda: stopped.stats.is_connected, "the source that is going to be stopped reads")
        read = stopped.stats.transactions
        lost, kept = insert(stopped, 101, domain=1), insert(stopped, 102)
        await stopped.until(lambda: stopped.stats.transactions == read + 2, "it holds both")
        replica.start_replication()
        await promoted.until(lambda: replica.scalar(COUNT, database=promoted.database), "the replica has the second")
        primary.kill()
        replica.execute("STOP SLAVE")
        forget(replica, domain=1)
        await sources.enter_async_context(promoted.source())
        await promoted.caught_up()
        held.go.set()
        await promoted.until(lambda: has(promoted, lost), "what was lost is stamped")
        promoted.run(*IN_ITS_PLACE)
        rewritten = {"item:201", insert(promoted, 202, domain=1), insert(promoted, 203)}
        await promoted.caught_up()
        await promoted.until(lambda: has(promoted, kept, *rewritten), "all of the new primary is stamped")
    assert len(await gaps(promoted)) == 2


async def has(world: World, *keys: str) -> bool:
    return set(keys) <= set(await world.keys())
