"""What every value backend promises: one body over the in-memory backends and real Redis, for threads and asyncio."""

import inspect
import itertools
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest
from redis.connection import Connection

from tests.eventually import now_ms
from versioning import AsyncVersionedCache, VersionedCache
from versioning import stamp as stamps
from versioning.backends.base import AuthenticationError, Fill, UnavailableError
from versioning.backends.memory import AsyncMemoryValues, MemoryValues
from versioning.backends.redis_values import AsyncRedisValues, RedisValues
from versioning.header import SIZE, ValueHeader, pack

TOKEN, OTHER = "token", "other"
NOW_MS = 1_732_370_000_000
"""More than 32 bits have."""


class Values:
    """Calls either flavour of a backend."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend

    async def __call__(self, name: str, *arguments: Any) -> Any:
        result = getattr(self.backend, name)(*arguments)
        return await result if inspect.isawaitable(result) else result


def real(name: str) -> Any:
    return pytest.param(name, marks=pytest.mark.integration)


REAL = ("redis", "redis-async", "cluster", "cluster-async")


@pytest.fixture(params=["memory", "memory-async", *map(real, REAL)])
async def values(request: pytest.FixtureRequest) -> AsyncIterator[Values]:
    memory = MemoryValues(now_ms)
    kind = request.param
    if kind.startswith("memory"):
        yield Values(AsyncMemoryValues(memory) if kind.endswith("async") else memory)
        return
    server = request.getfixturevalue("redis_cluster" if kind.startswith("cluster") else "redis_b")
    flavour = AsyncRedisValues if kind.endswith("async") else RedisValues
    caller = Values(flavour.from_url(server.url, timeout_ms=2_000))
    yield caller
    await caller("aclose" if kind.endswith("async") else "close")


def value(ms: int, payload: bytes = b"1", *, fill_ms: int | None = None) -> bytes:
    return pack(ValueHeader(stamps.make(ms), ms if fill_ms is None else fill_ms), payload)


async def test_filled_values_are_read_one_by_one_and_together(values: Values) -> None:
    assert await values("fill", [Fill("t:1", value(5), 60_000), Fill("t:2", value(6), 60_000)]) == [True, True]
    assert await values("get", "t:1") == value(5)
    assert await values("get_many", ["t:2", "t:0", "t:1"]) == [value(6), None, value(5)]


NONE = b""


async def test_a_lease_is_granted_to_one_until_it_is_given_back(values: Values) -> None:
    assert await values("try_lease", {"t:1": NONE}, TOKEN, 60_000) == [True]
    assert await values("try_lease", {"t:1": NONE, "t:2": NONE}, OTHER, 60_000) == [False, True]
    await values("release", ["t:1"], OTHER)
    assert await values("try_lease", {"t:1": NONE}, OTHER, 60_000) == [False]
    await values("release", ["t:1"], TOKEN)
    assert await values("try_lease", {"t:1": NONE}, OTHER, 60_000) == [True]


async def test_who_asks_again_for_a_lease_that_is_its_own_has_it(values: Values) -> None:
    for _ in range(2):
        assert await values("try_lease", {"t:1": NONE}, TOKEN, 60_000) == [True]


async def test_a_value_stored_meanwhile_is_returned_and_no_lease_taken(values: Values) -> None:
    await values("fill", [Fill("t:1", value(5), 60_000), Fill("t:2", b"foreign", 60_000)])
    seen = {"t:1": NONE, "t:2": NONE}
    assert await values("try_lease", seen, TOKEN, 60_000) == [value(5), b"foreign"]
    seen = {"t:1": value(4)[:SIZE], "t:2": b"other"}
    assert await values("try_lease", seen, TOKEN, 60_000) == [value(5), b"foreign"]
    seen = {"t:1": value(5)[:SIZE], "t:2": b"foreign"}
    assert await values("try_lease", seen, OTHER, 60_000) == [True, True]


@pytest.mark.integration
@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_redis_that_has_forgotten_the_scripts_is_told_them_again(redis_b, flavour) -> None:
    values = Values(flavour.from_url(redis_b.url, timeout_ms=2_000))
    for _ in range(2):
        redis_b.flush()
        assert await values("try_lease", {"t:1": NONE, "t:2": NONE}, TOKEN, 60_000) == [True, True]
        assert await values("fill", [Fill("t:1", value(5), 60_000, TOKEN)]) == [True]
        await values("release", ["t:2"], TOKEN)
        assert await values("try_lease", {"t:1": value(5)[:SIZE], "t:2": NONE}, OTHER, 60_000) == [True, True]
    await values("aclose" if flavour is AsyncRedisValues else "close")


class Page(str, Enum):  # noqa: UP042 - as applications have them; a StrEnum is formatted as its text
    FRONT = "t:1"


async def test_a_key_that_is_a_member_of_an_enum_has_the_lease_of_its_text(values: Values) -> None:
    assert await values("try_lease", {Page.FRONT: NONE}, TOKEN, 60_000) == [True]
    assert await values("try_lease", {"t:1": NONE}, OTHER, 60_000) == [False]
    assert await values("fill", [Fill(Page.FRONT, value(5), 60_000, TOKEN)]) == [True]
    assert await values("try_lease", {"t:1": value(5)[:SIZE]}, OTHER, 60_000) == [True]


async def test_a_fill_gives_its_own_lease_back_and_no_other(values: Values) -> None:
    await values("try_lease", {"t:1": NONE}, TOKEN, 60_000)
    await values("fill", [Fill("t:1", value(5), 60_000, OTHER)])
    seen = {"t:1": value(5)[:SIZE]}
    assert await values("try_lease", seen, OTHER, 60_000) == [False]
    await values("fill", [Fill("t:1", value(5), 60_000, TOKEN)])
    assert await values("try_lease", seen, OTHER, 60_000) == [True]


async def test_an_overtaken_loader_does_not_replace_the_newer_value(values: Values) -> None:
    await values("try_lease", {"t:1": NONE}, TOKEN, 60_000)
    await values("fill", [Fill("t:1", value(1_000_000), 60_000)])
    assert await values("fill", [Fill("t:1", value(999_999), 60_000, TOKEN)]) == [False]
    assert await values("get", "t:1") == value(1_000_000)
    assert await values("try_lease", {"t:1": value(1_000_000)[:SIZE]}, OTHER, 60_000) == [True]


async def test_a_value_from_a_far_future_does_not_keep_refills_out(values: Values) -> None:
    await values("fill", [Fill("t:1", value(1_000_000), 60_000)])
    assert await values("fill", [Fill("t:1", value(900_000), 60_000)]) == [True]


async def test_of_two_loads_under_one_stamp_the_one_that_began_later_stays(values: Values) -> None:
    """A refresh, and a load that was under way: no heartbeat has come between."""
    earlier, later = (value(5, fill_ms=ms) for ms in (NOW_MS, NOW_MS + 1))
    await values("fill", [Fill("t:1", later, 60_000)])
    assert await values("fill", [Fill("t:1", earlier, 60_000)]) == [False]
    assert await values("get", "t:1") == later
    assert await values("fill", [Fill("t:1", later, 60_000)]) == [True]


async def test_a_clock_far_ahead_does_not_keep_refills_out(values: Values) -> None:
    await values("fill", [Fill("t:1", value(5, fill_ms=NOW_MS + 60_001), 60_000)])
    assert await values("fill", [Fill("t:1", value(5, fill_ms=NOW_MS), 60_000)]) == [True]


async def test_a_foreign_value_is_replaced(values: Values) -> None:
    await values("fill", [Fill("t:1", b"\x80\x04foreign pickle", 60_000)])
    assert await values("fill", [Fill("t:1", value(1), 60_000)]) == [True]
    assert await values("get", "t:1") == value(1)


@pytest.mark.integration
@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_hash_of_someone_else_is_replaced_too(redis_b, flavour) -> None:
    with redis_b.client() as client:
        client.hset("t:1", "field", 1)
    values = Values(flavour.from_url(redis_b.url, timeout_ms=2_000))
    assert await values("fill", [Fill("t:1", value(1), 60_000)]) == [True]
    assert await values("get", "t:1") == value(1)
    await values("aclose" if flavour is AsyncRedisValues else "close")


@pytest.mark.integration
@pytest.mark.parametrize("prefix", ["app:", "{app}:", "app{1}:", "app{"])
@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_prefix_with_a_hash_tag_keeps_leases_at_their_values(redis_cluster, flavour, prefix) -> None:
    values = Values(flavour.from_url(redis_cluster.url, prefix=prefix, timeout_ms=2_000))
    assert await values("try_lease", {"t:1": NONE, "t:2": NONE}, TOKEN, 60_000) == [True, True]
    assert await values("fill", [Fill("t:1", value(1), 60_000, TOKEN)]) == [True]
    assert await values("try_lease", {"t:1": value(1)[:SIZE], "t:2": NONE}, OTHER, 60_000) == [True, False]
    await values("aclose" if flavour is AsyncRedisValues else "close")


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["redis", "cluster"])
@pytest.mark.parametrize("flavour", [VersionedCache, AsyncVersionedCache])
async def test_readers_behind_a_wrong_password_try_it_once_and_a_log_says_so(new_redis, caplog, flavour, kind) -> None:
    server = new_redis(requirepass="right")
    values_url = f"{kind}://:wrong@127.0.0.1:{server.port}"
    cache = Values(flavour.from_url("redis://127.0.0.1:1", values_url, values_timeout_ms=2_000, local_ttl_ms=0))
    for number in range(5):
        assert await cache("get", f"t:{number}", lambda number=number: number) == number
    await cache("aclose" if flavour is AsyncVersionedCache else "close")
    with server.client() as client:
        assert client.info("errorstats")["errorstat_WRONGPASS"]["count"] <= (2 if kind == "cluster" else 1)
    [told] = [record.getMessage() for record in caplog.records if record.name == "stampline.values"]
    assert "invalid username-password pair" in told
    assert "check user, password and ACL" in told


@pytest.mark.integration
@pytest.mark.parametrize("flavour", [RedisValues, AsyncRedisValues])
async def test_a_stopped_redis_and_a_wrong_password_have_errors_of_their_own(new_redis, flavour) -> None:
    server = new_redis(requirepass="right")
    wrong = Values(flavour.from_url(f"redis://:wrong@127.0.0.1:{server.port}/0", timeout_ms=2_000))
    with pytest.raises(AuthenticationError, match="check user"):
        await wrong("get", "t:1")
    server.stop()
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{server.port}"):
        await Values(flavour.from_url(server.url, timeout_ms=2_000))("get", "t:1")


class Interrupt(BaseException):
    """A timeout by signal, as jobs have them: it comes between any two steps."""


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["redis_b", "redis_cluster"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_thread_interrupted_while_it_connects_leaves_nobody_anothers_reply(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    server = request.getfixturevalue(kind)
    values = RedisValues.from_url(server.url, timeout_ms=2_000)
    assert values.fill([Fill(f"t:{number}", value(number), 60_000) for number in range(3)]) == [True] * 3
    for node in getattr(server, "nodes", [server]):
        with node.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
    host, steps = Connection._host_error, itertools.count(1)

    def interrupted(connection: Connection) -> str:
        # Asked for before a reply is read.
        if next(steps) == step:
            raise Interrupt
        return str(host(connection))

    monkeypatch.setattr(Connection, "_host_error", interrupted)
    with pytest.raises(Interrupt):
        values.get("t:0")
    assert [values.get(f"t:{number}") for number in (0, 1, 2, 0)] == [value(number) for number in (0, 1, 2, 0)]
    values.close()
