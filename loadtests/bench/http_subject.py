"""``python -m loadtests.bench.http_subject KIND PORT REDIS_URL``: one HTTP server to be measured, a process of its own.

All kinds are served by ``app.http.serve``, so that event loop, parser and settings of uvicorn are the same.
"""

import argparse
import asyncio
from typing import Any, Final

import orjson
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.http import NO_TELEMETRY, bind, serve
from app.lane import Lane
from app.models import LookupAnswer, LookupRequest, VersionAnswer
from app.service import create_app
from app.settings import ServeSection
from versioning.backends.redis_stream import RedisStream
from versioning.cli.running import run_role

FIELDS: Final[dict[str, Any]] = {
    "key": "bench:42",
    "stamp": "1800000000000-1",
    "time_ms": 1_800_000_000_000,
    "committed_ms": 1_800_000_000_000,
    "origin_gtid": "0-1-1",
    "is_pending": False,
    "since": "1800000000000-0",
    "vouches": True,
    "reason": None,
}
BODY: Final = orjson.dumps(FIELDS)
HEADERS: Final = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY)))


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, as many bytes as a lookup does."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
    else:
        while (message := await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": f"{message['type']}.complete"})


async def parsing(scope: Scope, receive: Receive, send: Send) -> None:
    """Read keys and answer each in full, knowing nothing: what a batch costs by orjson alone."""
    if scope["type"] != "http":
        await bare(scope, receive, send)
        return
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    answer = orjson.dumps({"versions": [{**FIELDS, "key": key} for key in orjson.loads(body)["keys"]]})
    headers = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def typed() -> FastAPI:
    """What one would write first: routes that return models."""
    app = FastAPI(telemetry=NO_TELEMETRY)  # type: ignore[arg-type]

    @app.get("/v1/versions/{key:path}")
    async def version(key: str) -> VersionAnswer:
        return VersionAnswer(**{**FIELDS, "key": key})

    @app.post("/v1/versions")
    async def versions(request: LookupRequest) -> LookupAnswer:
        return LookupAnswer(versions=[VersionAnswer(**{**FIELDS, "key": key}) for key in request.keys])

    return app


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("service", "bare", "parsing", "typed"))
    parser.add_argument("port", type=int)
    parser.add_argument("redis_url")
    arguments = parser.parse_args()
    section = ServeSection(port=arguments.port)

    async def role(stop: asyncio.Event) -> None:
        app: ASGIApp = parsing if arguments.kind == "parsing" else bare
        if arguments.kind == "service":
            service = create_app(section, RedisStream.from_url(arguments.redis_url))
            app = Lane(service, service.state.knowledge)
        elif arguments.kind == "typed":
            app = typed()
        await serve(app, bind(section), stop)

    run_role(role)


if __name__ == "__main__":
    main()
