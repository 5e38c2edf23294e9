"""How a service ends: whoever has a connection open loses no request with it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from app import http
from app.settings import ServeSection
from versioning.errors import ConfigError

REQUEST = b"GET / HTTP/1.1\r\nHost: service\r\n\r\n"


Answer = Callable[[Request], Awaitable[Response]]


async def answer(request: Request) -> PlainTextResponse:
    await request.body()
    return PlainTextResponse("here\n")


class Client:
    """A connection that is kept open, as those of proxies and pools are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read_answer(self) -> tuple[bytes, bytes]:
        """Return its head, and the line that is its body."""
        async with asyncio.timeout(20):
            return await self._reader.readuntil(b"\r\n\r\n"), await self._reader.readline()

    async def read_all(self) -> bytes:
        """Until the service closes the connection."""
        async with asyncio.timeout(20):
            return await self._reader.read()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def ask(self) -> bytes:
        """Return the head of the answer."""
        self.send(REQUEST)
        head, body = await self.read_answer()
        assert body == b"here\n"
        return head

    async def is_closed(self) -> bool:
        return await self.read_all() == b""

    def was_closed(self) -> bool:
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def at_once(_: Starlette) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def served(
    stop: asyncio.Event,
    lifespan: Lifespan[Starlette] = at_once,
    answer: Answer = answer,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    listener = http.bind(ServeSection(port=0))
    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])], lifespan=lifespan)
    serving = asyncio.create_task(http.serve(app, listener, stop, tls=tls))
    yield listener.getsockname()[1]
    stop.set()
    await serving


async def connect(port: int) -> Client:
    """Return once the service has started."""
    async with asyncio.timeout(20):
        while True:
            with suppress(ConnectionRefusedError):
                return Client(*await asyncio.open_connection("127.0.0.1", port))
            await asyncio.sleep(0.01)


async def assert_refused(port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_whoever_has_a_connection_open_is_answered_once_more_and_sent_away() -> None:
    stop = asyncio.Event()
    async with served(stop) as port:
        busy = await connect(port)
        assert b"connection: close" not in await busy.ask()
        stop.set()
        await asyncio.sleep(0)
        await assert_refused(port)
        assert b"connection: close" in await busy.ask()
        assert await busy.is_closed()
        busy.close()


async def test_an_open_connection_that_asks_nothing_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DRAIN_S", 0.2)
    stop = asyncio.Event()
    async with served(stop) as port:
        idle = await connect(port)
        await idle.ask()
        stop.set()
        assert await idle.is_closed()
        idle.close()


async def test_idle_connections_are_left_to_balancers_and_pools_to_close(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http.KEEP_ALIVE_S > 90
    monkeypatch.setattr(http, "KEEP_ALIVE_S", 1)
    async with served(asyncio.Event()) as port:
        idle = await connect(port)
        await idle.ask()
        async with asyncio.timeout(4):
            assert await idle.is_closed()
        idle.close()


async def test_a_service_may_be_ended_before_it_has_started() -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(20), served(stop):
        pass


async def test_a_service_that_still_starts_refuses_connections() -> None:
    """One that waited for an answer would be a request that another service had answered."""
    stop, may_start = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def slowly(_: Starlette) -> AsyncIterator[None]:
        await may_start.wait()
        yield

    async with served(stop, slowly) as port:
        await asyncio.sleep(0.05)
        await assert_refused(port)
        may_start.set()
        client = await connect(port)
        await client.ask()
        client.close()


async def test_of_two_that_start_at_one_port_the_second_ends_with_its_reason() -> None:
    async with served(asyncio.Event()) as port:
        second = http.bind(ServeSection(port=port))
        client = await connect(port)
        client.close()
        with pytest.raises(http.StartFailedError, match="cannot listen"):
            await http.serve(Starlette(), second, asyncio.Event())
        second.close()
        with pytest.raises(ConfigError, match="cannot listen"):
            http.bind(ServeSection(port=port))
