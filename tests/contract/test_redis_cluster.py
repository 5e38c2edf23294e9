"""Commands to a Cluster, whose driver refuses all who come while its connections are in use."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis.exceptions

from deploy.simulation.redis_sets import RedisCluster
from versioning.backends.redis_cluster import ClusterClient
from versioning.backends.redis_turns import TURNS_MAX, Turns
from versioning.backends.redis_values import AsyncRedisValues, RedisValues

IMPATIENT_MS, PATIENT_MS = 20, 20_000
MANY = 300
"""Readers, more than the driver has connections for a node."""


class Driver:
    """Of a cluster that is never asked: counts how often its topology is read."""

    def __init__(self) -> None:
        self.learned = 0

    async def aclose(self) -> None:
        pass

    async def initialize(self) -> None:
        self.learned += 1


async def answer() -> str:
    return "answer"


@pytest.mark.integration
async def test_a_burst_of_asyncio_readers_waits_for_connections(redis_cluster: RedisCluster) -> None:
    values = AsyncRedisValues.from_url(redis_cluster.url, timeout_ms=PATIENT_MS)
    assert await asyncio.gather(*(values.get("t:1") for _ in range(MANY))) == [None] * MANY
    await values.aclose()


@pytest.mark.integration
def test_more_threads_than_connections_wait_for_one(redis_cluster: RedisCluster) -> None:
    values = RedisValues.from_url(redis_cluster.url, timeout_ms=PATIENT_MS)
    assert values.get("t:1") is None
    all_there = threading.Barrier(MANY)

    def read(_: int) -> list[Any]:
        all_there.wait()
        return [values.get("t:1") for _ in range(5)]

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(read, range(MANY))) == [[None] * 5] * MANY
    values.close()


async def test_who_has_no_turn_in_time_is_refused_and_the_topology_stays_known() -> None:
    driver, answered = Driver(), asyncio.Event()
    cluster = ClusterClient(driver, IMPATIENT_MS)
    under_way = [asyncio.create_task(cluster.ask(answered.wait)) for _ in range(TURNS_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(redis.exceptions.MaxConnectionsError):
        await cluster.ask(answer)
    answered.set()
    assert await asyncio.gather(*under_way) == [True] * TURNS_MAX
    assert await cluster.ask(answer) == "answer"
    assert driver.learned == 1


async def test_a_driver_that_has_no_connection_free_has_not_forgotten_its_topology() -> None:
    async def refuse() -> None:
        raise redis.exceptions.MaxConnectionsError

    driver = Driver()
    cluster = ClusterClient(driver, PATIENT_MS)
    with pytest.raises(redis.exceptions.MaxConnectionsError):
        await cluster.ask(refuse)
    assert await cluster.ask(answer) == "answer"
    assert driver.learned == 1


@pytest.fixture
def taken() -> Iterator[Turns]:
    """Turns of which other threads hold all."""
    turns, done = Turns(IMPATIENT_MS), threading.Event()
    all_held = threading.Barrier(TURNS_MAX + 1)

    def hold(_: int) -> None:
        with turns:
            all_held.wait()
            done.wait()

    with ThreadPoolExecutor(TURNS_MAX) as pool:
        holding = pool.map(hold, range(TURNS_MAX))
        all_held.wait()
        yield turns
        done.set()
        list(holding)


def test_a_thread_that_has_no_turn_in_time_is_refused(taken: Turns) -> None:
    with pytest.raises(redis.exceptions.MaxConnectionsError), taken:
        pass


def test_a_child_has_the_turns_that_were_held_when_it_was_forked(taken: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        with taken:
            pass


def test_a_thread_that_was_interrupted_has_no_more_than_one_turn() -> None:
    turns = Turns(IMPATIENT_MS)
    for _ in range(TURNS_MAX + 1):
        turns.__enter__()  # and never gives it back
