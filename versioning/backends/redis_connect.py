"""From a URL to a Redis client. Only ``backends/redis_*.py`` name ``redis``.

    redis://[user:password@]host:port/db       rediss:// with TLS
    sentinel://[user:password@]host:port,host:port/service?db=0      sentinels:// with TLS
    cluster://[user:password@]host:port,host:port                    clusters:// with TLS

Options of the query string: ``ssl_ca``, ``ssl_cert``, ``ssl_key`` (PEM files; the driver's own names for them are taken
too), ``db``, ``client_name``; for Sentinel, ``sentinel_password`` goes to the sentinels. TLS is verified unless
``ssl_cert_reqs=none`` or ``ssl_check_hostname=false`` say otherwise. No client retries by itself: callers decide, and a
wrong password or certificate fails at once.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Self
from urllib.parse import unquote

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.asyncio.retry
import redis.asyncio.sentinel
import redis.backoff
import redis.exceptions
import redis.retry
import redis.sentinel

from versioning.backends import redis_tls, redis_url
from versioning.backends.redis_border import RAISED
from versioning.backends.tls import TlsFiles
from versioning.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RedisAddress:
    kind: str
    """``redis``, ``sentinel`` or ``cluster``."""
    nodes: tuple[tuple[str, int], ...]
    service: str = ""
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    tls: TlsFiles | None = None
    """None: without TLS."""

    def __str__(self) -> str:
        nodes = ",".join(f"{host}:{port}" for host, port in self.nodes)
        return f"{nodes}/{self.service}" if self.service else nodes

    @classmethod
    def parse(cls, url: str, *, tls: TlsFiles | None = None) -> "RedisAddress":
        """Raises ConfigError; the message never shows the password. ``tls`` goes over what the URL says.

        Files are not looked at: see ``check_tls``.
        """
        if not isinstance(url, str):  # None, from an environment that lacks it
            raise ConfigError(f"{url!r} is no Redis URL", hint="redis://host:6379/0")
        scheme, _, behind = url.partition("://")
        kind = {"rediss": "redis", "sentinels": "sentinel", "clusters": "cluster"}.get(scheme, scheme)
        if not behind or kind not in redis_url.DEFAULT_PORTS:
            hint = "use redis://, sentinel:// or cluster://"
            # Without one, what stands there may be the password.
            what = f"unknown Redis URL scheme {scheme[:20]!r}" if scheme.isalpha() else "a Redis URL lacks its scheme"
            raise ConfigError(what, hint=hint)
        parts = redis_url.split(url)
        credentials, _, hosts = parts.netloc.rpartition("@")
        username, _, password = credentials.partition(":")
        given = redis_url.query(parts.query)
        path = parts.path.strip("/")
        if kind == "redis" and path:
            given.setdefault("db", path)
        redis_url.check_kind(kind, hosts, path, given)
        return cls(
            kind,
            tuple(redis_url.node(host, redis_url.DEFAULT_PORTS[kind]) for host in hosts.split(",")),
            path if kind == "sentinel" else "",
            unquote(username) or None,
            unquote(password) or None,
            tuple(redis_url.options(given).items()),
            redis_url.tls_files(scheme, given, tls),
        )

    def check_tls(self) -> None:
        """Raises ConfigError where the files of TLS are missing, unreadable or do not belong together."""
        if self.tls is not None:
            self.tls.check()

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
            **self._tls_arguments(),
        }

    def _tls_arguments(self) -> dict[str, Any]:
        return {} if self.tls is None else {"ssl": True, **redis_tls.arguments(self.tls)}

    def _sentinel_arguments(self, timeout_ms: int, retry: Any) -> dict[str, Any]:
        timeout_s = timeout_ms / 1000
        password = dict(self.options).get("sentinel_password")
        timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        return {"password": password, "retry": retry, **timeouts, **self._tls_arguments()}

    def at(self, host: str, port: int) -> Self:
        """Return the address of one node alone, with the same login and TLS."""
        return replace(self, kind="redis", nodes=((host, port),))

    def connect(self, timeout_ms: int) -> Any:
        """Return a blocking client; of a Cluster, one of ``at`` each node. Nothing is sent yet.

        Raises ConfigError for files of TLS that cannot be used.
        """
        self.check_tls()
        retry = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        arguments = self._arguments(timeout_ms) | {"retry": retry}
        if self.kind == "sentinel":
            sentinel = redis.sentinel.Sentinel(self.nodes, sentinel_kwargs=self._sentinel_arguments(timeout_ms, retry))
            if self.tls is not None:
                arguments["connection_class"] = redis_tls.SentinelTlsConnection
                for each in sentinel.sentinels:
                    each.connection_pool.connection_class = redis_tls.TlsConnection
            return sentinel.master_for(self.service, **arguments)
        host, port = self.nodes[0]
        client = redis.Redis(host=host, port=port, **arguments)
        if self.tls is not None:
            client.connection_pool.connection_class = redis_tls.TlsConnection
        return client

    def connect_async(self, timeout_ms: int) -> Any:
        """Return an asyncio client. Nothing is sent yet. Raises ConfigError for files of TLS that cannot be used."""
        self.check_tls()
        retry = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        arguments = self._arguments(timeout_ms) | {"retry": retry}
        if self.kind == "cluster":
            nodes = [redis.asyncio.cluster.ClusterNode(host, port) for host, port in self.nodes]
            cluster = redis.asyncio.cluster.RedisCluster(startup_nodes=nodes, **arguments)
            if self.tls is not None:
                cluster.connection_kwargs["connection_class"] = redis_tls.AsyncTlsConnection
                for node in cluster.nodes_manager.startup_nodes.values():
                    node.connection_class = redis_tls.AsyncTlsConnection
            return cluster
        if self.kind == "sentinel":
            asked = self._sentinel_arguments(timeout_ms, retry)
            sentinel = redis.asyncio.sentinel.Sentinel(self.nodes, sentinel_kwargs=asked)
            if self.tls is not None:
                arguments["connection_class"] = redis_tls.AsyncSentinelTlsConnection
                for each in sentinel.sentinels:
                    each.connection_pool.connection_class = redis_tls.AsyncTlsConnection
            return sentinel.master_for(self.service, **arguments)
        host, port = self.nodes[0]
        client = redis.asyncio.Redis(host=host, port=port, **arguments)
        if self.tls is not None:
            client.connection_pool.connection_class = redis_tls.AsyncTlsConnection
        return client


def close(client: Any) -> None:
    """Close a client and its connections to the sentinels."""
    client.close()
    for sentinel in _sentinels_of(client):
        sentinel.close()


async def aclose(client: Any) -> None:
    """The same. A server that does not answer TLS's goodbye in time is left without it: there is no more to do."""
    for each in (client, *_sentinels_of(client)):
        with suppress(*RAISED):
            await each.aclose()


def _sentinels_of(client: Any) -> list[Any]:
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)
