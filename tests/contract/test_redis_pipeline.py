"""The pipeline on a socket that takes little at a time: what is sent may take longer than a reply may."""

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
import redis

from versioning.backends.base import UnavailableError
from versioning.backends.redis_border import Border
from versioning.backends.redis_pipeline import Pipeline

TIMEOUT_MS: Final = 500
SOCKET_BYTES: Final = 16_384
PAUSE_S: Final = 0.05


class OneConnection:
    """A pool of the driver's with one connection, and the part of that which the pipeline uses."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._connection = SimpleNamespace(
            _parser=SimpleNamespace(parse_error=redis.ResponseError),
            _writer=SimpleNamespace(transport=transport),
            disconnect=self.release,
        )

    async def get_connection(self) -> Any:
        return self._connection

    async def release(self, *_: Any, **__: Any) -> None:
        """Nothing to give back."""


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Pipeline, socket.socket]]:
    """A pipeline, and the server's end of its socket."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    pipeline = Pipeline(OneConnection(transport), Border("test"), TIMEOUT_MS)
    yield pipeline, theirs
    await pipeline.aclose()
    await asyncio.sleep(0)  # a turn, in which the transport closes its socket
    theirs.close()


async def receive(server: socket.socket, size: int) -> None:
    """Take that much, a little at a time."""
    loop = asyncio.get_running_loop()
    while size > 0:
        taken = len(await loop.sock_recv(server, SOCKET_BYTES))
        assert taken, "the pipeline has closed the connection"
        size -= taken
        await asyncio.sleep(PAUSE_S)


async def test_what_takes_longer_than_the_timeout_to_send_is_answered(ends: tuple[Pipeline, socket.socket]) -> None:
    pipeline, server = ends
    size = int(3 * TIMEOUT_MS / 1000 / PAUSE_S) * SOCKET_BYTES
    fill, read = pipeline.ask(b"f" * size), pipeline.ask(b"r")
    await receive(server, size + 1)
    await asyncio.get_running_loop().sock_sendall(server, b"+OK\r\n$1\r\nv\r\n")
    assert [await fill, await read] == [b"OK", b"v"]


async def test_a_server_that_takes_nothing_any_more_is_given_up_in_time(ends: tuple[Pipeline, socket.socket]) -> None:
    pipeline, server = ends
    fill = pipeline.ask(b"f" * 100 * SOCKET_BYTES)
    await receive(server, SOCKET_BYTES)
    async with asyncio.timeout(4 * TIMEOUT_MS / 1000):
        with pytest.raises(UnavailableError, match="no reply in time"):
            await fill


async def test_replies_that_keep_coming_are_waited_for_however_many_they_are(
    ends: tuple[Pipeline, socket.socket],
) -> None:
    """Each is small, and whole when it comes."""
    pipeline, server = ends
    count = int(3 * TIMEOUT_MS / 1000 / PAUSE_S)
    asked = asyncio.gather(*(pipeline.ask(b"%d" % number) for number in range(count)))
    await receive(server, 1)
    for _ in range(count):
        await asyncio.get_running_loop().sock_sendall(server, b"$1\r\nv\r\n")
        await asyncio.sleep(PAUSE_S)
    assert await asked == [b"v"] * count
