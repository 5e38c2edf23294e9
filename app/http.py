"""How every service of ours is served: no telemetry, bounded bodies, errors in one shape, a clean end on SIGTERM."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from typing import Any, Final

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import docs, errors
from app.connections import PATIENCE_S, SWEEP_S, Patience
from app.protocol import Protocol
from app.settings import HttpSection
from versioning.backends.tls import reloading_server
from versioning.cli.sections import named
from versioning.client.pulse import Pulse
from versioning.errors import ConfigError, StamplineError

BODY_BYTES_MAX: Final = 1 << 20
"""1,000 keys of 512 bytes fit in, with their JSON."""

BODY_HINT: Final = f"at most {BODY_BYTES_MAX} bytes"

NOT_STORED: Final = (b"cache-control", b"no-store")
"""A proxy that kept an answer would vouch for what has changed since. Some keep for minutes what does not forbid it."""

KEEP_ALIVE_S: Final = 120
"""Longer than balancers (nginx and others 60 s) and pools (Go 90 s) keep an idle connection: else their next request
may be on its way over one that is closed."""

DRAIN_S: Final = 2.0
"""How long a service that ends answers on, over connections that are open: a request may be on its way."""

DRAIN_POLL_S: Final = 0.05
SHUTDOWN_S: Final = 5
BACKLOG: Final = 2048
NO_TELEMETRY: Final[dict[str, Any]] = {"tracing": False, "metrics": False, "logs": False, "operation_spans": False}


def new_app(title: str, description: str, lifespan: Callable[[], AsyncIterator[None]]) -> FastAPI:
    @contextlib.asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        del app
        async for _ in lifespan():
            yield

    app = FastAPI(
        title=title,
        description=description,
        lifespan=run,
        telemetry=NO_TELEMETRY,  # type: ignore[arg-type]
        responses={"4XX": errors.DOCUMENTED, "5XX": errors.DOCUMENTED},
        docs_url=None,
        redoc_url=None,
    )
    errors.install(app)
    docs.install(app)
    app.add_middleware(BodyLimit)
    app.add_middleware(NeverStored)
    return app


class NeverStored:
    """Forbids whoever stands between to keep an answer; pages and streams say for themselves."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start" and NOT_STORED[0] not in dict(message["headers"]):
                message["headers"] = [*message["headers"], NOT_STORED]
            await send(message)

        await self.app(scope, receive, mark)


class BodyLimit:
    """Refuses large bodies, declared or not, in our error shape (FastAPI's own limit answers in plain text)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > BODY_BYTES_MAX:
            answer = errors.error_answer(413, "body_too_large", f"a body of {declared} bytes", BODY_HINT)
            await answer(scope, receive, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_BYTES_MAX:
                raise HTTPException(413, f"a body of more than {BODY_BYTES_MAX} bytes")
            return message

        await self.app(scope, count, send)


class _Door:
    """Opens to connections when the service has started, and ends each with its next answer once it is to end.

    Who is refused a connection has lost nothing and asks another service; whose request waits, or is on its way over a
    connection that is closed, has lost that: nobody may send it again unasked.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        self.app = app
        self.is_closing = False
        self.problem = ""
        self._listener = listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def open_when_started(message: Message) -> None:
            await send(self._open() if message["type"] == "lifespan.startup.complete" else message)

        async def end(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if scope["type"] == "lifespan":
            await self.app(scope, receive, open_when_started)
        else:
            await self.app(scope, receive, end if self.is_closing else send)

    def _open(self) -> Message:
        # Not left to the server: uvloop would go on without a listener, and say nothing.
        try:
            self._listener.listen(BACKLOG)
        except OSError as error:
            self.problem = f"cannot listen: {error.strerror}"
            return {"type": "lifespan.startup.failed", "message": self.problem}
        return {"type": "lifespan.startup.complete"}


class StartFailedError(StamplineError):
    """The service's own start-up raised."""


class _Server(uvicorn.Server):
    """Signals are the role runner's: uvicorn's would end the process by the signal, not with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's for sockets, but who does not end its handshake is not waited for a minute: it holds a file."""
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise SystemExit
        config, loop = self.config, asyncio.get_running_loop()
        timeout_s = PATIENCE_S if config.ssl else None

        def make() -> Protocol:
            return Protocol(config, self.server_state, self.lifespan.state)

        self.servers = [
            await loop.create_server(
                make, sock=each, ssl=config.ssl, backlog=config.backlog, ssl_handshake_timeout=timeout_s
            )
            for each in sockets or ()
        ]
        self.started = True


async def _until_closed(connections: Collection[object]) -> None:
    for _ in range(round(DRAIN_S / DRAIN_POLL_S)):
        if not connections:
            return
        await asyncio.sleep(DRAIN_POLL_S)


async def _sweep(connections: Collection[object]) -> None:
    patience, loop = Patience(), asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        patience.sweep(connections, loop.time())


def _beating(pulse: Pulse) -> Callable[[], Awaitable[None]]:
    async def beat() -> None:
        pulse.beat()

    return beat


def bind(section: HttpSection) -> socket.socket:
    """Take the address; raises ConfigError where it cannot be had.

    Nobody listens there before ``serve`` has started the service.
    """
    family = socket.AF_INET6 if ":" in section.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((section.host, section.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {section.host}:{section.port}: {error.strerror}",
            hint=f"choose another [{section.section}] port, or end what listens there",
        ) from None
    return listener


def tls_of(section: HttpSection) -> ssl.SSLContext | None:
    """Return what ``serve`` needs for HTTPS, None for HTTP. Raises ConfigError for files that cannot be used."""
    if section.ssl_cert is None:
        return None
    with named(section.section):
        return reloading_server(section.tls_files)


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stop: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    before_stop: Callable[[], None] = lambda: None,
    pulse: Pulse | None = None,
) -> None:
    """Serve until ``stop``, and then what is asked over open connections; ``before_stop`` ends what has no end.

    ``pulse`` beats as long as the server turns: of a service that has no other loop.
    """
    door = _Door(app, listener)
    config = uvicorn.Config(
        door,
        http=Protocol,
        ws="none",  # it would take connections out of sight of ``Patience``
        proxy_headers=False,  # who asks from this machine could write whatever it likes into the audit log
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        server_header=False,
        workers=1,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )
    if pulse is not None:
        config.callback_notify, config.timeout_notify = _beating(pulse), 1
    server = _Server(config)

    async def watch() -> None:
        await stop.wait()
        door.is_closing = True
        for listening in server.servers if server.started else ():
            listening.close()
        before_stop()
        await _until_closed(server.server_state.connections)
        before_stop()  # for what was asked meanwhile
        server.should_exit = True

    has_started = True
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(watch()), group.create_task(_sweep(server.server_state.connections))]
        try:
            await server.serve(sockets=[listener])
        except SystemExit:
            has_started = False
        finally:
            for watcher in watchers:
                watcher.cancel()
    if not has_started:  # not raised inside: the group would wrap it
        raise StartFailedError(door.problem or "the service did not start", hint="the log above says why")
