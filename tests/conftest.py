"""Real servers for the tests: started once per worker, clean for every test, gone at the end whatever happens.

A server fixture hands out a server that runs and is empty (Redis) or up to date (the replica), whatever the test before
did to it. Databases are never emptied: each test has one of its own (`database`). A server that is missing on this
machine skips the test locally and fails it in CI.
"""

import gc
import itertools
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from xdist.scheduler import LoadGroupScheduling

from deploy.simulation import mariadb as mariadb_server
from deploy.simulation import mysql56 as mysql56_server
from deploy.simulation import redis_server
from deploy.simulation.certificates import Authority
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster, RedisSentinel
from deploy.simulation.relay import Relay

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent / "integration" in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """One worker gets the tests of the browser: they share processes. (xdist's marks do nothing under pytest 9.2.)"""
    scheduler = LoadGroupScheduling(config, log)
    by_group = scheduler._split_scope
    scheduler._split_scope = lambda nodeid: "browser" if nodeid.startswith("tests/browser/") else by_group(nodeid)
    return scheduler


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command run inside a test sends the logs to a stderr that ends with it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def require(missing: str | None) -> None:
    if missing is None:
        return
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def _servers() -> Iterator[ProcessGroup]:
    with ProcessGroup() as group:
        yield group


@pytest.fixture(scope="session")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def _mariadb_a(_servers: ProcessGroup, _folder: Path) -> MariaDb:
    require(mariadb_server.missing())
    server = _servers.add(MariaDb("mariadb-a", _folder / "mariadb-a", server_id=1))
    server.start()
    server.create_users()
    return server


@pytest.fixture
def mariadb_a(_mariadb_a: MariaDb) -> MariaDb:
    """The primary of datacenter A: binlog ROW, full images, full metadata, GTID."""
    _mariadb_a.ensure_running()
    return _mariadb_a


@pytest.fixture(scope="session")
def _replica_b(_servers: ProcessGroup, _folder: Path, _mariadb_a: MariaDb) -> MariaDb:
    server = _servers.add(MariaDb("replica-b", _folder / "replica-b", server_id=2, read_only="ON"))
    server.start()
    server.create_users()
    server.replicate_from(_mariadb_a.port)
    return server


@pytest.fixture
def replica_b(_replica_b: MariaDb, mariadb_a: MariaDb) -> MariaDb:
    """The replica of `mariadb_a` in datacenter B, caught up when the test starts."""
    _replica_b.ensure_running()
    _replica_b.replicate_from(mariadb_a.port)
    _replica_b.catch_up_with(mariadb_a)
    return _replica_b


@pytest.fixture
def database(mariadb_a: MariaDb) -> str:
    """The name of a database on `mariadb_a` that only this test uses, with an empty tracker_web."""
    name = f"shop_{next(_numbers)}"
    mariadb_a.create_database(name)
    return name


@pytest.fixture
def new_mariadb(tmp_path: Path) -> Iterator[Callable[..., MariaDb]]:
    """A started MariaDB with these options and all accounts; it ends with the test."""
    require(mariadb_server.missing())
    with ProcessGroup() as group:

        def start(**options: Any) -> MariaDb:
            number = next(_numbers)
            name = f"mariadb-{number}"
            server = MariaDb(name, tmp_path / name, **{"server_id": 100 + number, **options})
            group.add(server).start()
            server.create_users()
            return server

        yield start


@pytest.fixture(scope="session")
def _redis_a(_servers: ProcessGroup, _folder: Path) -> RedisServer:
    require(redis_server.missing())
    return _servers.add(RedisServer("redis-a", _folder / "redis-a"))


@pytest.fixture(scope="session")
def _redis_b(_servers: ProcessGroup, _folder: Path) -> RedisServer:
    require(redis_server.missing())
    return _servers.add(RedisServer("redis-b", _folder / "redis-b"))


@pytest.fixture
def redis_a(_redis_a: RedisServer) -> RedisServer:
    """The Redis of datacenter A, empty."""
    _redis_a.ensure_running()
    _redis_a.flush()
    return _redis_a


@pytest.fixture
def redis_b(_redis_b: RedisServer) -> RedisServer:
    """The Redis of datacenter B, empty."""
    _redis_b.ensure_running()
    _redis_b.flush()
    return _redis_b


@pytest.fixture
def new_redis(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """A started Redis with these options; it ends with the test."""
    require(redis_server.missing())
    with ProcessGroup() as group:

        def start(**options: Any) -> RedisServer:
            name = f"redis-{next(_numbers)}"
            server = group.add(RedisServer(name, tmp_path / name, **options))
            server.start()
            return server

        yield start


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[RedisSentinel]:
    """One Redis, its replica and three Sentinels that watch it."""
    require(redis_server.missing())
    with ProcessGroup() as group:
        servers = group.add(RedisSentinel(tmp_path / "sentinel"))
        servers.start()
        yield servers


@pytest.fixture
def tls_leftovers() -> Iterator[None]:
    """For tests with refused TLS connections, beside a filter: asyncio leaves them to the collector, which warns."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def _redis_cluster(_servers: ProcessGroup, _folder: Path) -> RedisCluster:
    require(redis_server.missing())
    cluster = _servers.add(RedisCluster(_folder / "cluster"))
    cluster.start()
    return cluster


@pytest.fixture
def redis_cluster(_redis_cluster: RedisCluster) -> RedisCluster:
    """Three Redis that share the slots, empty."""
    for node in _redis_cluster.nodes:
        node.flush()
    return _redis_cluster


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A CA of the module's own, which issues certificates on demand."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A WAN without delay and without links: `add_link(name, target_port)` returns the port to connect to."""
    with Relay() as wan:
        yield wan


@pytest.fixture(scope="session")
def _mysql56(_servers: ProcessGroup, _folder: Path) -> MySql56:
    require(mysql56_server.missing())
    server = _servers.add(MySql56("mysql56", _folder / "mysql56"))
    server.start()
    server.create_users()
    return server


@pytest.fixture
def mysql56(_mysql56: MySql56) -> MySql56:
    """A real MySQL 5.6 with GTID; make a database of your own on it."""
    _mysql56.ensure_running()
    return _mysql56
