"""``/metrics``, ``/livez``, ``/readyz`` and ``/status`` of a replicator.

Served by the loop that does the work, so that a loop that hangs fails its liveness probe; and so does a role whose work
stands still while the loop turns (`liveness`). As much HTTP as probes and scrapers speak: GET or HEAD, one answer each.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from versioning.errors import ConfigError

REQUEST_BYTES_MAX: Final = 8 * 1024
REQUEST_TIMEOUT_S: Final = 5.0
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"

_log = structlog.get_logger()

Readiness = Callable[[], str | None]
"""Why the role is not ready (or not alive), or None."""

Status = Callable[[], Mapping[str, Any]]
"""What the role says of itself, as plain JSON types."""


class Probes:
    def __init__(
        self,
        registry: CollectorRegistry,
        readiness: Readiness,
        status: Status,
        *,
        liveness: Readiness = lambda: None,
    ) -> None:
        self._registry = registry
        self._readiness = readiness
        self._status = status
        self._liveness = liveness

    @contextlib.asynccontextmanager
    async def serve_if_asked(self, host: str, port: int | None) -> AsyncIterator[None]:
        """Serve inside the block, and log where; with no ``port`` do neither. Raises ConfigError."""
        if port is None:
            yield
            return
        async with self.serve(host, port) as bound:
            _log.info("probes_served", host=host, port=bound)
            yield

    @contextlib.asynccontextmanager
    async def serve(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve inside the block; yields the port. Raises ConfigError where the address cannot be had."""
        if not host:  # as of a variable that is not set: it would be every address
            raise ConfigError("--metrics-host is empty", hint="0.0.0.0 or :: to listen on every address")
        try:
            server = await asyncio.start_server(self._answer, host, port, limit=REQUEST_BYTES_MAX)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another --metrics-port"
            ) from None
        async with server:
            yield int(server.sockets[0].getsockname()[1])

    def answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        """Return status line, media type and body; to HEAD those of GET."""
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", TEXT, b"GET or HEAD only\n"
        match path.partition("?")[0]:
            case "/metrics":
                return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case "/livez":
                return _verdict("alive", self._liveness())
            case "/readyz":
                return _verdict("ready", self._readiness())
            case "/status":
                status = {"not_ready": self._readiness(), **self._status()}
                return "200 OK", JSON, json.dumps(status).encode() + b"\n"
            case _:
                return "404 Not Found", TEXT, b"/metrics, /livez, /readyz or /status\n"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, _, rest = head.decode("latin-1").partition(" ")
                status, media_type, body = self.answer(method, rest.partition(" ")[0])
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
                    "connection: close\r\n\r\n".encode()
                    + (b"" if method == "HEAD" else body)
                )
                await writer.drain()
        writer.close()


def _verdict(word: str, complaint: str | None) -> tuple[str, str, bytes]:
    if complaint is None:
        return "200 OK", TEXT, f"{word}\n".encode()
    return f"503 Not {word.capitalize()}", TEXT, f"{complaint}\n".encode()
