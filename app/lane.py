"""The fast lane: hot lookups and checks, answered from memory before any routing.

It answers only what needs no wait and no refusal, and says exactly what the typed routes of ``versions`` would say.
Everything else (other paths, keys that want escaping, changes whose origin must be read from the stream, whatever must
be refused) goes on to them unread, or with its body given back: the rules, the errors and ``/docs`` are theirs alone.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import answers
from app.http import BODY_BYTES_MAX, NOT_STORED
from app.knowledge import Knowledge
from app.versions import NO_UTF8

LOOKUP_PATH: Final = "/v1/versions/"
_HEADERS: Final = ((b"content-type", b"application/json"), NOT_STORED)

_Answer = Callable[[Any], str | None]


class Lane:
    """An ASGI application in front of the service's own: even an empty middleware stack costs more than a lookup."""

    def __init__(self, app: ASGIApp, knowledge: Knowledge) -> None:
        self._app = app
        self._lookups = answers.Lookups(knowledge)
        self._batches: dict[str, _Answer] = {
            "/v1/versions": self._look_up,
            "/v1/check": answers.Checks(knowledge).answer,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if method == "GET" and path.startswith(LOOKUP_PATH) and NO_UTF8 not in path:
                text = self._lookups.answer(path[len(LOOKUP_PATH) :])
                if text is not None:
                    await _reply(send, text.encode())
                    return
            elif method == "POST" and (answer := self._batches.get(path)) is not None and _is_small_json(scope):
                body = await _body(receive)
                text = answer(_parsed(body))
                if text is not None:
                    await _reply(send, text.encode())
                    return
                receive = _given_back(body, receive)
        await self._app(scope, receive, send)

    def _look_up(self, request: Any) -> str | None:
        if type(request) is not dict or request.keys() != {"keys"} or type(request["keys"]) is not list:
            return None
        found = self._lookups.answers(request["keys"])
        return None if found is None else f'{{"versions":[{",".join(found)}]}}'


def _is_small_json(scope: Scope) -> bool:
    """Whether the typed route would parse this body too; undeclared lengths are ``BodyLimit``'s to count."""
    size = kind = b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            size = value
        elif name == b"content-type":
            kind = value
    return kind == b"application/json" and size.isdigit() and int(size) <= BODY_BYTES_MAX


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _given_back(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _reply(send: Send, body: bytes) -> None:
    headers: Sequence[tuple[bytes, bytes]] = (*_HEADERS, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
