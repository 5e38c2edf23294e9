"""A small HTTP/1.1 client for measuring: one request at a time over a kept connection, nothing in between."""

import asyncio
import contextlib
import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Any, Self

from deploy.simulation.ports import LOOPBACK

TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """For one server and one task, by TLS with a context. A connection that broke is opened by the next request."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._context = context
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hang_up()

    async def get(self, path: str) -> Answer:
        return await self.request("GET", path)

    async def request(self, method: str, path: str, body: Any = None) -> Answer:
        """Raises OSError when the server is not there or hangs up, TimeoutError when it is silent."""
        payload = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nhost: {LOOPBACK}\r\ncontent-type: application/json\r\n"
        head += f"content-length: {len(payload)}\r\n\r\n"
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await self._connected()
                writer.write(head.encode() + payload)
                return await _read_answer(reader)
        except asyncio.IncompleteReadError as error:
            self._hang_up()
            raise ConnectionResetError(f"port {self._port} hung up") from error
        except BaseException:
            self._hang_up()
            raise

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self._hang_up()  # The server has closed an idle connection.
        if self._streams is None:
            self._streams = await asyncio.open_connection(LOOPBACK, self._port, ssl=self._context)
        return self._streams

    def _hang_up(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(_header(line) for line in head[1:] if line)
    return Answer(int(head[0].split(" ")[1]), headers, await reader.readexactly(int(headers.get("content-length", 0))))


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def connect(port: int, context: ssl.SSLContext | None, timeout_s: float) -> http.client.HTTPConnection:
    if context is None:
        return http.client.HTTPConnection(LOOPBACK, port, timeout=timeout_s)
    return http.client.HTTPSConnection(LOOPBACK, port, timeout=timeout_s, context=context)


def is_answering(port: int, path: str, context: ssl.SSLContext | None = None) -> bool:
    """Tell whether a GET answers 200."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = connect(port, context, 2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        finally:
            connection.close()
    return False
