"""The driver's client of a Cluster, for streams: when it reads the topology."""

import pytest
import redis.exceptions

from versioning.backends.redis_cluster import ClusterClient


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


async def test_a_driver_that_has_no_connection_free_has_not_forgotten_its_topology() -> None:
    async def refuse() -> None:
        raise redis.exceptions.MaxConnectionsError

    driver = Driver()
    cluster = ClusterClient(driver)
    with pytest.raises(redis.exceptions.MaxConnectionsError):
        await cluster.ask(refuse)
    assert await cluster.ask(answer) == "answer"
    assert driver.learned == 1
