"""Commands that go past redis-py's client: a reply never reaches another reader, whatever happens to the connection."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.simulation.redis_server import RedisServer
from deploy.simulation.relay import Relay
from tests.contract.test_values import Values
from tests.eventually import DEADLINE_S, now_ms, until_async
from versioning.backends import redis_lanes, redis_pipeline, redis_values
from versioning.backends.base import Append, BackendError, Fill, UnavailableError
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import AsyncRedisValues, RedisValues
from versioning.entries import Heartbeat, NewEntry

pytestmark = pytest.mark.integration

NUMBERS = range(50)
IMPATIENT_MS, PATIENT_MS = 60, 10_000


@pytest.fixture
def server(redis_b: RedisServer) -> RedisServer:
    """Holds the number of each key as its value, and one key of a foreign kind."""
    with redis_b.client() as client:
        client.mset({f"t:{number}": number for number in NUMBERS})
        client.hset("t:hash", "field", 1)
    return redis_b


@pytest.fixture(params=[RedisValues, AsyncRedisValues])
async def values(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Values]:
    flavour = request.param
    caller = Values(flavour.from_url(server.url, timeout_ms=PATIENT_MS))
    yield caller
    await caller("aclose" if flavour is AsyncRedisValues else "close")


class Moving:
    """An address behind which another server takes over; links to the first stay open."""

    def __init__(self, relay: Relay, first: RedisServer, second: RedisServer) -> None:
        self.first = first
        self._second = second
        self._link = relay
        self.url = f"redis://127.0.0.1:{relay.add_link('redis', first.port)}/0"

    def demote(self, to: RedisServer | None = None) -> None:
        with self.first.client() as client:
            client.replicaof("127.0.0.1", self._second.port)
        self._move(to or self._second)

    def cut_off(self) -> None:
        """From replicas that it must have to take writes; another one is promoted."""
        with self.first.client() as client:
            client.config_set("min-replicas-to-write", 1)
        self._move(self._second)

    def _move(self, to: RedisServer) -> None:
        self._link._wan.links["redis"].target = ("127.0.0.1", to.port)


@pytest.fixture
def moving(server: RedisServer, new_redis: Any, relay: Relay) -> Iterator[Moving]:
    yield Moving(relay, server, new_redis())
    with server.client() as client:
        client.replicaof("NO", "ONE")
        client.config_set("min-replicas-to-write", 0)


def connections(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_connections_received"])


@pytest.fixture
async def pipelined(server: RedisServer) -> AsyncIterator[AsyncRedisValues]:
    values = AsyncRedisValues.from_url(server.url, timeout_ms=PATIENT_MS)
    yield values
    await values.aclose()


def key(number: int) -> str:
    return f"t:{number}"


def text(number: int) -> bytes:
    return str(number).encode()


def kill_connections(server: RedisServer) -> None:
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def gets(server: RedisServer) -> int:
    with server.client() as client:
        stats: dict[str, Any] = client.info("commandstats")
    return int(stats.get("cmdstat_get", {"calls": 0})["calls"])


def readers(server: RedisServer) -> int:
    with server.client() as client:
        return sum(found["cmd"] in {"get", "mget"} for found in client.client_list())


async def test_a_connection_that_was_closed_while_idle_costs_no_error(values: Values, server: RedisServer) -> None:
    assert await values("get", key(1)) == text(1)
    kill_connections(server)
    await until_async(lambda: readers(server) == 0, "the connections are closed")
    await asyncio.sleep(0)  # a turn, in which the loop hears of it
    assert await values("get", key(2)) == text(2)


async def test_an_error_for_one_key_leaves_the_connection_to_the_others(values: Values, server: RedisServer) -> None:
    assert await values("get", key(1)) == text(1)
    with pytest.raises(BackendError, match="WRONGTYPE"):
        await values("get", "t:hash")
    assert await values("get", key(2)) == text(2)
    assert readers(server) == 1


async def test_an_error_among_many_replies_is_raised_and_the_others_are_read(values: Values) -> None:
    with pytest.raises(BackendError, match="WRONGTYPE"):
        await values("try_lease", {"t:hash": b"", key(1): text(1)}, "token", 60_000)
    assert await values("get", key(2)) == text(2)


LOST = pytest.mark.parametrize(
    ("lose", "refusal"), [(Moving.demote, "read only replica"), (Moving.cut_off, "NOREPLICAS")], ids=["demoted", "cut"]
)


@LOST
@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_redis_that_leads_no_more_is_left_for_the_one_at_its_address_now(
    flavour: Any, moving: Moving, lose: Callable[[Moving], None], refusal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lanes, "STAY_S", 0.0)
    monkeypatch.setattr(redis_pipeline, "STAY_S", 0.0)
    values = Values(flavour.from_url(moving.url, timeout_ms=PATIENT_MS))
    fill = [Fill("t:new", b"value", 60_000)]
    assert await values("fill", fill) == [True]
    lose(moving)
    with pytest.raises(UnavailableError, match=refusal):
        await values("fill", fill)
    assert await values("fill", fill) == [True]
    await values("aclose" if flavour is AsyncRedisValues else "close")


@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_where_nobody_took_over_connections_are_not_made_anew_all_the_time(flavour: Any, moving: Moving) -> None:
    values = Values(flavour.from_url(moving.url, timeout_ms=PATIENT_MS))
    assert await values("get", key(1)) == text(1)
    moving.demote(to=moving.first)
    before = connections(moving.first)
    for _ in range(20):
        with pytest.raises(UnavailableError, match="read only replica"):
            await values("fill", [Fill("t:new", b"value", 60_000)])
    assert connections(moving.first) - before <= 3  # one of them, and those of this test
    await values("aclose" if flavour is AsyncRedisValues else "close")


@LOST
async def test_a_writer_of_the_stream_leaves_a_redis_that_leads_no_more_too(
    moving: Moving, lose: Callable[[Moving], None], refusal: str
) -> None:
    stream = RedisStream.from_url(moving.url)
    batch = Append((NewEntry("0" * 16, Heartbeat(now_ms())),), now_ms())
    await stream.append(batch)
    lose(moving)
    with pytest.raises(UnavailableError, match=refusal):
        await stream.append(batch)
    assert len(await stream.append(batch)) == 1
    await stream.aclose()


@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_reply_that_came_too_late_is_nobodys(flavour: Any, server: RedisServer) -> None:
    values = Values(flavour.from_url(server.url, timeout_ms=IMPATIENT_MS))
    server.pause()
    try:
        with pytest.raises(UnavailableError):
            await values("get", key(1))
    finally:
        server.resume()
    for number in NUMBERS:
        assert await patiently(values, key(number)) == text(number)
    await values("aclose" if flavour is AsyncRedisValues else "close")


async def patiently(values: Values, name: str) -> Any:
    """Read until Redis has caught up."""
    return await until_async(lambda: values("get", name), "Redis answers", despite=(UnavailableError,))


def test_threads_get_their_own_replies_and_leave_connections_for_the_writes(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lanes, "IDLE_MAX", 2)
    values = RedisValues.from_url(server.url, timeout_ms=PATIENT_MS)
    values._client.connection_pool.max_connections = 8
    with ThreadPoolExecutor(8) as pool:
        numbers = [number % len(NUMBERS) for number in range(2_000)]
        assert list(pool.map(values.get, map(key, numbers))) == [text(number) for number in numbers]
        seen = {key(1): text(1)}
        assert list(pool.map(lambda n: values.try_lease(seen, f"{n}", 60_000), range(5))).count([True]) == 1
    values.close()
    assert readers(server) == 0


def test_more_threads_than_connections_wait_for_one_as_long_as_answers_come(server: RedisServer) -> None:
    values = RedisValues.from_url(server.url)
    many = 200
    all_there = threading.Barrier(many)

    def read(number: int) -> bytes | None:
        all_there.wait(DEADLINE_S)
        return values.get(key(number % len(NUMBERS)))

    with ThreadPoolExecutor(many) as pool:
        assert list(pool.map(read, range(many))) == [text(number % len(NUMBERS)) for number in range(many)]
    values.close()


async def test_the_reads_of_one_turn_share_a_connection_and_those_of_one_key_a_command(
    pipelined: AsyncRedisValues, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_pipeline, "UNDER_WAY_MAX", 7)
    before = gets(server)
    numbers = [*NUMBERS, *NUMBERS]
    assert await asyncio.gather(*(pipelined.get(key(number)) for number in numbers)) == [text(n) for n in numbers]
    assert gets(server) - before == len(NUMBERS)
    assert readers(server) == 1


async def test_a_reader_that_is_cancelled_takes_nothing_from_the_others(
    pipelined: AsyncRedisValues, server: RedisServer
) -> None:
    async def read(number: int) -> bytes | None:
        return await pipelined.get(key(number % 5))

    await read(0)
    reading = [asyncio.create_task(read(number)) for number in NUMBERS]
    await asyncio.sleep(0)
    for task in reading[:3] + reading[20:30]:
        task.cancel()
    await asyncio.sleep(0)
    reading[35].cancel()
    outcomes = await asyncio.gather(*reading, return_exceptions=True)
    cancelled = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, asyncio.CancelledError)]
    assert cancelled == [0, 1, 2, *range(20, 30), 35]
    assert all(outcomes[number] == text(number % 5) for number in NUMBERS if number not in cancelled)


async def test_everyone_who_waits_on_a_lost_connection_is_told(
    pipelined: AsyncRedisValues, server: RedisServer
) -> None:
    await pipelined.get(key(1))
    server.pause()
    reading = asyncio.gather(*(pipelined.get(key(number)) for number in NUMBERS), return_exceptions=True)
    await asyncio.sleep(0)
    server.kill()
    assert {type(outcome) for outcome in await reading} == {UnavailableError}


async def test_whatever_goes_wrong_on_the_way_to_a_connection_nobody_is_left_waiting(
    pipelined: AsyncRedisValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ValueError("a defect of the driver")

    with monkeypatch.context() as patched:
        patched.setattr(pipelined._client.connection_pool, "get_connection", broken)
        with pytest.raises(BackendError, match="a defect of the driver"):
            await asyncio.wait_for(pipelined.get(key(1)), 20)
    assert await pipelined.get(key(1)) == text(1)


async def test_closing_tells_those_who_wait(server: RedisServer) -> None:
    values = AsyncRedisValues.from_url(server.url, timeout_ms=PATIENT_MS)
    await values.get(key(1))
    server.pause()
    try:
        sent = asyncio.create_task(values.get(key(1)))
        await asyncio.sleep(0)
        unsent = asyncio.create_task(values.get(key(2)))
        await asyncio.sleep(0)
        await values.aclose()
        for waiting in (sent, unsent):
            with pytest.raises(UnavailableError, match="closed"):
                await waiting
    finally:
        server.resume()


async def test_a_value_that_takes_longer_than_the_timeout_arrives_and_takes_no_connection_from_others(
    server: RedisServer, relay: Relay
) -> None:
    large = b"x" * 900_000
    with server.client() as client:
        client.set("t:large", large)
    port = relay.add_link("redis", server.port)
    values = AsyncRedisValues.from_url(f"redis://127.0.0.1:{port}", timeout_ms=200)
    assert await values.get(key(1)) == text(1)
    relay.slow(1_500_000)
    before = connections(server)
    found = await asyncio.gather(values.get("t:large"), *(values.get(key(number)) for number in NUMBERS))
    assert found == [large, *map(text, NUMBERS)]
    assert connections(server) - before <= 1  # that of this test
    await values.aclose()


async def test_many_keys_are_asked_for_in_several_commands_and_answered_in_their_order(
    values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_values, "KEYS_AT_ONCE", 7)
    assert await values("get_many", [*map(key, NUMBERS), "t:none"]) == [*map(text, NUMBERS), None]


@pytest.mark.parametrize("sizes", [[1], [10] * 20, [1, 100, 1, 100, 100], [30, 30, 30, 30], [10] * 7])
def test_what_is_sent_at_once_is_bounded(sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's timeout is for all of one write: more than a link carries meanwhile would never be stored."""
    monkeypatch.setattr(redis_lanes, "PART_BYTES", 64)
    monkeypatch.setattr(redis_lanes, "PART_COMMANDS", 3)
    commands = [b"%d" % (place % 10) * size for place, size in enumerate(sizes)]
    parts = [list(part) for part in redis_lanes._parts(commands)]
    assert [command for part in parts for command in part] == commands
    assert all(len(part) <= 3 and (len(part) == 1 or sum(map(len, part)) <= 64) for part in parts)


async def test_a_value_that_takes_ever_longer_is_given_up(
    server: RedisServer, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_pipeline, "IN_MOTION_MAX", 3)
    with server.client() as client:
        client.set("t:large", b"x" * 900_000)
    port = relay.add_link("redis", server.port)
    values = AsyncRedisValues.from_url(f"redis://127.0.0.1:{port}", timeout_ms=100)
    assert await values.get(key(1)) == text(1)
    relay.slow(150_000)
    began_s = time.monotonic()
    with pytest.raises(UnavailableError, match="no reply in time"):
        await values.get("t:large")
    assert time.monotonic() - began_s < 2
    await values.aclose()
