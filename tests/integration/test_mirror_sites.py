"""Mirrors between two real Redis, gated by a real replica."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.relay import Relay
from replicator.mirror.options import LostLink
from tests.eventually import now_ms, until_async
from tests.integration.mirror_site import IMPATIENT, OPTIONS, Site, gate_on
from versioning import stamp as stamps
from versioning.entries import Change, Replayed
from versioning.limits import LOSS_LEAD_MS


@pytest.fixture
async def site(
    mariadb_a: MariaDb, replica_b: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer
) -> AsyncIterator[Site]:
    replica_b.catch_up_with(mariadb_a)
    async with Site.open(mariadb_a, database, redis_a, redis_b) as site:
        yield site


async def test_what_is_in_stream_b_is_in_the_replica(site: Site, replica_b: MariaDb) -> None:
    site.start(gate_on(replica_b))
    async with site.target.subscribe() as pushed:
        for number in range(1, 31):
            key = await site.commit(number)
            async for entry in pushed:
                if entry and isinstance(entry.body, Change) and entry.body.keys == (key,):
                    break
            assert entry
            assert isinstance(entry.body, Change)
            assert not entry.body.pending
            sql = "SELECT COUNT(*) FROM tracker_web WHERE id = %s"
            assert await asyncio.to_thread(replica_b.scalar, sql, (number,), database=site.database) == 1


async def test_a_key_is_pending_while_the_replica_is_stopped_and_settled_after(site: Site, replica_b: MariaDb) -> None:
    mirror = site.start(gate_on(replica_b), options=IMPATIENT)
    await site.commit(1)
    await site.until(lambda seen: seen.keys == ["tracker_web:1"])
    replica_b.stop_replication()
    await site.commit(2)
    seen = await site.until(lambda seen: len(seen.changes) == 2)
    assert seen.changes[1].pending
    last_read_ms = seen.heartbeats[-1].read_ms
    seen = await site.until(lambda seen: seen.heartbeats[-1].read_ms > last_read_ms + 500)
    assert seen.heartbeats[-1].applied_ms < seen.heartbeats[-1].read_ms - 400
    replica_b.start_replication()
    seen = await site.until(lambda seen: seen.changes[-1].settled)
    assert seen.changes[-1].keys == ("tracker_web:2",)
    await site.until(lambda seen: mirror.stats.pending == 0)


async def test_a_killed_replica_holds_entries_until_it_is_back(site: Site, replica_b: MariaDb) -> None:
    mirror = site.start(gate_on(replica_b))
    await site.commit(1)
    await site.until(lambda seen: seen.keys == ["tracker_web:1"])
    replica_b.kill()
    await site.commit(2)
    await site.until(lambda seen: mirror.stats.held == 1)
    replica_b.start()
    seen = await site.until(lambda seen: len(seen.changes) == 2)
    assert not seen.changes[1].pending


async def test_two_mirrors_lose_nothing_and_double_nothing_while_one_is_killed(site: Site, replica_b: MariaDb) -> None:
    first = site.start(gate_on(replica_b))
    site.start(gate_on(replica_b))
    for number in range(1, 121):
        await site.commit(number)
        if number == 40:
            await first.kill()
        if number == 80:
            first = site.start(gate_on(replica_b))
    seen = await site.until(lambda seen: len(seen.keys) >= 120)
    assert seen.keys == [f"tracker_web:{number}" for number in range(1, 121)]
    assert len(seen.gaps) == 1
    stamps_seen = [entry.stamp for entry in seen.entries]
    assert stamps_seen == sorted(set(stamps_seen))


async def test_a_flushed_stream_b_is_filled_again_above_all_it_had(site: Site, replica_b: MariaDb) -> None:
    site.start(gate_on(replica_b))
    site.start(gate_on(replica_b))
    for number in range(1, 6):
        await site.commit(number)
    # The claim of a replay starts a clock error above the origin's horizon, whose stamp leads.
    claimed_ms = LOSS_LEAD_MS + 1_500
    seen = await site.until(lambda seen: seen.heartbeats[-1].read_ms - seen.heartbeats[0].read_ms > claimed_ms)
    above = seen.entries[-1].stamp
    site.redis_b.flush()
    await site.commit(6)
    seen = await site.until(
        lambda seen: len(seen.keys) == 6 and any(isinstance(e.body, Replayed) for e in seen.entries)
    )
    assert seen.keys == [f"tracker_web:{number}" for number in range(1, 7)]
    assert seen.entries[0].body == seen.gaps[0]
    assert seen.entries[0].stamp > above
    with site.redis_b.client(decode_responses=True) as client:
        last = next(e for e in seen.entries if isinstance(e.body, Change) and e.body.keys == ("tracker_web:6",))
        assert client.get("{stampline}:v:tracker_web:6") == stamps.text(last.stamp)


async def test_a_flushed_stream_a_is_a_gap_in_b(site: Site, replica_b: MariaDb) -> None:
    mirror = site.start(gate_on(replica_b))
    await site.commit(1)
    await site.until(lambda seen: seen.keys == ["tracker_web:1"])
    site.redis_a.flush()
    await site.until(lambda seen: len(seen.gaps) > 1)
    await site.commit(2)
    await site.until(lambda seen: seen.keys == ["tracker_web:1", "tracker_web:2"])
    assert mirror.stats.breaks >= 2


async def test_a_stalled_stream_b_loses_and_doubles_nothing(site: Site, replica_b: MariaDb) -> None:
    mirror = site.start(gate_on(replica_b))
    await site.commit(1)
    await site.until(lambda seen: seen.keys == ["tracker_web:1"])
    site.redis_b.pause()
    await site.commit(2)
    await until_async(lambda: mirror.stats.appends_failed > 0, "an append gets no answer")
    site.redis_b.resume()
    await site.until(lambda seen: seen.keys == ["tracker_web:1", "tracker_web:2"])
    assert mirror.stats.breaks_by_reason == {"first_start": 1}


@pytest.mark.parametrize("fault", ["cut", "black_hole"])
async def test_a_broken_wan_loses_nothing(site: Site, replica_b: MariaDb, relay: Relay, fault: str) -> None:
    port = relay.add_link("redis", site.redis_a.port)
    mirror = site.start(gate_on(replica_b), origin_port=port)
    await site.commit(1)
    await site.until(lambda seen: seen.keys == ["tracker_web:1"])
    getattr(relay, fault)()
    await site.commit(2)
    await site.until(lambda seen: not mirror.stats.is_connected)
    quiet = (await site.until(lambda seen: True)).heartbeats[-1].read_ms
    await asyncio.sleep(0.5)
    assert (await site.until(lambda seen: True)).heartbeats[-1].read_ms == quiet
    relay.heal()
    await site.commit(3)
    seen = await site.until(lambda seen: len(seen.keys) == 3)
    assert seen.keys == ["tracker_web:1", "tracker_web:2", "tracker_web:3"]
    assert len(seen.gaps) == 1


async def test_an_origin_that_is_silent_is_not_taken_for_one_that_is_away(site: Site, replica_b: MariaDb) -> None:
    mirror = site.start(gate_on(replica_b), options=replace(OPTIONS, silence_ms=200))
    await site.commit(1)
    with site.redis_a.client() as client:
        client.config_set("maxmemory", "1")  # Nobody can append, no heartbeat either.
        await until_async(lambda: mirror.stats.reconnects_by_reason.get(LostLink.SILENT, 0) > 1, "it is called silent")
        client.config_set("maxmemory", "0")
    assert set(mirror.stats.reconnects_by_reason) == {LostLink.SILENT}
    await site.commit(2)
    await site.until(lambda seen: "tracker_web:2" in seen.keys)


async def test_an_entry_crosses_the_wan_once(site: Site, replica_b: MariaDb, relay: Relay) -> None:
    one_way_ms = 150
    relay.set_delay(one_way_ms=one_way_ms)
    port = relay.add_link("redis", site.redis_a.port)
    site.start(gate_on(replica_b), options=OPTIONS, origin_port=port)
    await site.until(lambda seen: bool(seen.heartbeats))
    delays_ms = []
    async with site.target.subscribe() as pushed:
        for number in range(1, 21):
            key = await site.commit(number)
            async for entry in pushed:
                if entry and isinstance(entry.body, Change) and entry.body.keys == (key,):
                    break
            delays_ms.append(time.monotonic() * 1000 - site.appended_ms[key])
    # A second crossing would cost as much again.
    assert min(delays_ms) < 2 * one_way_ms


async def test_no_heartbeat_vouches_for_what_waits_behind_a_domain_that_the_replica_is_behind_in(
    new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, redis_b: RedisServer
) -> None:
    """As with an ALTER in a GTID domain of its own, which the replica is busy with while it applies the others."""
    primary, replica = new_mariadb(), new_mariadb(slave_parallel_threads=4)
    primary.create_database("shop_domains")
    primary.execute("CREATE TABLE slow (id INT PRIMARY KEY)", database="shop_domains")
    replica.replicate_from(primary.port)
    replica.catch_up_with(primary)

    async with Site.open(primary, "shop_domains", redis_a, redis_b) as site:

        async def commit(domain: int, sql: str, key: str) -> int:
            """Return when its entry is in stream A, Unix ms."""
            gtid = await asyncio.to_thread(committed_in, primary, domain, sql)
            await site.append(Change((key,), gtid, now_ms()))
            return now_ms()

        site.start(gate_on(replica))
        await commit(7, "INSERT INTO slow (id) VALUES (1)", "slow:1")
        await site.until(lambda seen: seen.keys == ["slow:1"])
        with contextlib.closing(replica.connect(database="shop_domains")) as connection:
            connection.cursor().execute("LOCK TABLES slow WRITE")
            await commit(7, "INSERT INTO slow (id) VALUES (2)", "slow:2")
            sql = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (1, 't-1', 1)"
            stamped_ms = await commit(0, sql, "tracker_web:1")
            count = "SELECT COUNT(*) FROM tracker_web"
            await until_async(lambda: replica.scalar(count, database="shop_domains") == 1, "domain 0 is applied")
            applied_ms = now_ms()
            await until_async(lambda: now_ms() > applied_ms + 1_500, "heartbeats would pass")
            seen = await site.until(lambda seen: bool(seen.heartbeats))
            assert seen.keys == ["slow:1"]
            assert seen.heartbeats[-1].read_ms <= stamped_ms
        seen = await site.until(lambda seen: seen.heartbeats[-1].read_ms > stamped_ms)
        assert seen.keys == ["slow:1", "slow:2", "tracker_web:1"]


def committed_in(primary: MariaDb, domain: int, sql: str) -> str:
    """Return its GTID."""
    with contextlib.closing(primary.connect(database="shop_domains")) as connection, connection.cursor() as cursor:
        cursor.execute(f"SET SESSION gtid_domain_id = {domain}")
        cursor.execute(sql)
        connection.commit()
        cursor.execute("SELECT @@last_gtid AS gtid")
        row = cursor.fetchone()
        assert row is not None
        return str(row["gtid"])
