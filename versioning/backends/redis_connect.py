"""From a URL to a Redis client, and from its exceptions to ours. Only ``backends/redis_*.py`` name ``redis``.

    redis://[user:password@]host:port/db       rediss:// with TLS
    sentinel://[user:password@]host:port,host:port/service?db=0      sentinels:// with TLS
    cluster://[user:password@]host:port,host:port                    clusters:// with TLS

Options of the query string go to the client (``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``db``); for
Sentinel, ``sentinel_password`` goes to the sentinels. No client retries by itself: callers decide, and a wrong password
fails at once.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.cluster
import redis.exceptions
import redis.retry
import redis.sentinel

from versioning.backends.base import AuthenticationError, BackendError, UnavailableError
from versioning.errors import ConfigError

DEFAULT_PORTS: Final = {"redis": 6379, "cluster": 6379, "sentinel": 26379}

_DENIED: Final = (
    redis.exceptions.AuthenticationError,
    redis.exceptions.AuthorizationError,
    redis.exceptions.NoPermissionError,
)
_UNAVAILABLE: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ClusterError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    OSError,
)


class Border:
    """What ``translated`` is for asyncio, for threads: no cancellation can be lost there. Made once, entered often."""

    def __init__(self, address: str) -> None:
        self._address = address

    def translate(self, error: Exception) -> BackendError:
        return _translation(self._address, error)

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, redis.exceptions.RedisError | OSError):
            raise self.translate(error) from error


@contextmanager
def translated(address: str) -> Iterator[None]:
    """The border: whatever the driver raises inside comes out as a BackendError that names the server.

    And a cancellation comes out as one. The driver loses some: while it connects, and where its clean-up fails on the
    way out. Taken for an answer or an error, that would leave whoever cancelled waiting for ever.
    """
    before = _cancellations()
    try:
        yield
    except (redis.exceptions.RedisError, OSError) as error:
        if _cancellations() > before:
            raise asyncio.CancelledError from error
        raise _translation(address, error) from error
    if _cancellations() > before:
        raise asyncio.CancelledError


def _cancellations() -> int:
    with suppress(RuntimeError):  # No loop in this thread.
        task = asyncio.current_task()
        return task.cancelling() if task is not None else 0
    return 0


def _translation(address: str, error: Exception) -> BackendError:
    what = str(error) or type(error).__name__
    if isinstance(error, _DENIED):
        return AuthenticationError(f"Redis {address} refused us: {what}", hint="check user, password and ACL")
    if isinstance(error, _UNAVAILABLE):
        return UnavailableError(f"Redis {address} is not available: {what}")
    return BackendError(f"Redis {address} answered an error: {what}")


@dataclass(frozen=True, slots=True)
class RedisAddress:
    kind: str
    """``redis``, ``sentinel`` or ``cluster``."""
    nodes: tuple[tuple[str, int], ...]
    service: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        nodes = ",".join(f"{host}:{port}" for host, port in self.nodes)
        return f"{nodes}/{self.service}" if self.service else nodes

    @classmethod
    def parse(cls, url: str) -> "RedisAddress":
        """Raises ConfigError; the message never shows the password."""
        scheme, separator, _ = url.partition("://")
        kind = {"rediss": "redis", "sentinels": "sentinel", "clusters": "cluster"}.get(scheme, scheme)
        if not separator or kind not in DEFAULT_PORTS:
            hint = "use redis://, sentinel:// or cluster://"
            raise ConfigError(f"unknown Redis URL scheme {scheme[:20]!r}", hint=hint)
        parts = urlsplit(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        options: dict[str, Any] = dict(parse_qsl(parts.query))
        path = parts.path.strip("/")
        if kind == "redis" and path:
            options["db"] = path
        if scheme.endswith("s") and scheme != kind:
            options["ssl"] = True
        if kind == "sentinel" and not path:
            raise ConfigError("a sentinel:// URL lacks its service", hint="sentinel://host:26379,host:26379/mymaster")
        if "db" in options:
            options["db"] = _number(options["db"], "database")
        return cls(
            kind,
            tuple(_node(host, DEFAULT_PORTS[kind]) for host in hosts.split(",")),
            path if kind == "sentinel" else "",
            unquote(username) or None,
            unquote(password) or None,
            tuple(options.items()),
        )

    def _arguments(self, timeout_ms: int) -> dict[str, Any]:
        options = dict(self.options)
        options.pop("sentinel_password", None)
        return {
            "username": self.username,
            "password": self.password,
            "socket_timeout": timeout_ms / 1000,
            "socket_connect_timeout": timeout_ms / 1000,
            "protocol": 3,
            "legacy_responses": False,
            **options,
        }

    def _sentinel_arguments(self, timeout_ms: int) -> dict[str, Any]:
        timeout_s = timeout_ms / 1000
        ssl = {name: value for name, value in self.options if name.startswith("ssl")}
        password = dict(self.options).get("sentinel_password")
        return {"password": password, "socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **ssl}

    def connect(self, timeout_ms: int) -> Any:
        """Return a blocking client. Nothing is sent yet, except by a cluster client, which asks for its topology."""
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        arguments = self._arguments(timeout_ms) | {"retry": retry}
        if self.kind == "cluster":
            nodes = [redis.cluster.ClusterNode(host, port) for host, port in self.nodes]
            return redis.cluster.RedisCluster(startup_nodes=nodes, **arguments)
        if self.kind == "sentinel":
            sentinel = redis.sentinel.Sentinel(self.nodes, sentinel_kwargs=self._sentinel_arguments(timeout_ms))
            return sentinel.master_for(self.service, **arguments)
        host, port = self.nodes[0]
        return redis.Redis(host=host, port=port, **arguments)

    def connect_async(self, timeout_ms: int) -> Any:
        """Return an asyncio client. Nothing is sent yet."""
        retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        arguments = self._arguments(timeout_ms) | {"retry": retry}
        if self.kind == "cluster":
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in self.nodes]
            return redis.asyncio.cluster.RedisCluster(startup_nodes=nodes, **arguments)
        if self.kind == "sentinel":
            sentinel = redis.asyncio.sentinel.Sentinel(self.nodes, sentinel_kwargs=self._sentinel_arguments(timeout_ms))
            return sentinel.master_for(self.service, **arguments)
        host, port = self.nodes[0]
        return redis.asyncio.Redis(host=host, port=port, **arguments)


def close(client: Any) -> None:
    """Close a client, and behind Sentinel its connections to the sentinels, which it would leave open."""
    client.close()
    for sentinel in _sentinels_of(client):
        sentinel.close()


async def aclose(client: Any) -> None:
    await client.aclose()
    for sentinel in _sentinels_of(client):
        await sentinel.aclose()


def _sentinels_of(client: Any) -> list[Any]:
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)


def _node(text: str, default_port: int) -> tuple[str, int]:
    host, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        host, port = text, str(default_port)
    if not host:
        raise ConfigError("a Redis URL lacks its host", hint="redis://host:6379/0")
    return host.strip("[]"), _number(port, "port")


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ConfigError(f"{what} in a Redis URL is no number: {text[:20]!r}")
    return int(text)
