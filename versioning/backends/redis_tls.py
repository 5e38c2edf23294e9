"""The driver's TLS connections with our contexts: files that were replaced count from the next connect on.

The driver itself reads them once per connection object (asyncio), and trusts the system's CAs beside the one given.
"""

import socket
import ssl
from collections.abc import Mapping
from typing import Any

import redis
import redis.asyncio.connection
import redis.asyncio.sentinel
import redis.connection
import redis.sentinel

from versioning.backends.tls import TlsFiles, reloaded_client


def arguments(files: TlsFiles) -> dict[str, Any]:
    """Return what the driver's connections are made with; they hand it back in ``_files``."""
    return {
        "ssl_ca_certs": files.ca,
        "ssl_certfile": files.cert,
        "ssl_keyfile": files.key,
        "ssl_cert_reqs": "required" if files.is_verified else "none",
        "ssl_check_hostname": files.is_name_checked,
    }


def _files(connection: Any) -> TlsFiles:
    is_verified = connection.cert_reqs != ssl.CERT_NONE
    return TlsFiles(
        connection.ca_certs, connection.certfile, connection.keyfile, is_verified, bool(connection.check_hostname)
    )


class TlsConnection(redis.connection.SSLConnection):
    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        return reloaded_client(_files(self)).get().wrap_socket(sock, server_hostname=self.host)


class SentinelTlsConnection(redis.sentinel.SentinelManagedConnection, TlsConnection):
    pass


class AsyncTlsConnection(redis.asyncio.connection.SSLConnection):
    def _connection_arguments(self) -> Mapping[str, Any]:
        plain = redis.asyncio.connection.Connection._connection_arguments(self)  # noqa: SLF001  no context of its own
        return {**plain, "ssl": reloaded_client(_files(self)).get()}


class AsyncSentinelTlsConnection(redis.asyncio.sentinel.SentinelManagedConnection, AsyncTlsConnection):
    pass
