"""The HTTP protocol of a connection: uvicorn's, with limits on what a client has it hold, and without upgrades.

The server parses whatever has come, however much: a head without end grows in memory, as do requests that are sent
before the one in front of them is answered. And its parser takes what follows an offer to upgrade for another protocol,
and so the body of a POST of Java's client, which offers HTTP/2 with each first request, for the next request. Such an
offer may be declined (RFC 9110, 7.8): the request is read once more, without it.
"""

import re
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.errors import error_answer

HEAD_BYTES_MAX: Final = 64 << 10
"""Of a request's head, or of the fields behind a body that came in chunks."""

QUEUED_MAX: Final = 100
"""Requests sent ahead of the answer to one before them."""

SLICE_BYTES: Final = 16 << 10
"""Looked at before more is parsed: the shortest requests are 900 in so much."""

_OFFER: Final = re.compile(rb"upgrade|http2-settings")


class Protocol(HttpToolsProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unplaced_bytes = 0
        """Since a head was whole, or some of a body came."""

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        for first in range(0, len(data), SLICE_BYTES):
            part = data[first : first + SLICE_BYTES]
            self._unplaced_bytes += len(part)
            self._parse(part)
            if self._unplaced_bytes > HEAD_BYTES_MAX:
                self._refuse_head()
            if len(self.pipeline) > QUEUED_MAX:
                self.transport.abort()
            if self.transport.is_closing():
                return

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response("This is no proxy.")
            else:
                self._parse(self._head_without_offer() + data[offer.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _head_without_offer(self) -> bytes:
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%b: %b" % field for field in self.headers if not _OFFER.fullmatch(field[0])]
        return b"\r\n".join((line, *fields, b"", b""))

    def _refuse_head(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # Somebody waits for the answer to another request first.
            return
        answer = error_answer(431, "head_too_large", f"a head of more than {HEAD_BYTES_MAX} bytes")
        fields = (*answer.raw_headers, (b"connection", b"close"))
        head = (b"HTTP/1.1 431 Request Header Fields Too Large", *(b"%b: %b" % field for field in fields), b"", b"")
        self.transport.write(b"\r\n".join(head) + bytes(answer.body))
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._unplaced_bytes = 0
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unplaced_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unplaced_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()
