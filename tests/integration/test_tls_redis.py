"""TLS with real Redis, both sides verified: all kinds of clients, and certificates that are replaced while they run."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.certificates import Authority, Certificate
from deploy.simulation.processes import ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster, RedisSentinel
from versioning.backends.base import Append, BackendError, Fill, LoginRefusedError, UnavailableError
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import AsyncRedisValues, RedisValues
from versioning.client.sync_cache import VersionedCache
from versioning.entries import Heartbeat, NewEntry

pytestmark = [pytest.mark.usefixtures("tls_leftovers"), pytest.mark.filterwarnings("ignore::ResourceWarning")]

PATIENT_MS = 5_000
DEADLINE_S = 20.0


@pytest.fixture
def used(authority: Authority, tmp_path: Path) -> Certificate:
    """The client's own files, which a test may replace."""
    mine = Certificate(*(tmp_path / name for name in ("ca.pem", "client.pem", "client.key")))
    mine.replace_by(authority.issue("client"))
    return mine


async def assert_usable(url: str) -> None:
    stream = RedisStream.from_url(url)
    values = AsyncRedisValues.from_url(url, timeout_ms=PATIENT_MS)
    async with stream.subscribe() as pushed:
        [stamp] = await stream.append(Append((NewEntry("a" * 16, Heartbeat(1)),), clock_ms=1))
        async with asyncio.timeout(DEADLINE_S):
            entry = await anext(pushed)
            assert entry is not None
            assert entry.stamp == stamp
    assert await values.fill([Fill("a:1", b"x", 60_000)]) == [True]
    await stream.aclose()
    await values.aclose()
    blocking = RedisValues.from_url(url, timeout_ms=PATIENT_MS)
    assert blocking.get("a:1") == b"x"
    blocking.close()


@pytest.mark.parametrize("kind", [RedisSentinel, RedisCluster])
async def test_behind_sentinel_and_in_a_cluster_every_link_is_verified(
    authority: Authority, used: Certificate, tmp_path: Path, kind: type[RedisSentinel] | type[RedisCluster]
) -> None:
    servers = kind(tmp_path / "servers", certificate=authority.issue("redis"))
    with ProcessGroup() as group:
        group.add(servers).start()
        url = servers.url.partition("?")[0]
        await assert_usable(url + used.query)
        used.ca.write_bytes(Authority(tmp_path / "foreign").ca.read_bytes())
        stream = RedisStream.from_url(url + used.query)
        # What a sentinel answered is lost in the driver.
        with pytest.raises(BackendError, match=r"no TLS with Redis .*(signature|self-signed)|does it accept our TLS"):
            await stream.state()
        await stream.aclose()


async def test_an_embedder_gives_the_files_as_arguments(
    authority: Authority, used: Certificate, new_redis: Callable[..., RedisServer]
) -> None:
    redis = new_redis(certificate=authority.issue("redis"))
    files: Any = {"ssl_ca": str(used.ca), "ssl_cert": str(used.cert), "ssl_key": str(used.key)}
    with VersionedCache.from_url(f"rediss://{redis.address}/0", values_timeout_ms=PATIENT_MS, **files) as cache:
        assert cache.get("a:1", lambda: "loaded") == "loaded"
        with redis.client() as client:
            assert client.exists("a:1")


async def test_all_certificates_are_replaced_without_a_restart(
    authority: Authority, used: Certificate, new_redis: Callable[..., RedisServer], tmp_path: Path
) -> None:
    redis = new_redis(certificate=authority.issue("redis"))
    url = f"rediss://{redis.address}/0{used.query}"
    stream, values = RedisStream.from_url(url), RedisValues.from_url(url, timeout_ms=PATIENT_MS)
    await stream.state()
    assert values.get("a:1") is None
    other = Authority(tmp_path / "other")
    replace(redis, other.issue("redis"))
    with pytest.raises(UnavailableError):
        await stream.state()  # the connection it had
    with pytest.raises(LoginRefusedError, match="no TLS with Redis") as caught:
        await stream.state()
    assert "ssl_ca" in caught.value.hint
    used.replace_by(other.issue("client"))
    await stream.state()
    assert values.get("a:1") is None  # its door was never shut: it had not tried in between
    await stream.aclose()
    values.close()


def replace(redis: RedisServer, issued: Certificate) -> None:
    """Rotate the server's files and CA, and end the connections that use the old ones."""
    names = ("tls-ca-cert-file", "tls-cert-file", "tls-key-file")
    files = [str(path) for path in (issued.ca, issued.cert, issued.key)]
    with redis.client() as client:
        client.config_set(*(part for pair in zip(names, files, strict=True) for part in pair))
        client.client_kill_filter(_type="normal", skipme=False)
    redis.certificate = issued


async def _asked_until_heard(stream: RedisStream) -> None:
    """Redis refuses after the handshake and hangs up: its reset may overtake the reason."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with contextlib.suppress(UnavailableError):
                await stream.state()


async def test_a_client_without_a_certificate_hears_why(
    authority: Authority, used: Certificate, new_redis: Callable[..., RedisServer]
) -> None:
    redis = new_redis(certificate=authority.issue("redis"))
    stream = RedisStream.from_url(f"rediss://{redis.address}/0?ssl_ca={used.ca}")
    with pytest.raises(LoginRefusedError, match="certificate required"):
        await _asked_until_heard(stream)
    await stream.aclose()


async def test_a_certificate_of_another_machine_is_not_taken(
    authority: Authority, used: Certificate, new_redis: Callable[..., RedisServer]
) -> None:
    redis = new_redis(certificate=authority.issue("redis"))
    replace(redis, authority.issue("elsewhere", names="IP:127.0.0.9, DNS:redis.elsewhere.example"))
    url = f"rediss://{redis.address}/0{used.query}"
    stream = RedisStream.from_url(url)
    with pytest.raises(LoginRefusedError, match="IP address mismatch"):
        await stream.state()
    await stream.aclose()
    blocking = RedisValues.from_url(url, timeout_ms=PATIENT_MS)
    with pytest.raises(LoginRefusedError, match="IP address mismatch"):
        blocking.get("a:1")
    blocking.close()
