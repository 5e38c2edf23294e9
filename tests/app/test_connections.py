"""What clients may hold: nobody waits for one that asks nothing or half of it, and a probe always finds room."""

import asyncio

import pytest

from app import connections
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
