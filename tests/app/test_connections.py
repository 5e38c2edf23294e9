"""What clients may hold: nobody waits for one that asks nothing or half of it, and a probe always finds room."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import StreamingResponse
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import connections
from app.connections import Patience
from tests.app.test_http import REQUEST, connect, served
from tests.eventually import until_async

HALF_HEAD = REQUEST[:-2]
HALF_BODY = b"GET / HTTP/1.1\r\nHost: service\r\nContent-Length: 9\r\n\r\n{"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE_S", 1.0)
    monkeypatch.setattr("app.http.SWEEP_S", 0.05)


@pytest.mark.parametrize("has_asked", [False, True], ids=["first", "next"])
@pytest.mark.parametrize("sent", [HALF_HEAD, HALF_BODY], ids=["half-head", "half-body"])
async def test_who_asks_half_a_request_is_not_waited_for(sent: bytes, *, has_asked: bool) -> None:
    async with served(asyncio.Event()) as port:
        client = await connect(port)
        if has_asked:
            await client.ask()
        client.send(sent)
        assert await client.is_closed()
        client.close()


async def test_who_asks_nothing_is_not_waited_for_and_who_has_asked_is() -> None:
    async with served(asyncio.Event()) as port:
        kept = await connect(port)
        await kept.ask()
        idle = await connect(port)
        assert await idle.is_closed()
        await kept.ask()
        idle.close()
        kept.close()


async def test_of_too_many_connections_those_end_that_are_idle_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(asyncio.Event()) as port:
        clients = []
        for _ in range(30):
            clients.append(await connect(port))
            await clients[-1].ask()
        monkeypatch.setattr(connections, "CONNECTIONS_MAX", 10)
        await until_async(lambda: sum(client.was_closed() for client in clients) == 20, "twenty of them end")
        assert not any(client.was_closed() for client in clients[20:])
        probe = await connect(port)
        await probe.ask()
        for client in (probe, *clients):
            client.close()


async def test_the_request_of_a_client_that_takes_nothing_of_its_answer_ends() -> None:
    is_over = asyncio.Event()

    async def set_over() -> None:
        is_over.set()

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    async def endless(_: Request) -> StreamingResponse:
        return StreamingResponse(parts(), background=BackgroundTask(set_over))

    async with served(asyncio.Event(), answer=endless) as port:
        client = await connect(port)
        client.send(REQUEST)
        await until_async(is_over.wait, "the request ends")
        client.close()


class Taker(HttpToolsProtocol):
    """A connection with an answer of which this much is not taken yet. It stands for its transport too."""

    def __init__(self, unsent_bytes: int, *, is_answered: bool) -> None:
        self.unsent_bytes = unsent_bytes
        self.is_aborted = False
        self.response_complete, self.more_body = is_answered, False
        self.timeout_keep_alive_task = None
        self.cycle: Any = self
        self.transport: Any = self

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize("is_answered", [False, True], ids=["being-answered", "answered-and-closed"])
def test_a_client_takes_some_of_its_answer_in_time_or_is_ended(*, is_answered: bool) -> None:
    slow, gone = Taker(10_000, is_answered=is_answered), Taker(10_000, is_answered=is_answered)
    patience = Patience()
    for turn in range(10):
        patience.sweep([slow, gone], 0.3 * turn)
        slow.unsent_bytes -= 1
    assert (slow.is_aborted, gone.is_aborted) == (False, True)
