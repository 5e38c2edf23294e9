"""The WAN cut, slow, half-open, a certificate expired or rotated, a wrong password: backoff, no storm, nothing lost."""

import asyncio
import gc
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.simulation.certificates import Authority, Certificate
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import free_port
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.relay import Relay
from replicator.mirror.options import MirrorStats
from replicator.mirror.position import MirrorPosition
from replicator.mirror.reader import OriginReader
from replicator.mirror.resume import Resume
from tests.eventually import now_ms, until_async
from tests.integration.pipeline import MIRROR, Pipeline
from versioning import backoff
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.backoff import Backoff
from versioning.client.follower import Follower
from versioning.entries import Change, Entry, Heartbeat, NewEntry
from versioning.index import Index

DENIED_S = 1.0
FAULT_S = 2.5


@pytest.mark.parametrize("fault", ["cut", "black_hole", "slow"])
async def test_a_wan_at_fault_under_load(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer, relay: Relay, fault: str
) -> None:
    wan_url = f"redis://127.0.0.1:{relay.add_link('redis', redis_a.port)}/0"
    async with Pipeline.open(mariadb_a, database, redis_a.url, redis_b.url, wan_url=wan_url) as pipeline:
        relay.slow(2_000) if fault == "slow" else relay.send(fault)
        await pipeline.run_for(FAULT_S)
        assert all((reader.info().lag_ms or 0) > 1_000 for reader in pipeline.readers)
        relay.heal()
        await pipeline.assert_converges()


async def test_a_page_that_a_slow_wan_does_not_carry_in_time_is_asked_for_in_smaller_ones(
    redis_a: RedisServer, relay: Relay
) -> None:
    big = tuple(f"tracker_web:{number}:{'x' * 400}" for number in range(50))
    near = RedisStream.from_url(redis_a.url)
    for _ in range(80):
        await near.append(Append((NewEntry(secrets.token_hex(8), Change(big)),), now_ms()))
    await near.aclose()
    taken: list[Entry] = []
    far = RedisStream.from_url(f"redis://127.0.0.1:{relay.add_link('redis', redis_a.port)}/0", timeout_ms=600)
    relay.slow(1_000_000)
    stats = MirrorStats()
    reader = OriginReader(
        far,
        Resume(MirrorPosition()),
        taken.append,
        no_wait,
        tear=taken.append,
        options=MIRROR,
        stats=stats,
        backoff=Backoff(lambda: 0.0),
    )
    reading = asyncio.create_task(reader.run())
    try:
        await until_async(lambda: len(taken) == 80, "all entries came")
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await far.aclose()
    assert stats.reconnects_by_reason["link_lost"] > 0
    assert reading.cancelled()


async def no_wait() -> None:
    """There is always room."""


def count_denied_logins(redis: RedisServer) -> int:
    with redis.client() as client:
        return sum(int(found["count"]) for found in client.acl_log(count=1_000) if found["reason"] == "auth")


@pytest.mark.parametrize("denied", ["a", "b"])
async def test_a_password_that_was_changed_makes_no_storm_of_logins(
    mariadb_a: MariaDb,
    database: str,
    redis_a: RedisServer,
    redis_b: RedisServer,
    new_redis: Callable[..., RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    denied: str,
) -> None:
    denied_s = 3.0
    monkeypatch.setattr(backoff, "DENIED_S", denied_s)
    locked = new_redis(requirepass="before")
    urls = (locked.url, redis_b.url) if denied == "a" else (redis_a.url, locked.url)
    async with Pipeline.open(mariadb_a, database, *urls) as pipeline:
        began_s = time.monotonic()
        change_password(locked, "after")
        await pipeline.run_for(2.0)
        denied_logins = count_denied_logins(locked)
        # Nobody waits for less than half of it, and a busy machine makes the run longer.
        tries_max = 1 + (time.monotonic() - began_s) / (denied_s / 2)
        # Two sources or two readers and two mirrors; a mirror's reader has two connections.
        assert 4 <= denied_logins <= tries_max * (2 + 2 * 2)
        change_password(locked, "before")
        await pipeline.assert_converges()


def change_password(redis: RedisServer, password: str) -> None:
    with redis.client() as client:
        client.config_set("requirepass", password)
        redis.options["requirepass"] = password
        for kind in ("normal", "pubsub"):
            client.client_kill_filter(_type=kind, skipme=True)


def use_certificate(redis: RedisServer, issued: Certificate) -> None:
    """Rotate, as an operator does, and end the connections that still use the old one."""
    with redis.client() as client:
        client.config_set("tls-cert-file", str(issued.cert), "tls-key-file", str(issued.key))
        client.client_kill_filter(_type="normal", skipme=True)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_an_expired_certificate_is_named_and_a_rotated_one_is_taken_up(
    new_redis: Callable[..., RedisServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "DENIED_S", DENIED_S)
    authority = Authority(tmp_path)
    good, expired, rotated = (authority.issue(name, days) for name, days in (("good", 2), ("expired", -1), ("new", 2)))
    port = free_port()
    redis = new_redis(
        tls_port=port,
        tls_auth_clients="no",
        tls_cert_file=good.cert,
        tls_key_file=good.key,
        tls_ca_cert_file=authority.ca,
    )
    stream = RedisStream.from_url(f"rediss://127.0.0.1:{port}/0?ssl_ca={authority.ca}")
    follower = Follower(stream, Index())
    await stream.append(Append((NewEntry("a" * 16, Heartbeat(now_ms())),), now_ms()))
    await follower.start()
    use_certificate(redis, expired)
    await until_async(lambda: not follower.stats.is_connected, "the lost connection is noticed")
    await until_async(lambda: "certificate has expired" in follower.stats.last_error, "the certificate is refused")
    use_certificate(redis, rotated)
    await until_async(lambda: follower.stats.is_connected, "the new certificate is taken")
    assert follower.stats.breaks == 0
    await follower.aclose()
    await stream.aclose()
    gc.collect()  # asyncio leaves the transports of failed TLS handshakes to the collector, which warns.
