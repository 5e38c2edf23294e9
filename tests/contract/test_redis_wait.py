"""An append to a Redis Cluster that counts once a replica has it: script and WAIT reach the same node together."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions

from deploy.simulation import redis_server
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster
from tests.conftest import require
from tests.eventually import until
from versioning.backends.base import (
    Append,
    BackendError,
    CheckpointRefusedError,
    NotReplicatedError,
    UnavailableError,
)
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, NewEntry

pytestmark = pytest.mark.integration

DEADLINE_S = 20.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """One source with all slots, and its replica."""
    require(redis_server.missing())
    with ProcessGroup() as group:
        servers = group.add(RedisCluster(tmp_path, size=1, replicas_each=1))
        servers.start()
        yield servers


@pytest.fixture
def replica(cluster: RedisCluster) -> RedisServer:
    return cluster.replicas[0][0]


@pytest.fixture
async def stream(cluster: RedisCluster) -> AsyncIterator[RedisStream]:
    backend = RedisStream.from_url(cluster.url, wait_replicas=1)
    yield backend
    await backend.aclose()


def bump(**options: object) -> Append:
    entry = NewEntry(secrets.token_hex(8), Change(("t:1",)))
    return Append((entry,), time.time_ns() // 1_000_000, **options)  # type: ignore[arg-type]


async def test_an_append_to_a_cluster_counts_only_once_a_replica_has_it(
    stream: RedisStream, replica: RedisServer
) -> None:
    [first] = await stream.append(bump())
    replica.pause()
    with pytest.raises(NotReplicatedError, match="only 0 of 1 replicas"):
        await stream.append(bump())
    replica.resume()
    [third] = await stream.append(bump())
    assert [entry.stamp for entry in await stream.read_after(first - 1, count=10)][::2] == [first, third]


async def test_where_a_checkpoint_does_not_count_yet_nothing_is_appended_behind_it(
    stream: RedisStream, replica: RedisServer
) -> None:
    """Its writer tries again: told only that the checkpoint is its own by then, it would go on without any replica."""
    first, second = Checkpoint("0-1-1", 1, "a"), Checkpoint("0-1-2", 2, "b")
    await stream.append(bump(writer="w", checkpoint=first))
    replica.pause()
    again = bump(writer="w", expected=first, checkpoint=second)
    for _ in range(2):
        with pytest.raises(NotReplicatedError, match="only 0 of 1 replicas"):
            await stream.append(again)
    with pytest.raises(NotReplicatedError):
        await stream.append(bump(writer="w", expected=second, checkpoint=first))
    assert await stream.checkpoint("w") == second
    with pytest.raises(NotReplicatedError):
        await stream.append(bump())
    replica.resume()
    with pytest.raises(CheckpointRefusedError):
        await stream.append(again)
    assert len(await stream.read_after(0, count=10)) == 3, "a bump has no checkpoint, and is written"


async def test_nor_where_an_answer_was_lost(
    stream: RedisStream, replica: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = stream._evaluate

    async def cut_off(*arguments: Any) -> Any:
        await evaluate(*arguments)
        raise redis.exceptions.ConnectionError("reset by peer")

    mine = Checkpoint("0-1-1", 1, "a")
    replica.pause()
    with monkeypatch.context() as patched:
        patched.setattr(stream, "_evaluate", cut_off)
        with pytest.raises(UnavailableError):
            await stream.append(bump(writer="w", checkpoint=mine))
    with pytest.raises(NotReplicatedError):
        await stream.append(bump(writer="w", expected=mine, checkpoint=Checkpoint("0-1-2", 2, "b")))
    assert await stream.checkpoint("w") == mine
    replica.resume()


async def test_script_and_wait_go_down_one_connection_whatever_else_is_asked(
    stream: RedisStream, replica: RedisServer
) -> None:
    """A WAIT on another connection would wait for nothing, and count the replica that lacks the append."""
    await asyncio.gather(*(stream.append(bump()) for _ in range(20)))
    replica.pause()
    found = await asyncio.gather(*(stream.append(bump()) for _ in range(5)), return_exceptions=True)
    replica.resume()
    assert [type(each) for each in found] == [NotReplicatedError] * 5


async def test_a_refusal_is_told_and_a_script_that_was_forgotten_is_loaded_again(
    stream: RedisStream, cluster: RedisCluster
) -> None:
    await stream.append(bump(writer="w", checkpoint=Checkpoint("p", 0, "a")))
    with cluster.nodes[0].client() as client:
        client.script_flush()
    with pytest.raises(CheckpointRefusedError):
        await stream.append(bump(writer="w", checkpoint=Checkpoint("p", 0, "b")))
    await stream.append(bump())


async def test_after_a_failover_a_subscription_goes_to_the_node_that_has_the_slot_now(
    stream: RedisStream, cluster: RedisCluster, replica: RedisServer
) -> None:
    """A follower or mirror that waits for entries asks nothing else that would notice."""
    await stream.append(bump())
    with cluster.nodes[0].client() as client:
        # The driver knows only nodes that are named: a replica is as soon as it is heard to have data.
        until(lambda: len(client.execute_command("CLUSTER SLOTS")[0]) > 3, "the replica is named")
    reader = RedisStream.from_url(cluster.url)
    async with reader.subscribe():
        cluster.nodes[0].kill()
        with replica.client() as client:
            client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    async with asyncio.timeout(DEADLINE_S):
        is_subscribed = False
        while not is_subscribed:
            with suppress(BackendError):
                async with reader.subscribe():
                    is_subscribed = True
    await reader.aclose()


async def test_after_a_failover_appends_go_to_the_node_that_has_the_slot_now(
    stream: RedisStream, replica: RedisServer
) -> None:
    [before] = await stream.append(bump())
    with replica.client() as client:
        client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
        async with asyncio.timeout(DEADLINE_S):
            while client.info("replication")["role"] != "master":
                await asyncio.sleep(0.05)
            appended: list[int] = []
            while not appended:
                with suppress(BackendError):
                    appended = await stream.append(bump())
        assert client.xlen("{stampline}:stream") >= 2
    assert appended[0] > before
