"""One GET of one JSON document: every way in which there is none has its words."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.site import fetch
from app.site.fetch import FetchError, get_json
from deploy.simulation.ports import LOOPBACK, free_port

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"


@asynccontextmanager
async def server(answer: bytes | None) -> AsyncIterator[str]:
    """Answers with these bytes, or not at all; yields its URL."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readline()
        if answer is None:
            await done.wait()
        elif asked == b"GET /base/status HTTP/1.0\r\n":
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, LOOPBACK, 0) as listening:
        yield f"http://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}/base/status"
        done.set()


async def test_a_document_is_read_to_its_end() -> None:
    async with server(HEAD + b'{"keys": 7}') as url:
        assert await get_json(url) == {"keys": 7}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Not Ready\r\n\r\n{}", "it answers HTTP 503"),
        (HEAD + b"<html>", "it does not answer with JSON"),
        (HEAD + b"\xff", "it does not answer with JSON"),
        (HEAD + b"[" * 200_000, "it does not answer with JSON"),
        (b"220 smtp.example ESMTP\r\n", "it does not answer as HTTP"),
        (b"", "it does not answer as HTTP"),
        (HEAD + b" " * fetch.BODY_BYTES_MAX, "it answers with more than 256 KiB"),
        (None, "silent for 50 ms"),
    ],
    ids=["503", "html", "bytes", "deep", "smtp", "empty", "large", "silent"],
)
async def test_no_document_is_a_reason(answer: bytes | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if answer is None:
        monkeypatch.setattr(fetch, "TIMEOUT_S", 0.05)
    async with server(answer) as url:
        with pytest.raises(FetchError) as caught:
            await get_json(url)
    assert str(caught.value) == reason


async def test_nobody_there_is_a_reason() -> None:
    with pytest.raises(FetchError, match="nothing listens there"):
        await get_json(f"http://{LOOPBACK}:{free_port()}/status")


async def test_a_server_without_tls_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_S", 0.05)
    async with server(HEAD) as url:
        with pytest.raises(FetchError):
            await get_json(url.replace("http:", "https:"))


@pytest.mark.parametrize("host", ["source-1..a", "a" * 64], ids=["dots", "long"])
async def test_what_can_be_no_name_is_a_reason_too(host: str) -> None:
    with pytest.raises(FetchError, match="its name is not known"):
        await get_json(f"http://{host}:9481/status")
