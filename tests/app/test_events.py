"""The stream for clients without Redis: a client that keeps the last id misses nothing, or is told so."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Scope

from app import fanout
from app.events import events
from app.fanout import QUEUE_EVENTS_MAX, Event
from app.knowledge import Knowledge
from deploy.simulation.redis_server import RedisServer
from tests.app.worlds import CHANGE, START_MS, World, code_of, service
from tests.eventually import until_async
from versioning import stamp as stamps
from versioning.backends.base import Append, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Change, Entry, Gap, Generation, Heartbeat, NewEntry
from versioning.index import Index
from versioning.liveness import Now


class Client:
    """Reads ``/v1/stream`` as the route does, event by event."""

    def __init__(self, world: World, namespace: str = "", after: int | None = None) -> None:
        self._events: AsyncIterator[Event] = events(world.knowledge, namespace, after)

    async def next(self) -> Event:
        async with asyncio.timeout(20):
            return await anext(self._events)

    async def rest(self) -> list[Event]:
        async with asyncio.timeout(20):
            return [event async for event in self._events]


async def test_entries_arrive_as_they_come_after_an_opening_with_the_resume_point() -> None:
    async with service() as world:
        seen = await world.beat()
        client = Client(world)
        opened = await client.next()
        assert (opened.name, opened.stamp) == ("opened", seen)
        [stamp] = await world.append(CHANGE)
        event = await client.next()
        assert (event.name, event.stamp) == ("change", stamp)
        assert json.loads(event.data)["keys"] == list(CHANGE.keys)


async def test_a_client_that_comes_back_gets_what_it_missed_once_each() -> None:
    async with service() as world:
        seen, *missed = await world.append(*(Change((f"a:{n}",)) for n in range(1_200)))
        client = Client(world, after=seen)
        assert (await client.next()).name == "opened"
        assert [(await client.next()).stamp for _ in missed] == missed
        [live] = await world.append(CHANGE)
        assert (await client.next()).stamp == live


async def test_a_client_whose_id_is_gone_is_told_of_the_gap() -> None:
    async with service() as world:
        seen = await world.beat()
        world.stream.trim(seen + 1)
        client = Client(world, after=seen)
        assert (await client.next()).name == "opened"
        assert (await client.next()).name == "gap"


async def behind_a_break(world: World) -> tuple[Client, int]:
    """Return a client that was there, and the stamp of the first entry since."""
    await world.complete()
    client = Client(world)
    await client.next()
    world.stream.flush()
    await until_async(lambda: world.knowledge.follower.stats.breaks > 0, "the follower sees the break")
    [stamp] = await world.append(CHANGE)
    return client, stamp


async def misses_nothing(world: World, gap: Event, stamp: int) -> bool:
    """Whether a client that was cut off behind the gap is told of what came next, or of the gap once more."""
    again = Client(world, after=gap.stamp)
    await again.next()
    first = await again.next()
    return first.stamp == stamp or first.name == "gap"


async def test_a_broken_history_is_told_of_as_a_gap() -> None:
    async with service() as world:
        client, _ = await behind_a_break(world)
        assert [(await client.next()).name for _ in range(2)] == ["gap", "change"]


async def test_a_client_cut_off_behind_a_gap_gets_what_came_after_it() -> None:
    async with service() as world:
        client, stamp = await behind_a_break(world)
        assert await misses_nothing(world, await client.next(), stamp)


async def test_a_client_that_comes_back_behind_a_break_of_the_past_is_told_once_more() -> None:
    async with service() as world:
        seen, *_ = await world.append(CHANGE, CHANGE)
        world.stream.drop(lambda entry: entry.stamp == seen + 1)
        [stamp] = await world.append(CHANGE)
        client = Client(world, after=seen)
        await client.next()
        assert await misses_nothing(world, await client.next(), stamp)


async def test_what_was_pending_before_is_told_by_a_check_alone() -> None:
    """Why INTEGRATION has clients of events check each value, and none take it for fresh by events."""
    async with service() as world:
        await world.append(Gap("purged", "0-1-5", pending=True))
        stamp = await world.beat()
        opened = await Client(world).next()
        assert (opened.stamp, json.loads(opened.data)["doubt"]) == (stamp, None)
        body = {"items": [{"key": "t:1", "fill_stamp": stamps.text(stamp)}]}
        [verdict] = (await world.post("/v1/check", body)).json()["verdicts"]
        assert verdict["verdict"] == "unknown"


async def test_a_namespace_filters_changes_but_never_the_proofs_of_life() -> None:
    async with service() as world:
        client = Client(world, namespace="other")
        await client.next()
        await world.append(CHANGE, Generation(("tracker_web",), 1, 0, "x"), Generation(("other",), 1, 0, "x"))
        await world.beat()
        await world.append(Gap("lost"), Change(("other:1",)))
        assert [(await client.next()).name for _ in range(4)] == ["generation", "heartbeat", "gap", "change"]


async def test_a_client_that_does_not_keep_up_is_let_go_by_name_and_nobody_else() -> None:
    async with service() as world:
        slow, fast = Client(world), Client(world)
        await slow.next()
        await fast.next()
        taken = asyncio.create_task(fast.rest())
        for _ in range(QUEUE_EVENTS_MAX // 500 + 1):
            await world.append(*([CHANGE] * 500))
        assert len(world.knowledge.fanout) == 2, "as long as it has its connection it counts"
        left = await slow.rest()
        assert [event.name for event in left] == ["slow"]
        assert world.knowledge.fanout.slow_count == 1
        assert len(world.knowledge.fanout) == 1
        world.knowledge.fanout.close()
        assert len(await taken) == QUEUE_EVENTS_MAX + 500


@pytest.mark.parametrize("is_back", [False, True], ids=["new", "comes-back"])
async def test_before_the_service_has_begun_to_follow_a_client_is_sent_away_with_what_it_has(*, is_back: bool) -> None:
    stream = MemoryStream(lambda: START_MS)
    knowledge = Knowledge(stream, Index(), clock=lambda: Now(START_MS, 0))
    seen, missed = await stream.append(
        Append((NewEntry("1" * 16, Heartbeat(START_MS)), NewEntry("2" * 16, CHANGE)), clock_ms=START_MS)
    )
    held = seen if is_back else None

    async def told() -> list[Event]:
        return [event async for event in events(knowledge, "", held)]

    # Redis answers again, and the service's follower has not asked yet.
    listening = asyncio.create_task(told())
    await until_async(lambda: listening.done() or len(knowledge.fanout) == 1, "the client listens")
    try:
        await knowledge.follower.start()
        [later] = await stream.append(Append((NewEntry("3" * 16, CHANGE),), clock_ms=START_MS))
        await until_async(lambda: knowledge.index.watermark >= later, "the service has the entry")
        knowledge.fanout.close()
        opened, *found = await listening
        assert [event.name for event in found] == ["unavailable"], "entries came, and those before them did not"
        again = events(knowledge, "", opened.stamp)
        _, first = await anext(again), await anext(again)
        assert first.stamp == missed if is_back else first.name == "gap"
    finally:
        await knowledge.follower.aclose()


@pytest.mark.integration
async def test_many_clients_that_come_back_at_once_leave_connections_to_the_others(redis_b: RedisServer) -> None:
    stream = RedisStream.from_url(redis_b.url)
    knowledge = Knowledge(stream, Index())
    entries = tuple(NewEntry(f"{number:016x}", CHANGE) for number in range(20))
    seen, *missed = await stream.append(Append(entries, clock_ms=START_MS))
    await knowledge.follower.start()

    async def come_back() -> list[str]:
        return [event.name async for event in events(knowledge, "", seen)]

    try:
        clients = [asyncio.create_task(come_back()) for _ in range(300)]
        await asyncio.sleep(0)  # All of them listen.
        knowledge.fanout.close()
        told = await asyncio.gather(*clients)
        assert [names for names in told if names != ["opened", *["change"] * len(missed)]] == []
        assert knowledge.follower.stats.reconnects == 0
    finally:
        await knowledge.follower.aclose()
        await stream.aclose()


async def test_redis_that_fails_while_the_past_is_read_ends_the_stream_by_name() -> None:
    async with service() as world:
        seen = await world.beat()

        async def down(stamp: int) -> Entry | None:
            raise UnavailableError("gone")

        world.stream.read_one = down  # type: ignore[method-assign]
        client = Client(world, after=seen)
        await client.next()
        assert [event.name for event in await client.rest()] == ["unavailable"]


async def test_text_that_is_no_unicode_does_not_end_the_stream() -> None:
    async with service() as world:
        client = Client(world)
        await client.next()
        await world.append(Change(("a:\ud800",)), CHANGE)
        assert [(await client.next()).name for _ in range(2)] == ["change", "change"]


async def test_an_id_that_is_no_stamp_is_refused_before_the_stream_begins() -> None:
    async with service() as world:
        answer = await world.client.get("/v1/stream", headers={"Last-Event-ID": "yesterday"})
        assert code_of(answer) == (422, "stamp_malformed")


async def test_over_http_an_event_has_name_id_and_json() -> None:
    async with service() as world:
        seen = await world.beat()
        request = asyncio.create_task(world.client.get("/v1/stream"))
        await until_async(lambda: len(world.knowledge.fanout) == 1, "the client listens")
        [stamp] = await world.append(CHANGE)
        world.knowledge.fanout.close()
        answer = await request
        assert answer.headers["content-type"].startswith("text/event-stream")
        opened, change, _ = answer.text.split("\n\n")
        assert "event: opened" in opened
        assert f"id: {stamps.text(seen)}" in opened
        assert f"id: {stamps.text(stamp)}" in change
        assert "event: change" in change


STREAM_SCOPE: Scope = {
    "type": "http", "method": "GET", "path": "/v1/stream", "query_string": b"", "headers": [], "root_path": "",
    "http_version": "1.1", "scheme": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
}  # fmt: skip
"""For tests that see each part of the body when it is sent: the client of the others has the whole answer or none."""


async def test_a_silent_stream_says_that_its_connection_still_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SILENCE_S", 0.01)
    told: list[bytes] = []

    async def receive() -> Message:
        forever: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await forever

    async def send(message: Message) -> None:
        told.append(message.get("body", b""))

    async with service() as world:
        request = asyncio.create_task(world.app(STREAM_SCOPE, receive, send))
        await until_async(lambda: b": ping\n\n" in told, "the silence is told")
        await world.append(CHANGE)
        await until_async(lambda: any(part.startswith(b"event: change") for part in told), "the change is told")
        world.knowledge.fanout.close()
        await request


async def test_a_client_that_goes_away_with_events_on_their_way_to_it_listens_no_more() -> None:
    is_gone = asyncio.Event()

    async def receive() -> Message:
        await is_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()  # It reads no more: its socket is full.

    async with service() as world:
        await world.beat()
        gc.disable()
        try:
            request = asyncio.create_task(world.app(STREAM_SCOPE, receive, send))
            await until_async(lambda: len(world.knowledge.fanout) == 1, "the client listens")
            await world.append(*([CHANGE] * 20))
            is_gone.set()
            await request
            assert len(world.knowledge.fanout) == 0
        finally:
            gc.enable()
