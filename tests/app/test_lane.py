"""The fast lane says what the typed routes say, to the letter; and it leaves to them what is not its own."""

from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send

from app.lane import Lane
from tests.app.worlds import CHANGE, START_MS, World, service
from versioning import stamp as stamps
from versioning.entries import Change, Gap, Generation, Heartbeat

STAMP = stamps.text(stamps.make(START_MS))
ITEM = {"key": "tracker_web:1", "fill_stamp": STAMP}

HOT: list[tuple[str, Any]] = [
    ("/v1/versions/tracker_web:1", None),
    ("/v1/versions/tracker_web:2", None),
    ("/v1/versions/page:/a/b", None),
    ("/v1/versions", {"keys": ["tracker_web:2", "tracker_web:1", "other:1"]}),
    ("/v1/versions", {"keys": ["a:" + "x" * 510] * 1_000}),
    ("/v1/check", {"items": [ITEM, {"key": "other:1", "fill_stamp": "1-1"}, {"fill_stamp": "0-0", "key": "a:1"}]}),
]
COLD: list[tuple[str, Any]] = [
    ("/v1/versions/tracker_web:%22", None),
    ("/v1/versions/tracker_web:ä", None),
    ("/v1/versions/tracker_web", None),
    ("/v1/versions/", None),
    ("/v1/status", None),
    ("/v1/versions", {"keys": ['a:"', "a:\\", "a:ä"]}),
    ("/v1/versions", {"keys": []}),
    ("/v1/versions", {"keys": ["a:1", "a:" + "x" * 511]}),
    ("/v1/versions", {"keys": ["a:1", ":1"]}),
    ("/v1/versions", {"keys": ["a:1", "a:1 "]}),
    ("/v1/versions", {"keys": ["a:1"] * 1_001}),
    ("/v1/versions", {"keys": ["a:1", 2]}),
    ("/v1/versions", {"keys": "a:1"}),
    ("/v1/versions", {"keys": ["a:1"], "more": 1}),
    ("/v1/versions", ["a:1"]),
    ("/v1/versions", None),
    ("/v1/check", {"items": [ITEM | {"fill_stamp": "01-1"}]}),
    ("/v1/check", {"items": [ITEM | {"fill_stamp": 5}]}),
    ("/v1/check", {"items": [ITEM | {"key": 5}]}),
    ("/v1/check", {"items": [ITEM | {"more": 1}]}),
    ("/v1/check", {"items": [ITEM], "more": 1}),
    ("/v1/check", {"items": ITEM}),
    ("/v1/check", {"items": []}),
    ("/v1/check", [ITEM]),
    ("/v1/check", {}),
]


class Handed(Exception):  # noqa: N818 - no error
    """The lane has handed the request on."""


async def hand(scope: Scope, receive: Receive, send: Send) -> None:
    raise Handed


async def ask(world: World, app: Any, path: str, body: Any, **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://service") as client:
        if body is None:
            return await client.get(path, headers=headers)
        return await client.post(path, json=body, headers=headers)


async def assert_same(world: World) -> None:
    service_itself, lane = world.app, Lane(world.app, world.knowledge)
    for path, body in HOT + COLD:
        typed, fast = await ask(world, service_itself, path, body), await ask(world, lane, path, body)
        assert (fast.status_code, fast.json()) == (typed.status_code, typed.json()), path
        assert {**fast.headers} == {**typed.headers}


async def test_lane_and_typed_routes_say_the_same_whatever_is_known() -> None:
    """Covering, starting, incomplete, vouching, changed, pending, aged out, to be aged out, after a gap, lagging."""
    async with service() as world:
        world.knowledge.index.begin_covering()
        await world.append(Change(("tracker_web:2",)))
        await assert_same(world)
        world.knowledge.index.end_covering()
    async with service() as world:
        await assert_same(world)
        await world.beat()
        await assert_same(world)
        await world.complete()
        await assert_same(world)
        await world.append(CHANGE, Change(("tracker_web:2", "a:1"), gtid='odd "text"', pending=True))
        await assert_same(world)
        await world.append(Change(("tracker_web:2",)), Generation(("other",), START_MS, 0, "bump", pending=True))
        await assert_same(world)
        await world.append(Generation(("tracker_web",), START_MS, 600_000, "bump"))
        await assert_same(world)
        await world.append(Gap("lost"), Heartbeat(world.clock.ms), Change(("other:1",)))
        await assert_same(world)
        world.clock.ms += 16_000
        await assert_same(world)


@pytest.mark.parametrize(("path", "body"), HOT)
async def test_a_hot_request_is_answered_in_the_lane(path: str, body: Any) -> None:
    async with service() as world:
        await world.complete()
        await world.append(CHANGE)
        assert (await ask(world, Lane(hand, world.knowledge), path, body)).status_code == 200


async def test_what_is_not_the_lanes_own_is_handed_on() -> None:
    async with service() as world:
        lane = Lane(hand, world.knowledge)
        for path, body in COLD:
            with pytest.raises(Handed):
                await ask(world, lane, path, body)
        for headers in ({"content-type": "text/plain"}, {"content-length": str(1 << 21)}):
            with pytest.raises(Handed):
                await ask(world, lane, "/v1/versions", {"keys": ["a:1"]}, **headers)


async def test_a_change_whose_origin_must_be_read_from_the_stream_is_handed_on_once() -> None:
    async with service() as first:
        await first.append(CHANGE)
        async with service(stream=first.stream) as world:
            for path, body in (HOT[0], HOT[3]):
                with pytest.raises(Handed):
                    await ask(world, Lane(hand, world.knowledge), path, body)
            found = await ask(world, Lane(world.app, world.knowledge), *HOT[3])
            assert found.json()["versions"][1]["origin_gtid"] == "0-1-15"
            assert (await ask(world, Lane(hand, world.knowledge), *HOT[3])).status_code == 200
