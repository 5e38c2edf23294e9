"""The reference services over real MariaDB and Redis: ToB writes rows, ToC reads them through the cache and says so."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from app import tob, toc
from app.commands import toc_cache
from app.mysql_pool import MySqlPool
from app.settings import TocSection
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import now_ms, until_async
from versioning.backends.base import Append
from versioning.backends.redis_stream import RedisStream
from versioning.cli.sections import MySqlSection, StreamSection, ValuesSection
from versioning.entries import Body, Change, Gap, Heartbeat, NewEntry, Replayed

TRACKER = {"tracker_id": "T-1", "name": "one", "tenant_id": 7, "extra": {"colour": "red"}}


class World:
    """ToB and ToC on one MariaDB, and a stream that the test writes as a mirror would."""

    def __init__(self, stack: AsyncExitStack, mariadb: MariaDb, redis: RedisServer, database: str) -> None:
        self._stack = stack
        self.mariadb = mariadb
        self.redis = redis
        self.database = database
        self.stream = RedisStream.from_url(redis.url)
        stack.push_async_callback(self.stream.aclose)

    def _mysql(self, user: str) -> MySqlSection:
        return MySqlSection(url=self.mariadb.url(user, self.database))

    async def _client(self, app: FastAPI) -> httpx2.AsyncClient:
        await self._stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx2.ASGITransport(app=app)
        return await self._stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://app"))

    async def tob(self) -> httpx2.AsyncClient:
        return await self._client(tob.create_app(MySqlPool(self._mysql("tob").full_address(), 2)))

    async def toc(self, *, ttl_only: bool = False) -> httpx2.AsyncClient:
        section = TocSection(mysql=self._mysql("toc"), ttl_only=ttl_only)
        cache = toc_cache(
            section, StreamSection(url=self.redis.url), ValuesSection(url=self.redis.url, timeout_ms=1_000)
        )
        pool = MySqlPool(section.mysql.full_address(), 2)
        return await self._client(toc.create_app(cache, pool, readiness=toc.readiness(cache), registry=None))

    async def append(self, *bodies: Body) -> None:
        entries = tuple(NewEntry(secrets.token_hex(8), body) for body in bodies)
        await self.stream.append(Append(entries, clock_ms=now_ms()))

    async def begin(self) -> None:
        await self.append(Gap("begun"), Replayed(now_ms() - 3 * 3_600_000), Heartbeat(now_ms(), now_ms()))


@pytest.fixture
async def world(mariadb_a: MariaDb, redis_b: RedisServer, database: str) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        made = World(stack, mariadb_a, redis_b, database)
        await made.begin()
        yield made


def seen(answer: httpx2.Response) -> tuple[str, str]:
    return answer.headers["X-Stampline-Tier"], answer.headers["X-Stampline-Verdict"]


async def tracker(client: httpx2.AsyncClient, tracker_id: int = 1) -> Any:
    return (await client.get(f"/trackers/{tracker_id}")).json()


async def test_a_row_that_was_written_is_answered_as_committed(world: World) -> None:
    client = await world.tob()
    before_ms = now_ms()
    answer = await client.post("/trackers", json=TRACKER)
    assert answer.status_code == 201
    written = answer.json()
    assert before_ms <= written["committed_ms"] <= now_ms()
    assert written["tracker"] | TRACKER == written["tracker"]
    assert await tracker(client) == written["tracker"]


async def test_rows_are_changed_replaced_updated_in_bulk_and_deleted(world: World) -> None:
    client = await world.tob()
    for number in range(3):
        await client.post("/trackers", json=TRACKER | {"tracker_id": f"T-{number}"})
    patched = (await client.patch("/trackers/1", json={"name": "two", "extra": None})).json()["tracker"]
    assert (patched["name"], patched["extra"], patched["tenant_id"]) == ("two", None, 7)
    replaced = (await client.put("/trackers/2", json={"tracker_id": "X", "tenant_id": 8})).json()["tracker"]
    assert (replaced["tracker_id"], replaced["name"], replaced["tenant_id"]) == ("X", "", 8)
    assert (await client.post("/trackers/bulk", json={"tenant_id": 7, "status": "paused"})).json()["rows"] == 2
    assert (await tracker(client, 3))["status"] == "paused"
    assert (await client.delete("/trackers/3")).json()["tracker"] is None
    assert (await client.get("/trackers/3")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/trackers", {"tracker_id": "t-1", "tenant_id": 1}, 409),
        ("POST", "/trackers", {"tracker_id": "x"}, 422),
        ("POST", "/trackers", {"tracker_id": "x" * 65, "tenant_id": 1}, 422),
        ("POST", "/trackers", {"tracker_id": "x", "tenant_id": -1}, 422),
        ("POST", "/trackers", {"tracker_id": "x", "tenant_id": 1, "status": "lost"}, 422),
        ("PATCH", "/trackers/1", {}, 422),
        ("PATCH", "/trackers/1", {"name": None}, 422),
        ("PATCH", "/trackers/1", {"nmae": "x"}, 422),
        ("PATCH", "/trackers/99", {"name": "x"}, 404),
        ("PUT", "/trackers/99", {"tracker_id": "x", "tenant_id": 1}, 404),
        ("DELETE", "/trackers/99", None, 404),
        ("GET", "/trackers/0", None, 422),
        ("GET", "/trackers/one", None, 422),
        ("POST", "/trackers/bulk", {"tenant_id": 7}, 422),
    ],
    ids=str,
)
async def test_what_cannot_be_written_is_refused_and_changes_nothing(
    world: World, method: str, path: str, body: object, status: int
) -> None:
    client = await world.tob()
    written = (await client.post("/trackers", json=TRACKER)).json()["tracker"]
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert world.mariadb.query("SELECT id, name FROM tracker_web", database=world.database) == [
        {"id": 1, "name": written["name"]}
    ]


async def test_a_reader_sees_the_row_first_loaded_then_from_its_own_memory_and_another_from_redis(world: World) -> None:
    written = (await (await world.tob()).post("/trackers", json=TRACKER)).json()["tracker"]
    first, second = await world.toc(), await world.toc()
    answers = [await client.get("/trackers/1") for client in (first, first, second)]
    assert [seen(answer) for answer in answers] == [("loaded", "fresh"), ("local", "fresh"), ("redis", "fresh")]
    assert [answer.json() for answer in answers] == [written] * 3
    assert all(int(answer.headers["X-Stampline-Age"]) >= 0 for answer in answers)
    assert len({answer.headers["X-Stampline-Stamp"] for answer in answers}) == 1


async def test_a_stamped_change_is_read_anew_and_an_unstamped_one_is_not(world: World) -> None:
    writer, reader = await world.tob(), await world.toc()
    await writer.post("/trackers", json=TRACKER)
    assert (await tracker(reader))["name"] == "one"
    await writer.patch("/trackers/1", json={"name": "two"})
    assert (await tracker(reader))["name"] == "one"
    await world.append(Change(("tracker_web:1",)), Heartbeat(now_ms(), now_ms()))

    async def is_two() -> bool:
        return bool((await tracker(reader))["name"] == "two")

    await until_async(is_two, "the change is read", every_s=0.01)


async def test_the_list_of_a_tenant_has_a_key_of_its_own(world: World) -> None:
    writer, reader = await world.tob(), await world.toc()
    for number in range(2):
        await writer.post("/trackers", json=TRACKER | {"tracker_id": f"T-{number}"})
    assert [row["id"] for row in (await reader.get("/trackers?tenant_id=7")).json()] == [1, 2]
    assert (await reader.get("/trackers?tenant_id=8")).json() == []
    again = await reader.get("/trackers?tenant_id=7")
    assert seen(again) == ("local", "fresh")


async def test_not_found_is_remembered(world: World) -> None:
    reader = await world.toc()
    answers = [await reader.get("/trackers/1") for _ in range(2)]
    assert [(answer.status_code, *seen(answer)) for answer in answers] == [
        (404, "loaded", "fresh"),
        (404, "local", "fresh"),
    ]


async def test_reads_survive_the_loss_of_redis(world: World) -> None:
    await (await world.tob()).post("/trackers", json=TRACKER)
    reader = await world.toc()
    await reader.get("/trackers/1")
    world.redis.stop()
    assert (await tracker(reader))["name"] == "one"
    assert (await reader.get("/trackers/2")).status_code == 404
    assert (await reader.get("/readyz")).status_code == 200


async def test_a_value_in_memory_survives_the_loss_of_the_database_and_a_missing_one_is_an_error(
    world: World,
) -> None:
    await (await world.tob()).post("/trackers", json=TRACKER)
    reader = await world.toc()
    await reader.get("/trackers/1")
    world.mariadb.stop()
    assert (await tracker(reader))["name"] == "one"
    refused = await reader.get("/trackers/2")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "database_unavailable")
    world.mariadb.start()
    assert (await reader.get("/trackers/2")).status_code == 404


async def test_the_world_without_stampline_does_not_notice(world: World) -> None:
    writer, reader = await world.tob(), await world.toc(ttl_only=True)
    await writer.post("/trackers", json=TRACKER)
    assert seen(await reader.get("/trackers/1")) == ("loaded", "unknown")
    await writer.patch("/trackers/1", json={"name": "two"})
    await world.append(Change(("tracker_web:1",)), Heartbeat(now_ms(), now_ms()))
    answer = await reader.get("/trackers/1")
    assert (seen(answer), answer.json()["name"]) == (("local", "unknown"), "one")
    with world.redis.client() as client:
        assert client.exists("ttl:tracker_web:1")


async def test_status_tells_what_the_cache_has_done(world: World) -> None:
    reader = await world.toc()
    await reader.get("/trackers/1")
    status = (await reader.get("/status")).json()
    assert (status["loads"], status["is_lagging"]) == (1, False)
    assert "-" in status["watermark"]
