"""A version service over a stream in memory, with a clock that the test holds."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from fastapi import FastAPI

from app.knowledge import Knowledge
from app.service import create_app
from app.settings import ServeSection
from app.site.watch import SiteWatch
from tests.eventually import until_async
from versioning import stamp as stamps
from versioning.backends.base import Append
from versioning.backends.memory import MemoryStream
from versioning.entries import Body, Change, Gap, Heartbeat, NewEntry, Replayed
from versioning.liveness import Now

START_MS = 1_800_000_000_000
TOKEN = "token-of-alice-0123456789"


class Clock:
    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> Now:
        return Now(self.ms, self.ms - START_MS)


class World:
    def __init__(self, clock: Clock, stream: MemoryStream, app: FastAPI, client: httpx2.AsyncClient) -> None:
        self.clock = clock
        self.stream = stream
        self.app = app
        self.client = client
        self.knowledge: Knowledge = app.state.knowledge
        self.watch: SiteWatch = app.state.watch
        self._nonces = itertools.count(1)

    async def append(self, *bodies: Body) -> list[int]:
        """Append, and wait until the service has it."""
        entries = tuple(NewEntry(f"{next(self._nonces):016x}", body) for body in bodies)
        found = await self.stream.append(Append(entries, clock_ms=self.clock.ms))
        await until_async(lambda: self.knowledge.index.watermark >= found[-1], "the service has the entries")
        return found

    async def beat(self) -> int:
        return (await self.append(Heartbeat(self.clock.ms, self.clock.ms)))[0]

    async def complete(self) -> None:
        """Make the history complete since long ago, and the source alive now."""
        await self.append(Gap("begun"), Replayed(START_MS - 3 * 3_600_000), Heartbeat(self.clock.ms, self.clock.ms))

    async def get(self, path: str, **arguments: Any) -> Any:
        return (await self.client.get(path, **arguments)).json()

    async def post(self, path: str, body: Any, **arguments: Any) -> httpx2.Response:
        return await self.client.post(path, json=body, **arguments)

    async def bump(self, token: str | None = TOKEN, **body: Any) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.post("/v1/bump", body, headers=headers)


@asynccontextmanager
async def service(section: ServeSection | None = None, stream: MemoryStream | None = None) -> AsyncIterator[World]:
    clock = Clock()
    stream = stream or MemoryStream(lambda: clock.ms)
    app = create_app(section or ServeSection(token=TOKEN), stream, clock=clock)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield World(clock, stream, app, client)


def code_of(answer: httpx2.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["message"]
    return answer.status_code, error["code"]


CHANGE = Change(("tracker_web:1", "trackers_by_tenant:7"), gtid="0-1-15", committed_ms=START_MS - 5)
CHANGE_TEXT = stamps.text(stamps.make(START_MS))
