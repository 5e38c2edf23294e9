"""A Cluster as its readers meet it: bursts, nodes that fail, slots that are moved."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions
from redis.crc import key_slot

from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster
from tests.contract.test_values import TOKEN, Values
from tests.eventually import DEADLINE_S, until_async
from versioning.backends.base import BackendError, Fill, LoginRefusedError, UnavailableError
from versioning.backends.redis_slots import Slots, node_meant
from versioning.backends.redis_values import AsyncRedisValues, RedisValues

PATIENT_MS = 5_000
BURST_MS = 200
"""What takes longer was refused, or slept: a burst is answered in far less."""
BURST, THREADS = 1_000, 200
FEW, ROUNDS = 16, 20
FLAVOURS = pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
KEY = "t:1"
SLOT = key_slot(KEY.encode())


@pytest.fixture(params=[RedisValues, AsyncRedisValues])
async def values(request: pytest.FixtureRequest, redis_cluster: RedisCluster) -> AsyncIterator[Values]:
    caller = Values(request.param.from_url(redis_cluster.url, timeout_ms=PATIENT_MS))
    yield caller
    await close(caller)


async def close(values: Values) -> None:
    await values("aclose" if isinstance(values.backend, AsyncRedisValues) else "close")


def id_of(node: RedisServer) -> str:
    with node.client(decode_responses=True) as client:
        return str(client.execute_command("CLUSTER", "MYID"))


def server_of(cluster: RedisCluster, slot: int) -> RedisServer:
    return cluster.nodes[slot * len(cluster.nodes) // (1 << 14)]


def keys_at(cluster: RedisCluster, node: RedisServer) -> Iterator[str]:
    """Endless."""
    keys = (f"t:{number}" for number in count())
    return (key for key in keys if server_of(cluster, key_slot(key.encode())) is node)


def errors(node: RedisServer, kind: str) -> int:
    with node.client() as client:
        return int(client.info("errorstats").get(f"errorstat_{kind}", {"count": 0})["count"])


def looks(node: RedisServer) -> int:
    """How often it was asked for the topology."""
    with node.client() as client:
        return int(client.info("commandstats").get("cmdstat_cluster|slots", {"calls": 0})["calls"])


def connections(node: RedisServer) -> int:
    """That it has had, this one included."""
    with node.client() as client:
        return int(client.info("stats")["total_connections_received"])


class Move:
    """A slot that is being moved from the node that serves it to another one."""

    def __init__(self, cluster: RedisCluster, slot: int) -> None:
        self.slot = slot
        self.source = server_of(cluster, slot)
        self.target = next(node for node in cluster.nodes if node is not self.source)
        self._all = cluster.nodes

    def begin(self) -> None:
        self._set(self.target, "IMPORTING", id_of(self.source))
        self._set(self.source, "MIGRATING", id_of(self.target))

    def carry(self, *keys: str) -> None:
        with self.source.client() as client:
            client.execute_command("MIGRATE", self.target.host, self.target.port, "", 0, 5_000, "KEYS", *keys)

    def stop(self) -> None:
        """Wherever it is by now."""
        for node in self._all:
            self._set(node, "STABLE")

    def end(self, at: RedisServer) -> None:
        for node in (at, *self._all):
            self._set(node, "NODE", id_of(at))
        with at.client() as client:
            # What the node before still says of itself, on its way between nodes by now, counts less than that.
            client.execute_command("CLUSTER", "BUMPEPOCH")

    def _set(self, node: RedisServer, *words: str) -> None:
        with node.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", self.slot, *words)


@pytest.fixture
def move(redis_cluster: RedisCluster) -> Iterator[Move]:
    move = Move(redis_cluster, SLOT)
    yield move
    move.target.flush()
    move.stop()
    move.end(move.source)


@pytest.mark.integration
async def test_a_burst_at_a_cluster_never_asked_before_is_answered_whole(redis_cluster: RedisCluster) -> None:
    values = AsyncRedisValues.from_url(redis_cluster.url, timeout_ms=BURST_MS)
    assert await asyncio.gather(*(values.get(f"t:{n}") for n in range(BURST))) == [None] * BURST
    assert sum(map(looks, redis_cluster.nodes)) <= len(redis_cluster.nodes)
    await values.aclose()


@pytest.mark.integration
def test_so_is_one_of_more_threads_than_there_are_connections(redis_cluster: RedisCluster) -> None:
    values = RedisValues.from_url(redis_cluster.url, timeout_ms=BURST_MS)
    all_there = threading.Barrier(THREADS)

    def read(number: int) -> list[Any]:
        all_there.wait(DEADLINE_S)
        return [values.get(f"t:{number}") for _ in range(5)]

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(read, range(THREADS))) == [[None] * 5] * THREADS
    values.close()


@pytest.mark.integration
def test_threads_that_begin_at_once_by_names_that_the_nodes_do_not_have_are_all_answered(
    redis_cluster: RedisCluster,
) -> None:
    """Each finds its way by itself, and drops the names: under another one's hands."""
    url = f"cluster://{','.join(f'localhost:{node.port}' for node in redis_cluster.nodes)}"
    for _ in range(ROUNDS):
        values, all_there = RedisValues.from_url(url, timeout_ms=PATIENT_MS), threading.Barrier(FEW)

        def read(number: int, values: RedisValues = values, all_there: threading.Barrier = all_there) -> bytes | None:
            all_there.wait(DEADLINE_S)
            return values.get(f"t:{number}")

        with ThreadPoolExecutor(FEW) as pool:
            assert list(pool.map(read, range(FEW))) == [None] * FEW
        values.close()


@pytest.mark.integration
async def test_many_keys_of_one_call_come_in_their_order_from_all_nodes(values: Values) -> None:
    keys = [f"t:{number}" for number in range(300)]
    assert await values("try_lease", dict.fromkeys(keys, b""), TOKEN, 60_000) == [True] * 300
    fills = [Fill(key, key.encode(), 60_000, TOKEN) for key in keys[::2]]
    assert await values("fill", fills) == [True] * 150
    assert await values("get_many", keys) == [key.encode() if n % 2 == 0 else None for n, key in enumerate(keys)]


@pytest.mark.integration
async def test_a_node_that_stands_still_is_felt_by_its_own_readers_only(redis_cluster: RedisCluster) -> None:
    values = AsyncRedisValues.from_url(redis_cluster.url)
    frozen, *others = redis_cluster.nodes
    other_key = next(keys_at(redis_cluster, others[0]))
    its_key = next(keys_at(redis_cluster, frozen))
    assert [await values.get(its_key), await values.get(other_key)] == [None, None]
    before = sum(map(looks, others))
    frozen.pause()
    try:
        reading = [asyncio.create_task(values.get(its_key)) for _ in range(20)]
        rounds = 0
        while not all(task.done() for task in reading):
            assert await values.get(other_key) is None
            rounds += 1
        assert rounds > 20
        outcomes = await asyncio.gather(*reading, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UnavailableError}
    finally:
        frozen.resume()
    assert sum(map(looks, others)) - before <= 2
    await values.aclose()


@pytest.mark.integration
async def test_a_slot_that_was_moved_is_found_at_its_new_node(values: Values, move: Move) -> None:
    assert await values("fill", [Fill(KEY, b"1", 60_000)]) == [True]
    move.begin()
    move.carry(KEY)
    move.end(move.target)
    before = errors(move.source, "MOVED")
    assert [await values("get", KEY) for _ in range(3)] == [b"1"] * 3
    assert await values("get_many", [KEY, KEY]) == [b"1"] * 2
    assert await values("try_lease", {KEY: b""}, TOKEN, 60_000) == [b"1"]
    assert errors(move.source, "MOVED") == before + 1


@pytest.mark.integration
@FLAVOURS
async def test_while_a_slot_is_moved_its_keys_are_read_where_they_are(
    redis_cluster: RedisCluster, move: Move, flavour: Any
) -> None:
    values = Values(flavour.from_url(redis_cluster.url, prefix=f"{{{KEY}}}", timeout_ms=PATIENT_MS))
    assert await values("fill", [Fill("t:stays", b"1", 60_000), Fill("t:goes", b"2", 60_000)]) == [True, True]
    move.begin()
    move.carry(f"{{{KEY}}}t:goes")
    for _ in range(2):
        assert [await values("get", "t:stays"), await values("get", "t:goes")] == [b"1", b"2"]
        assert await values("get_many", ["t:stays", "t:goes", "t:stays"]) == [b"1", b"2", b"1"]
    await close(values)


@pytest.mark.integration
@FLAVOURS
async def test_a_burst_of_such_reads_goes_down_the_connections_there_are(
    redis_cluster: RedisCluster, move: Move, flavour: Any
) -> None:
    values = Values(flavour.from_url(redis_cluster.url, prefix=f"{{{KEY}}}", timeout_ms=PATIENT_MS))
    keys = [f"t:{number}" for number in range(BURST)]
    assert await values("fill", [Fill("t:7", b"7", 60_000)]) == [True]
    move.begin()
    move.carry(f"{{{KEY}}}t:7")
    found = [b"7" if key == "t:7" else None for key in keys]
    assert await values("get_many", keys[:2]) == [None, None]
    before = connections(move.target)
    assert await values("get_many", keys) == found
    if flavour is AsyncRedisValues:
        assert await asyncio.gather(*(values("get", key) for key in keys)) == found
    assert connections(move.target) == before + 1
    await close(values)


@pytest.mark.integration
@FLAVOURS
async def test_a_node_that_refuses_us_shuts_nobody_out_of_the_others(redis_cluster: RedisCluster, flavour: Any) -> None:
    refusing, *others = redis_cluster.nodes
    its_keys, other_keys = keys_at(redis_cluster, refusing), keys_at(redis_cluster, others[0])
    for node in others:
        with node.client() as client:
            client.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all")
    try:
        url = redis_cluster.url.replace("://", "://reader:secret@")
        for _ in range(ROUNDS):  # each begins with another node
            values = Values(flavour.from_url(url, timeout_ms=PATIENT_MS))
            assert await values("get", next(other_keys)) is None
            with pytest.raises(LoginRefusedError, match=refusing.address):
                await values("get", next(its_keys))
            assert await values("get", next(other_keys)) is None
            await close(values)
    finally:
        for node in others:
            with node.client() as client:
                client.execute_command("ACL", "DELUSER", "reader")


@pytest.mark.integration
async def test_what_lies_at_two_nodes_meanwhile_is_an_error_at_once(
    values: Values, redis_cluster: RedisCluster, move: Move
) -> None:
    assert await values("fill", [Fill(KEY, b"1", 60_000)]) == [True]
    move.begin()
    tries = sum(errors(node, "TRYAGAIN") for node in redis_cluster.nodes)
    with pytest.raises(UnavailableError, match="during rehashing of slot"):  # its lease would lie at the other node
        await values("try_lease", {KEY: b""}, TOKEN, 60_000)
    assert sum(errors(node, "TRYAGAIN") for node in redis_cluster.nodes) == tries + 1


@pytest.mark.integration
@FLAVOURS
async def test_a_slot_that_nobody_served_is_found_when_somebody_does(tmp_path: Path, flavour: Any) -> None:
    cluster = RedisCluster(tmp_path, size=1)
    try:
        cluster.start()
        values = Values(flavour.from_url(cluster.url))
        with cluster.nodes[0].client() as client:
            client.execute_command("CLUSTER", "DELSLOTS", SLOT)
            with pytest.raises(UnavailableError, match=f"no node serves slot {SLOT}"):
                await values("get", KEY)
            client.execute_command("CLUSTER", "ADDSLOTS", SLOT)
        await until_async(lambda: answers(values, KEY), "its key is read")
        await close(values)
    finally:
        cluster.stop()


@pytest.mark.integration
@FLAVOURS
async def test_a_node_that_is_gone_is_replaced_by_the_one_promoted(tmp_path: Path, flavour: Any) -> None:
    cluster = RedisCluster(tmp_path, replicas_each=1)
    try:
        cluster.start()
        values = Values(flavour.from_url(f"cluster://{cluster.nodes[0].address}"))
        gone = cluster.nodes[0]
        key = next(keys_at(cluster, gone))
        await until_async(lambda: answers(values, key), "its key is read")
        gone.kill()
        await until_async(lambda: answers(values, key), "its key is read at the node promoted")
        await close(values)
    finally:
        cluster.stop()


async def answers(values: Values, key: str) -> bool:
    try:
        return await values("get", key) is None
    except BackendError:
        return False


async def test_who_waits_for_the_topology_of_a_cache_that_is_closed_is_told() -> None:
    asked, done = asyncio.Event(), asyncio.Event()

    async def say_nothing(_: Any, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    values = AsyncRedisValues.from_url(f"cluster://127.0.0.1:{port}", timeout_ms=PATIENT_MS)
    reading = asyncio.create_task(values.get(KEY))
    await asked.wait()
    await values.aclose()
    with pytest.raises(UnavailableError, match="closed"):
        await reading
    done.set()
    server.close()


@pytest.mark.integration
@FLAVOURS
async def test_a_redis_that_is_no_cluster_says_so_and_is_asked_by_all_together(flavour: Any, new_redis: Any) -> None:
    server = new_redis()
    values = Values(flavour.from_url(f"cluster://127.0.0.1:{server.port}", timeout_ms=PATIENT_MS))
    found = await asyncio.gather(*(values("get", KEY) for _ in range(40)), return_exceptions=True)
    assert {type(each) for each in found} == {BackendError}
    assert "cluster support disabled" in str(found[0])
    await close(values)


def test_a_node_that_has_no_address_of_its_own_is_the_one_asked() -> None:
    slots = Slots([[0, 16_383, [b"", 7001, b"id", []]]], ("b", 7000))
    assert slots.node_of(KEY) == ("b", 7001)


def test_so_is_one_without_a_hostname_where_nodes_are_known_by_that() -> None:
    slots = Slots([[0, 16_383, [b"?", 7001, b"id", {b"ip": b"10.0.0.1"}]]], ("b", 7000))
    assert slots.node_of(KEY) == ("10.0.0.1", 7001)
    moved = redis.exceptions.MovedError(f"{SLOT} ?:7002")
    with pytest.raises(redis.exceptions.MovedError):
        node_meant(slots, moved, ("b", 7000))
    assert slots.node_of(KEY) == ("10.0.0.1", 7001)


def test_a_slot_that_nobody_serves_is_named() -> None:
    slots = Slots([[SLOT + 1, 16_383, [b"b", 7001, b"id"]]], ("b", 7000))
    with pytest.raises(redis.exceptions.SlotNotCoveredError, match=str(SLOT)):
        slots.node_of(KEY)
