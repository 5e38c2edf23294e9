"""What a Redis says of itself: for ``stampline doctor``. Reads only, and never a key."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from versioning.backends.base import BackendError
from versioning.backends.redis_border import translated
from versioning.backends.redis_connect import RedisAddress, aclose
from versioning.backends.tls import TlsFiles, reloaded_client
from versioning.backends.tls_dates import CertificateDates, dates_in

TIMEOUT_MS: Final = 5_000


@dataclass(frozen=True, slots=True)
class RedisFacts:
    address: str
    version: str
    role: str
    """``master`` or ``slave``, as Redis spells it."""
    policy: str
    """Eviction policy."""
    memory_limit_bytes: int
    """0: none."""
    memory_used_bytes: int
    has_aof: bool
    is_saving_failed: bool
    """The last snapshot or append-only write failed: Redis then refuses writes, or soon will."""
    replicas: int
    """Replicas that are online."""
    is_fenced: bool
    """Cut off from its replicas, it soon takes no writes: by ``min-replicas-to-write``, or as a Cluster does anyway."""
    clock_offset_ms: int
    """How far its clock is ahead of ours."""
    clock_error_ms: int
    """How wrong that may be: half of the round trip."""
    user: str = ""
    """Whom it takes us for; empty where we may not ask."""
    may_administer: bool = False
    """We may read, and so most likely change, who may do what."""
    is_tls: bool = True
    is_verified: bool = True
    """Its certificate and the name in it."""
    certificate: CertificateDates | None = None
    """None where it is not verified."""


async def redis_facts(address: RedisAddress, *, timeout_ms: int = TIMEOUT_MS) -> tuple[RedisFacts, ...]:
    """Ask one Redis (behind Sentinel: the present primary), or every primary of a Cluster. Raises BackendError."""
    with translated(str(address)):
        client = address.connect_async(timeout_ms)
        try:
            if address.kind != "cluster":
                facts = await _ask(client, str(address), {})
                return (await _with_tls(facts, address.tls, *await _place(client)),)
            await client.initialize()
            found = []
            for node in client.get_primaries():
                facts = await _ask(client, str(node.name), {"target_nodes": node})
                found.append(await _with_tls(facts, address.tls, node.host, node.port))
            return tuple(found)
        finally:
            await aclose(client)


async def _ask(client: Any, address: str, target: Mapping[str, Any]) -> RedisFacts:
    info = _only(await client.info(**target))
    before_ns = time.time_ns()
    seconds, microseconds = _only(await client.time(**target))
    after_ns = time.time_ns()
    user = await _allowed(client, address, target, "ACL WHOAMI")
    server_ns = int(seconds) * 1_000_000_000 + int(microseconds) * 1_000
    return RedisFacts(
        address=address,
        version=str(info.get("redis_version", "")),
        role=str(info.get("role", "")),
        policy=str(info.get("maxmemory_policy", "")),
        memory_limit_bytes=int(info.get("maxmemory", 0)),
        memory_used_bytes=int(info.get("used_memory", 0)),
        has_aof=bool(info.get("aof_enabled")),
        is_saving_failed="err" in {info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status")},
        replicas=_online_replicas(info),
        is_fenced="min_slaves_good_slaves" in info or bool(info.get("cluster_enabled")),
        clock_offset_ms=(server_ns - (before_ns + after_ns) // 2) // 1_000_000,
        clock_error_ms=(after_ns - before_ns) // 2_000_000 + 1,
        user=_text(user or ""),
        may_administer=bool(user) and bool(await _allowed(client, address, target, "ACL GETUSER", user)),
    )


async def _place(client: Any) -> tuple[str, int]:
    """Return host and port it is connected to: behind Sentinel, those of the present primary."""
    connection = await client.connection_pool.get_connection()
    try:
        return connection.host, connection.port
    finally:
        await client.connection_pool.release(connection)


async def _with_tls(facts: RedisFacts, tls: TlsFiles | None, host: str, port: int) -> RedisFacts:
    if tls is None:
        return replace(facts, is_tls=False, is_verified=False)
    is_verified = tls.is_verified and tls.is_name_checked
    return replace(facts, is_verified=is_verified, certificate=await _certificate(tls, host, port))


async def _certificate(tls: TlsFiles, host: str, port: int) -> CertificateDates | None:
    """Shake hands once more: the driver does not tell what it was shown."""
    with contextlib.suppress(OSError):
        async with asyncio.timeout(TIMEOUT_MS / 1000):
            _, writer = await asyncio.open_connection(host, port, ssl=reloaded_client(tls).get(), server_hostname=host)
        peer = writer.get_extra_info("peercert")
        writer.close()
        await writer.wait_closed()
        return dates_in(peer)
    return None


async def _allowed(client: Any, address: str, target: Mapping[str, Any], *command: Any) -> Any:
    """Return the answer, None where we may not ask or it does not know the words."""
    try:
        with translated(address):
            return _only(await client.execute_command(*command, **target))
    except BackendError:
        return None


def _online_replicas(info: Mapping[str, Any]) -> int:
    lines = (info.get(f"slave{number}") for number in range(int(info.get("connected_slaves", 0))))
    return sum(1 for line in lines if isinstance(line, Mapping) and line.get("state") == "online")


def _only(reply: Any) -> Any:
    """Return the answer of the one node asked: a Cluster client may wrap it by node."""
    if isinstance(reply, dict) and len(reply) == 1:
        ((node, answer),) = reply.items()
        return answer if ":" in _text(node) else reply
    return reply


def _text(data: object) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data)
