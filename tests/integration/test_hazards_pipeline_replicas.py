"""Replicas stopped, promoted, rebuilt from an older copy, added: no value is vouched for that lacks its commit (P4)."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import now_ms, until_async
from tests.integration.mirror_site import IMPATIENT, OPTIONS, Site, gate_on
from versioning import AsyncVersionedCache, header
from versioning.backends.memory import AsyncMemoryValues, MemoryValues
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Change

KEY = "tracker_web:1"


@pytest.fixture
async def site(mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer) -> AsyncIterator[Site]:
    async with Site.open(mariadb_a, database, redis_a, redis_b) as site:
        yield site


@pytest.fixture
def replica(mariadb_a: MariaDb, database: str, new_mariadb: Callable[..., MariaDb]) -> MariaDb:
    """A replica of its own: what is done to it cannot be undone."""
    replica = new_mariadb(read_only="ON", skip_slave_start="ON")
    replica.replicate_from(mariadb_a.port)
    replica.catch_up_with(mariadb_a)
    return replica


async def test_what_is_read_from_a_stopped_replica_is_kept_for_the_provisional_ttl_only(
    site: Site, replica_b: MariaDb
) -> None:
    async def load() -> object:
        sql = "SELECT tenant_id FROM tracker_web WHERE id = 1"
        return await asyncio.to_thread(replica_b.scalar, sql, database=site.database)

    site.start(gate_on(replica_b), options=IMPATIENT)
    values = MemoryValues(now_ms)
    await site.commit(1)
    await site.until(lambda seen: seen.keys == [KEY])
    stream = RedisStream.from_url(site.redis_b.url)
    async with AsyncVersionedCache(stream=stream, values=AsyncMemoryValues(values)) as reader:
        assert await reader.get(KEY, load) == 1
        replica_b.stop_replication()
        site.primary.execute("UPDATE tracker_web SET tenant_id = 2", database=site.database)
        gtid = site.primary.gtid_position()
        await site.append(Change((KEY,), gtid, now_ms()))
        await site.until(lambda seen: seen.changes[-1] == Change((KEY,), gtid, seen.changes[-1].committed_ms, True))
        await until_async(lambda: reader.info().pending == 1, "the reader knows that the key is pending")
        assert await reader.get(KEY, load) == 1
        stored = values.get(KEY)
        assert stored is not None
        assert header.unpack(stored)[0].is_provisional
        replica_b.start_replication()
        await site.until(lambda seen: seen.changes[-1].settled)
        await until_async(lambda: reader.info().pending == 0, "the reader knows that the key is settled")
        assert await reader.get(KEY, load) == 2
    await stream.aclose()


async def test_a_promoted_replica_opens_the_gate_for_what_it_commits_itself(site: Site, replica: MariaDb) -> None:
    mirror = site.start(gate_on(replica), options=OPTIONS)
    await site.commit(1)
    await site.until(lambda seen: seen.keys == [KEY])
    replica.stop_replication()
    for sql in ("RESET SLAVE ALL", "SET GLOBAL read_only = OFF"):
        replica.execute(sql)
    site.primary = replica
    await site.commit(2)
    seen = await site.until(lambda seen: seen.keys == [KEY, "tracker_web:2"])
    assert not any(body.pending for body in seen.changes)
    assert mirror.stats.gates["replica-b"].rewinds == 0


async def test_a_source_left_at_a_demoted_primary_vouches_for_nothing(
    site: Site, replica: MariaDb, new_mariadb: Callable[..., MariaDb]
) -> None:
    promoted = new_mariadb()
    promoted.replicate_from(site.primary.port)
    promoted.catch_up_with(site.primary)
    mirror = site.start(gate_on(replica), options=replace(OPTIONS, source_late_ms=500))
    await site.until(lambda seen: bool(seen.heartbeats))
    assert mirror.stats.gates["replica-b"].is_ahead == 0
    promoted.stop_replication()
    promoted.execute("RESET SLAVE ALL")
    replica.replicate_from(promoted.port)
    promoted.execute("INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (1, 't', 1)", database=site.database)
    await site.until(lambda seen: mirror.stats.gates["replica-b"].is_ahead == 1, "the mirror notices")
    told = (await site.until(lambda seen: True)).heartbeats[-1]
    await until_async(lambda: now_ms() > told.read_ms + 1_000, "the source goes on for a second")
    await site.append(Change((KEY,), "", now_ms()))
    seen = await site.until(lambda seen: seen.keys == [KEY])
    assert seen.heartbeats[-1] == told
    site.primary = promoted
    await site.until(lambda seen: seen.heartbeats[-1].read_ms > told.read_ms, "the source has moved")
    assert mirror.stats.gates["replica-b"].is_ahead == 0


async def test_a_replica_rebuilt_from_an_older_copy_makes_its_keys_pending_until_it_has_caught_up(
    site: Site, replica: MariaDb
) -> None:
    copy = replica.folder / "older"
    await asyncio.to_thread(replica.stop)
    shutil.copytree(replica.data_folder, copy)
    await asyncio.to_thread(replica.start)
    replica.start_replication()
    mirror = site.start(gate_on(replica))
    await site.commit(1)
    seen = await site.until(lambda seen: seen.keys == [KEY])
    assert not seen.changes[0].pending
    await asyncio.to_thread(replica.stop)
    shutil.rmtree(replica.data_folder)
    copy.rename(replica.data_folder)
    await asyncio.to_thread(replica.start)
    seen = await site.until(lambda seen: len(seen.changes) > 1)
    assert (seen.changes[1].keys, seen.changes[1].pending) == ((KEY,), True)
    assert mirror.stats.gates["replica-b"].rewinds == 1
    replica.start_replication()
    await site.until(lambda seen: seen.changes[-1].settled)
    await site.until(lambda seen: mirror.stats.pending == 0)


async def test_an_added_replica_that_is_behind_makes_keys_pending_until_it_has_caught_up(
    site: Site, replica: MariaDb, replica_b: MariaDb
) -> None:
    mirror = site.start(gate_on(replica_b))
    replica.stop_replication()
    await site.commit(1)
    await site.until(lambda seen: seen.keys == [KEY])
    await mirror.kill()
    mirror = site.start(gate_on(replica_b), gate_on(replica, "added"))
    seen = await site.until(lambda seen: len(seen.changes) > 1)
    assert (seen.changes[1].keys, seen.changes[1].pending) == ((KEY,), True)
    replica.start_replication()
    await site.until(lambda seen: seen.changes[-1].settled and mirror.stats.pending == 0)
