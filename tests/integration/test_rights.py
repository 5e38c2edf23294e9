"""The accounts of deploy/redis: each role can do its work with its own, and nothing else."""

import socket
import subprocess
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.exceptions

from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_users import VALUES_PREFIX, RedisUsers
from tests.docs.pages import ROOT
from tests.eventually import until_async
from versioning import stamp as stamps
from versioning.backends.base import Append, AuthenticationError, Fill
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_facts import redis_facts
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import AsyncRedisValues, RedisValues
from versioning.bump import Bump
from versioning.checkpoint import Checkpoint
from versioning.client.bumps import append_bump
from versioning.client.follower import Follower
from versioning.entries import Body, Change, Generation, Heartbeat, NewEntry
from versioning.index import Index

PATIENT_MS = 5_000


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RedisServer]]:
    folder = tmp_path_factory.mktemp("rights")
    with ProcessGroup() as group:
        started = {}
        for side in ("a", "b"):
            started[side] = group.add(RedisServer(side, folder / side, users=RedisUsers.of(side)))
            started[side].start()
        yield started


def url(server: RedisServer, account: str) -> str:
    assert server.users is not None
    return f"redis://{account}:{server.users.passwords[account]}@{server.address}/0"


@asynccontextmanager
async def stream_of(at: str, **options: Any) -> AsyncIterator[RedisStream]:
    stream = RedisStream.from_url(at, **options)
    try:
        yield stream
    finally:
        await stream.aclose()


async def append(stream: RedisStream, writer: str | None) -> list[int]:
    state = await stream.state()
    expected = await stream.checkpoint(writer) if writer else None
    bodies: list[Body] = [Change(("tracker_web:1",)), Generation(("tracker_web",), 0, 0, ""), Heartbeat(1)]
    entries = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies, 1))
    checkpoint = Checkpoint("0-1-1", 1, "a" * 16) if writer else None
    batch = Append(entries, 1, writer, expected, checkpoint, above=state.last, digest="d" if writer else "")
    return await stream.append(batch)


async def follow(stream: RedisStream) -> None:
    follower = Follower(stream, Index())
    await follower.start(wait_s=0)
    await until_async(lambda: follower.stats.is_connected or follower.stats.last_error, "it follows, or says why not")
    await follower.aclose()
    assert not follower.stats.last_error
    last = (await stream.read_before(None, count=1))[0]
    assert await stream.read_one(last.stamp) is not None


async def source(at: str, name: str = "stampline") -> None:
    async with stream_of(at, name=name) as stream:
        await append(stream, "source:a")


async def mirror_at_origin(at: str, name: str = "stampline") -> None:
    async with stream_of(at, name=name) as stream, stream.subscribe():
        await stream.state()
        await stream.checkpoint("source:a")
        assert await stream.read_after(stamps.ZERO, count=10)


async def mirror(at: str) -> None:
    async with stream_of(at, version_keys=True) as stream:
        await append(stream, "mirror:a")


async def serve(at: str) -> None:
    async with stream_of(at, version_keys=True) as stream:
        await append(stream, None)
        await follow(stream)


async def toc(at: str) -> None:
    async with stream_of(at) as stream:
        await follow(stream)
    values = AsyncRedisValues.from_url(at, prefix=VALUES_PREFIX, timeout_ms=PATIENT_MS)
    assert await values.try_lease({"a:1": b""}, "t", PATIENT_MS) == [True]
    assert await values.try_lease({"a:2": b"", "a:3": b""}, "t", PATIENT_MS) == [True, True]
    assert await values.fill([Fill("a:1", b"x", PATIENT_MS, "t")]) == [True]
    assert await values.fill([Fill(key, b"x", PATIENT_MS) for key in ("a:4", "a:5")]) == [True, True]
    await values.release(["a:2"], "t")
    assert await values.get("a:1") == b"x"
    assert await values.get_many(["a:1", "a:9"]) == [b"x", None]
    await values.aclose()
    blocking = RedisValues.from_url(at, prefix=VALUES_PREFIX, timeout_ms=PATIENT_MS)
    assert blocking.fill([Fill(key, b"x", PATIENT_MS) for key in ("a:6", "a:7")]) == [True, True]
    blocking.close()


async def audit(at: str) -> None:
    async with stream_of(at) as stream:
        await stream.state()
        await follow(stream)
    values = AsyncRedisValues.from_url(at, prefix=VALUES_PREFIX, timeout_ms=PATIENT_MS)
    await values.get("a:1")
    await values.get_many(["a:1"])
    await values.aclose()


async def doctor(at: str) -> None:
    await redis_facts(RedisAddress.parse(at))
    async with stream_of(at) as stream:
        await stream.state()
        await stream.read_after(stamps.ZERO, count=1)
        await stream.read_before(None, count=1)


async def bump_at_origin(at: str) -> None:
    async with stream_of(at, version_keys=True) as stream:
        [stamp] = await append_bump(stream, Bump("by hand", ("tracker_web:2",)), now_ms=1)
        bumped, before = await stream.read_before(None, count=2)
        assert (stamps.text(bumped.stamp), bumped.previous) == (stamp, before.nonce)
        assert ((await stream.state()).last, (await stream.state()).nonce) == (bumped.stamp, bumped.nonce)
    await source(at)


async def reader(at: str) -> None:
    client = RedisAddress.parse(at).connect_async(PATIENT_MS)
    names = ("v:tracker_web:1", "g:tracker_web", "since", "beat", "last")
    assert None not in await client.mget([f"{{stampline}}:{name}" for name in names])
    await client.aclose()


RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"

Work = Callable[[str], Awaitable[None]]
STREAM, STATE = "{stampline}:stream", "{stampline}:state"
LOAD = "return redis.call('DEL', KEYS[1])"

ACCOUNTS: list[tuple[str, str, Work, list[tuple[str, ...]]]] = [
    ("a", "stampline_source", source, [("GET", "other"), ("SET", STATE, "x"), ("XADD", "other", "*", "a", "b")]),
    ("a", "stampline_source", bump_at_origin, [("GET", "{stampline}:last"), ("SET", "{stampline}:last", "x")]),
    ("a", "stampline_mirror", mirror_at_origin, [("XADD", STREAM, "*", "a", "b"), ("HSET", STATE, "a", "b")]),
    ("a", "stampline_doctor", doctor, [("DEL", STREAM), ("SUBSCRIBE", "{stampline}:push")]),
    ("b", "stampline_mirror", mirror, [("GET", "cache:a:1"), ("XADD", "other", "*", "a", "b")]),
    ("b", "stampline_serve", serve, [("GET", "cache:a:1"), ("DEL", "cache:a:1")]),
    ("b", "stampline_toc", toc, [
        ("XADD", STREAM, "*", "a", "b"), ("DEL", STREAM), ("SET", STATE, "x"), ("DEL", "cache:a:1"),
        ("GET", "{stampline}:v:tracker_web:1"), ("SET", "other", "x"), ("PUBLISH", "{stampline}:push", "x"),
    ]),
    ("b", "stampline_audit", audit, [("SET", "cache:a:1", "x"), ("XADD", STREAM, "*", "a", "b"), ("DEL", "cache:a:1")]),
    ("b", "stampline_doctor", doctor, [("GET", "cache:a:1"), ("XTRIM", STREAM, "MAXLEN", "0")]),
    ("b", "stampline_reader", reader, [("XRANGE", STREAM, "-", "+"), ("SET", "{stampline}:v:a:1", "x")]),
]  # fmt: skip
"""Side, account, its work, and what is forbidden to it besides what is forbidden to all."""

FORBIDDEN_TO_ALL: list[tuple[str, ...]] = [
    ("FLUSHALL",), ("FLUSHDB",), ("CONFIG", "GET", "*"), ("CONFIG", "SET", "maxmemory", "1"), ("KEYS", "*"),
    ("SCAN", "0"),
    ("ACL", "LIST"), ("ACL", "SETUSER", "me"), ("SCRIPT", "FLUSH"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "ID", "0"),
    ("MONITOR",), ("SAVE",), ("REPLICAOF", "NO", "ONE"), ("EVAL", "return 1", "0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("side", "account", "work", "forbidden"),
    ACCOUNTS,
    ids=[f"{account} on {side}: {work.__name__}" for side, account, work, _ in ACCOUNTS],
)
async def test_an_account_of_redis_does_its_work_and_nothing_else(
    servers: dict[str, RedisServer], side: str, account: str, work: Work, forbidden: list[tuple[str, ...]]
) -> None:
    server = servers[side]
    await (source if side == "a" else mirror)(url(server, "stampline_source" if side == "a" else "stampline_mirror"))
    with server.client(decode_responses=True) as admin:
        admin.acl_log_reset()
        await work(url(server, account))
        # A right that is missing but tolerated would be here; the doctor asks whether it could change them.
        refused = {(entry["username"], entry["object"]) for entry in admin.acl_log()}
        assert refused <= {("stampline_doctor", "acl|getuser")}
    assert server.users is not None
    login = {"username": account, "password": server.users.passwords[account]}
    with server.client(**login) as client:
        for command in (*FORBIDDEN_TO_ALL, *forbidden):
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.execute_command(*command)


@pytest.mark.parametrize("right", ["set", "get", "hset", "publish", "xadd", "xtrim", "del"])
async def test_an_append_that_lacks_a_right_writes_nothing(servers: dict[str, RedisServer], right: str) -> None:
    server = servers["b"]
    await mirror(url(server, "stampline_mirror"))
    with server.client(decode_responses=True) as admin:
        before = admin.xlen(STREAM), admin.hgetall(STATE), admin.get("{stampline}:v:tracker_web:1")
        admin.execute_command("ACL", "SETUSER", "stampline_serve", f"-{right}")
        try:
            async with stream_of(url(server, "stampline_serve"), version_keys=True) as stream:
                with pytest.raises(AuthenticationError, match=f"(?i)needs {right}; nothing was written"):
                    await append(stream, None)
        finally:
            admin.execute_command("ACL", "SETUSER", "stampline_serve", f"+{right}")
        assert (admin.xlen(STREAM), admin.hgetall(STATE), admin.get("{stampline}:v:tracker_web:1")) == before


def test_a_script_may_do_no_more_than_its_caller(servers: dict[str, RedisServer]) -> None:
    server = servers["b"]
    assert server.users is not None
    with server.client(username="stampline_toc", password=server.users.passwords["stampline_toc"]) as client:
        script = client.register_script(LOAD)
        for key in ("cache:a:1", STREAM):
            with pytest.raises(redis.ResponseError, match=r"can't access|no permissions to access"):
                script(keys=[key])


def commands_of_the_runbook(first: str, last: str = "") -> str:
    """The lines from the one that begins with ``first`` to the one that begins with ``last``, or the first alone."""
    lines = iter(RUNBOOK.read_text().splitlines(keepends=True))
    found = [next(line for line in lines if line.startswith(f"    {first}"))]
    while not found[-1].startswith(f"    {last}"):
        found.append(next(lines))
    return textwrap.dedent("".join(found))


async def test_when_datacenter_a_is_lost_its_sources_may_write_a_stream_of_their_own_in_b(
    servers: dict[str, RedisServer], tmp_path: Path
) -> None:
    server = servers["b"]
    assert server.users is not None
    for name, password in (("redis-b.admin", server.users.passwords["admin"]), ("origin.password", "new" * 8)):
        (tmp_path / name).write_text(f"{password}\n")
    commands = commands_of_the_runbook("redis_b() {") + commands_of_the_runbook("read -ra rights", "redis_b ACL SAVE")
    commands = commands.replace("/etc/stampline", str(tmp_path))
    commands = commands.replace("redis.b.example -p 6379", f"{server.host} -p {server.port}")
    done = subprocess.run(["bash", "-euc", commands], cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.split() == ["OK"] * 4, done.stdout

    origin = f"redis://stampline_source:{'new' * 8}@{server.address}/0"
    await source(origin, "origin")
    await mirror_at_origin(url(server, "stampline_mirror"), "origin")
    await mirror(url(server, "stampline_mirror"))
    with pytest.raises(AuthenticationError):
        await source(origin)


def test_nobody_is_anonymous(servers: dict[str, RedisServer]) -> None:
    with socket.create_connection((servers["b"].host, servers["b"].port), timeout=20) as anonymous:
        anonymous.sendall(b"PING\r\n")
        assert anonymous.recv(100).startswith(b"-NOAUTH")
