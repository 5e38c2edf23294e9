"""What a client may have a connection hold of it, and that whoever offers another protocol is answered by this one."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from app import http
from app.protocol import HEAD_BYTES_MAX, QUEUED_MAX
from app.settings import ServeSection
from deploy.simulation.certificates import Authority
from tests.app.test_http import REQUEST, connect, served

OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
}
BODIES = {
    "whole": b"Content-Length: 9\r\n\r\n{'a': 17}",
    "in-chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\n{'a':\r\n4\r\n 17}\r\n0\r\n\r\n",
}
LINE = b"GET / HTTP/1.1\r\nHost: service\r\n"


async def echo(request: Request) -> Response:
    try:
        return PlainTextResponse(await request.body() + b"\n")
    except ClientDisconnect:
        return PlainTextResponse("gone\n")


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
async def test_a_client_that_offers_another_protocol_is_answered_by_this_one(offer: bytes, body: bytes) -> None:
    asked = LINE + offer + body
    async with served(asyncio.Event(), answer=echo) as port:
        for packets in ((asked,), (asked[:40], asked[40:]), (asked[:-9], asked[-9:]), (asked + asked,)):
            client = await connect(port)
            for packet in packets:
                client.send(packet)
                await asyncio.sleep(0.01)  # so that it goes by itself
            for _ in range(b"".join(packets).count(LINE)):
                head, answer = await client.read_answer()
                assert head.startswith(b"HTTP/1.1 200 OK")
                assert answer == b"{'a': 17}\n"
            client.close()


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (LINE, b"a: b\r\n"),
        (LINE + b"a: ", b"b" * 1_000),
        (b"GET /", b"a" * 1_000),
    ],
    ids=["fields", "field", "url"],
)
async def test_a_head_without_end_is_refused(head: bytes, more: bytes) -> None:
    async with served(asyncio.Event(), answer=echo) as port:
        client = await connect(port)
        client.send(head + more * (HEAD_BYTES_MAX // len(more) + 1))
        answer = await client.read_all()
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert b'"code":"head_too_large"' in answer
        client.close()


async def test_who_sends_fields_without_end_behind_a_body_is_not_waited_for() -> None:
    async with served(asyncio.Event(), answer=echo) as port:
        client = await connect(port)
        client.send(LINE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * (HEAD_BYTES_MAX // 6 + 1))
        assert await client.is_closed()
        client.close()


async def test_as_many_requests_as_may_be_sent_at_once_are_answered_in_their_order() -> None:
    async with served(asyncio.Event(), answer=echo) as port:
        client = await connect(port)
        bodies = [b"%06d" % number for number in range(QUEUED_MAX)]
        client.send(b"".join(LINE + b"Content-Length: 6\r\n\r\n" + body for body in bodies))
        assert [(await client.read_answer())[1] for _ in bodies] == [body + b"\n" for body in bodies]
        client.close()


async def test_who_sends_requests_without_end_is_not_answered() -> None:
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def wait(_: Request) -> Response:
        is_asked.set()
        await may_answer.wait()
        return PlainTextResponse("here\n")

    async with served(asyncio.Event(), answer=wait) as port:
        client = await connect(port)
        client.send(REQUEST)
        await is_asked.wait()
        client.send(REQUEST * (QUEUED_MAX + 1))
        assert await client.is_closed()
        may_answer.set()
        client.close()


async def test_nobody_says_for_others_where_they_are() -> None:
    async def tell(request: Request) -> Response:
        assert request.client is not None
        return PlainTextResponse(f"{request.client.host}\n")

    async with served(asyncio.Event(), answer=tell) as port:
        client = await connect(port)
        client.send(LINE + b"X-Forwarded-For: 192.0.2.7\r\n\r\n")
        assert (await client.read_answer())[1] == b"127.0.0.1\n"
        client.close()


async def test_who_wants_a_tunnel_is_refused() -> None:
    async with served(asyncio.Event()) as port:
        client = await connect(port)
        client.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.read_all()).startswith(b"HTTP/1.1 400 ")
        client.close()


async def test_who_does_not_end_the_handshake_is_not_waited_for(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "PATIENCE_S", 1.0)
    files = authority.issue("service")
    tls = http.tls_of(ServeSection(ssl_cert=files.cert, ssl_key=files.key))
    async with served(asyncio.Event(), tls=tls) as port:
        client = await connect(port)
        assert await client.is_closed()
        client.close()
