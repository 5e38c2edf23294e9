"""One GET of one JSON document, bounded in time and size. A connection each: none is kept that could go half-open."""

import asyncio
import json
import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from versioning.backends.tls import TlsFiles, reloaded_client
from versioning.errors import StamplineError

TIMEOUT_S: Final = 0.5
BODY_BYTES_MAX: Final = 256 * 1024
"""A mirror with a hundred gates needs a tenth of this."""

SYSTEM_CAS: Final = TlsFiles()
PORTS: Final = {"http": 80, "https": 443}


class FetchError(StamplineError):
    """No document. The message says why, as the end of "it does not answer: ..."."""


async def get_json(url: str, tls: TlsFiles = SYSTEM_CAS) -> Any:
    """``tls``: what an ``https://`` process is verified by, and shown where it asks. Raises FetchError."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await _ask(url, tls)
    except TimeoutError:
        raise FetchError(f"silent for {TIMEOUT_S * 1000:.0f} ms") from None
    except ConnectionRefusedError:
        raise FetchError("nothing listens there") from None
    except (socket.gaierror, UnicodeError):  # the latter for what can be no name: "a..b", or a label of 64 letters
        raise FetchError("its name is not known") from None
    except ssl.SSLError as error:
        raise FetchError(f"TLS: {error.reason or error}") from None
    except OSError as error:
        raise FetchError(error.strerror or str(error)) from None
    return _document(answer)


async def _ask(url: str, tls: TlsFiles) -> bytes:
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    context = reloaded_client(tls).get() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
    try:
        # HTTP/1.0: the answer ends with the connection and is never chunked.
        head = f"GET {parts.path} HTTP/1.0\r\nhost: {parts.netloc}\r\naccept: application/json\r\n\r\n"
        writer.write(head.encode())
        return await _read_all(reader)
    finally:
        writer.transport.abort()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while part := await reader.read(65_536):
        answer += part
        if len(answer) > BODY_BYTES_MAX:
            raise FetchError(f"it answers with more than {BODY_BYTES_MAX // 1024} KiB")
    return bytes(answer)


def _document(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        raise FetchError("it does not answer as HTTP")
    if words[1] != b"200":
        raise FetchError(f"it answers HTTP {words[1].decode('latin-1')[:20]}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError("it does not answer with JSON") from None
