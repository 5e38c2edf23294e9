"""Redis A or B flushed, failed over with lost writes, evicting: nothing is lost, stamps only grow (P1-P3, I3-I5)."""

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster, RedisSentinel
from tests.eventually import now_ms, until
from tests.integration.pipeline import Pipeline
from versioning import stamp as stamps
from versioning.backends.base import Append, BackendError, NotReplicatedError
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, Gap, NewEntry
from versioning.limits import LOSS_LEAD_MS

LOADED_S = 1.0


def breaks(pipeline: Pipeline) -> int:
    return sum(reader.info().breaks for reader in pipeline.readers)


@pytest.mark.parametrize("flushed", ["a", "b", "both"])
async def test_a_redis_flushed_under_load(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer, flushed: str
) -> None:
    async with Pipeline.open(mariadb_a, database, redis_a.url, redis_b.url) as pipeline:
        await pipeline.run_for(LOADED_S)
        for name, server in (("a", redis_a), ("b", redis_b)):
            if flushed in {name, "both"}:
                await asyncio.to_thread(server.flush)
        await pipeline.run_for(LOADED_S)
        if flushed != "a":
            await pipeline.until(lambda: breaks(pipeline) >= 2, "both readers see the break")
        await pipeline.assert_converges()


async def test_redis_clocks_set_back_by_an_hour(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer
) -> None:
    """To the streams it makes no difference which moves: here their last stamps are an hour ahead of every clock."""
    ahead = stamps.make(now_ms() + 3_600_000)
    for redis in (redis_a, redis_b):
        stream = RedisStream.from_url(redis.url)
        await stream.append(bump(above=ahead))
        await stream.aclose()
    async with Pipeline.open(mariadb_a, database, redis_a.url, redis_b.url) as pipeline:
        await pipeline.run_for(LOADED_S)
        await pipeline.assert_converges()
        assert pipeline.log_a.appends[0][2][0] > ahead
        assert pipeline.log_b.appends[0][2][0] > ahead


async def lose_the_replica(sentinel: RedisSentinel) -> None:
    """From now on, what is acknowledged is on the source alone."""
    with sentinel.replica.client() as client:
        client.replicaof(LOOPBACK, free_port())


@pytest.mark.parametrize("failed", ["a", "b"])
async def test_a_redis_failed_over_with_lost_writes(
    mariadb_a: MariaDb,
    database: str,
    redis_a: RedisServer,
    redis_b: RedisServer,
    sentinel: RedisSentinel,
    failed: str,
) -> None:
    url_a, url_b = (sentinel.url, redis_b.url) if failed == "a" else (redis_a.url, sentinel.url)
    async with Pipeline.open(mariadb_a, database, url_a, url_b) as pipeline:
        log = pipeline.log_a if failed == "a" else pipeline.log_b
        await pipeline.run_for(LOADED_S)
        await lose_the_replica(sentinel)
        # Not for long: Sentinels make it follow its source again after some seconds. The first may have been under way.
        seen = len(log.appends)
        await pipeline.until(lambda: len(log.appends) > seen + 1, "stamps that the replica does not have")
        lost = log.appends[-1][2][-1]
        sentinel.source.kill()
        await asyncio.to_thread(sentinel.wait_for_source, sentinel.replica)
        await pipeline.until(lambda: log.appends[-1][2][-1] > lost, "a stamp above what was lost")
        with sentinel.replica.client() as client:
            assert not client.xrange("{stampline}:stream", stamps.text(lost), stamps.text(lost))
        await pipeline.run_for(LOADED_S)
        await pipeline.assert_converges()


@pytest.mark.parametrize("evicting", ["a", "b"])
async def test_a_redis_that_evicts_its_stream(
    mariadb_a: MariaDb,
    database: str,
    redis_a: RedisServer,
    redis_b: RedisServer,
    new_redis: Callable[..., RedisServer],
    evicting: str,
) -> None:
    full = new_redis(maxmemory_policy="allkeys-random")
    urls = (full.url, redis_b.url) if evicting == "a" else (redis_a.url, full.url)
    async with Pipeline.open(mariadb_a, database, *urls) as pipeline:
        await pipeline.run_for(LOADED_S)
        began_ms = now_ms()
        await asyncio.to_thread(fill_until_the_stream_is_evicted, full)
        await pipeline.run_for(LOADED_S)
        stream = pipeline.stream(full.url, pipeline.log_b)
        [first] = await stream.read_after(stamps.ZERO, count=1)
        assert isinstance(first.body, Gap)
        assert stamps.ms_of(first.stamp) >= began_ms
        await pipeline.assert_converges()


def fill_until_the_stream_is_evicted(redis: RedisServer) -> None:
    ends_at = time.monotonic() + 30
    with redis.client() as client:
        first = client.xrange("{stampline}:stream", count=1)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 1_000_000)
        number = 0
        while client.xrange("{stampline}:stream", count=1) == first:
            assert time.monotonic() < ends_at
            with client.pipeline(transaction=False) as pipe:
                for _ in range(100):
                    number += 1
                    pipe.set(f"value:{number}", b"x" * 10_000)
                pipe.execute()
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize("loss", ["failover", "restart"])
async def test_a_loss_begins_a_history_whose_first_stamps_lead_whoever_writes_them_over_whatever_connection(
    new_redis: Callable[..., RedisServer], loss: str
) -> None:
    server = new_redis(appendonly="yes")
    stream = RedisStream.from_url(server.url)
    first, second = Checkpoint("p", 0, "first"), Checkpoint("p", 0, "second")
    await stream.append(bump(writer="w", checkpoint=first))
    history = await stream.history()
    if loss == "restart":
        await asyncio.to_thread(server.restart)
    else:
        with server.client() as client:
            client.replicaof(LOOPBACK, free_port())
            client.replicaof("NO", "ONE")
    began_ms = now_ms()
    other = RedisStream.from_url(server.url)
    [stamp] = await other.append(bump(writer="w", expected=first, checkpoint=second))
    assert stamps.ms_of(stamp) >= began_ms + LOSS_LEAD_MS
    after = await other.history()
    assert after.server != history.server
    assert after.torn == stamps.ZERO
    await stream.aclose()
    await other.aclose()


def bump(**options: Any) -> Append:
    return Append((NewEntry(secrets.token_hex(8), Change(("t:1",))),), now_ms(), **options)


@pytest.fixture
def pair(new_redis: Callable[..., RedisServer]) -> tuple[RedisServer, RedisServer]:
    """A Redis and its replica."""
    source = new_redis(repl_diskless_sync_delay=0)
    replica = new_redis(replicaof=f"{LOOPBACK} {source.port}")
    until(lambda: is_linked(replica), "the replica follows")
    return source, replica


def is_linked(replica: RedisServer) -> bool:
    with replica.client() as client:
        return bool(client.info("replication")["master_link_status"] == "up")


async def test_an_append_counts_only_once_the_replicas_have_it(pair: tuple[RedisServer, RedisServer]) -> None:
    source, replica = pair
    stream = RedisStream.from_url(source.url, wait_replicas=1)
    [stamp] = await stream.append(bump())
    copy = RedisStream.from_url(replica.url)
    assert await copy.read_one(stamp) is not None
    await copy.aclose()
    replica.pause()
    with pytest.raises(NotReplicatedError, match="only 0 of 1 replicas"):
        await stream.append(bump())
    replica.resume()
    await stream.append(bump())
    await stream.aclose()


async def test_cut_off_from_its_replicas_a_fenced_redis_takes_nothing_beside_the_one_promoted(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    source, replica = pair
    with source.client() as client:
        client.config_set("min-replicas-to-write", 1)
        until(lambda: client.info("replication")["min_slaves_good_slaves"] == 1, "the replica counts")
    stream, promoted = RedisStream.from_url(source.url), RedisStream.from_url(replica.url)
    [before] = await stream.append(bump())
    with replica.client() as client, source.client() as left:
        client.replicaof("NO", "ONE")
        until(lambda: left.info("replication")["connected_slaves"] == 0, "it is cut off")
    with pytest.raises(BackendError, match="NOREPLICAS"):
        await stream.append(bump())
    assert (await stream.state()).last == before
    [after] = await promoted.append(bump())
    assert after > before
    with source.client() as client:
        client.replicaof(LOOPBACK, replica.port)
    until(lambda: is_linked(source), "the demoted one follows")
    assert (await stream.state()).last == after
    await stream.aclose()
    await promoted.aclose()


async def test_a_stalled_replica_that_is_waited_for_delays_changes_and_loses_none(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, pair: tuple[RedisServer, RedisServer]
) -> None:
    source, replica = pair
    async with Pipeline.open(mariadb_a, database, source.url, redis_a.url, wait_replicas=1) as pipeline:
        await pipeline.run_for(LOADED_S)
        replica.pause()
        sources = pipeline.source_stats
        await pipeline.until(lambda: any("only 0 of 1 replicas" in stats.last_error for stats in sources), "one waits")
        replica.resume()
        await pipeline.run_for(LOADED_S)
        await pipeline.assert_converges()


async def test_a_cluster_that_loses_a_node_for_a_while_delays_changes_and_answers_reads(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_cluster: RedisCluster
) -> None:
    async with Pipeline.open(mariadb_a, database, redis_a.url, redis_cluster.url) as pipeline:
        holders = [node for node in redis_cluster.nodes if holds_the_stream(node)]
        assert len(holders) == 1
        other = next(node for node in redis_cluster.nodes if node not in holders)
        other.pause()
        try:
            await pipeline.run_for(LOADED_S)
        finally:
            other.resume()
        await pipeline.run_for(LOADED_S)
        await pipeline.assert_converges()


def holds_the_stream(node: RedisServer) -> bool:
    with node.client() as client:
        return any(key.startswith(b"{stampline}:") for key in client.keys("*"))
