"""``/v1/site`` and its neighbours over HTTP, and the page's own files."""

import re

from app.pages import STATIC
from app.service import create_app
from app.settings import ServeSection
from app.site.history import SPAN_MS, STEP_MS, History, Sample
from tests.app.worlds import CHANGE, START_MS, service
from tests.eventually import until_async
from versioning import stamp as stamps
from versioning.backends.memory import MemoryStream
from versioning.entries import Change

NOBODY = {"name": "source-1", "role": "source", "url": "http://127.0.0.1:9"}


async def test_the_site_is_drawn_from_the_own_follower_and_what_the_others_say() -> None:
    async with service(ServeSection.model_validate({"component": [NOBODY]})) as world:
        await world.complete()
        await world.append(CHANGE)
        board = world.watch.board
        await until_async(lambda: board.sightings[0].reason == "nothing listens there", "the source is looked for")
        site = await world.get("/v1/site")
    assert (site["dc"], site["is_degraded"], site["flow"]["keys"]) == ("local", False, 2)
    assert site["service"]["processes"][0]["is_self"]
    [source] = site["source"]["processes"]
    assert (source["name"], source["is_up"], source["reason"]) == ("source-1", False, "nothing listens there")
    assert [finding["code"] for finding in site["findings"]] == ["sources_unseen"]


async def test_changes_are_counted_once_though_a_pending_key_is_stamped_twice() -> None:
    async with service() as world:
        await world.beat()
        world.watch.look()
        await world.append(Change(("a:1", "a:2"), gtid="0-1-1", pending=True), Change(("a:1", "a:2"), settled=True))
        world.clock.ms += 8_000
        world.watch.look()
        flow = (await world.get("/v1/site"))["flow"]
        assert (flow["changes_per_s"], flow["keys_per_s"]) == (0.125, 0.25)
        point = (await world.get("/v1/history"))["points"][-1]
        assert (point["changes_per_s"], point["lag_ms"], point["pending"]) == (0.125, 8_000, 0)


async def test_the_newest_entries_come_first_and_heartbeats_do_not_come() -> None:
    async with service() as world:
        appended = await world.append(CHANGE, Change(("a:1",)))
        await world.beat()
        entries = (await world.get("/v1/recent"))["entries"]
    assert [entry["stamp"] for entry in entries] == [stamps.text(stamp) for stamp in reversed(appended)]


async def test_namespaces_are_counted_and_the_count_is_kept_for_a_while() -> None:
    async with service() as world:
        await world.append(CHANGE, Change(("tracker_web:2",)))
        found = (await world.get("/v1/namespaces"))["namespaces"]
        assert found == [{"namespace": "tracker_web", "keys": 2}, {"namespace": "trackers_by_tenant", "keys": 1}]
        await world.append(Change(("tracker_web:3",)))
        assert (await world.get("/v1/namespaces"))["namespaces"] == found
        world.clock.ms += 6_000
        assert (await world.get("/v1/namespaces"))["namespaces"][0]["keys"] == 3


async def test_every_service_answers_status_as_others_ask_it() -> None:
    async with service() as world:
        assert await world.get("/status") == await world.get("/v1/status")


def test_the_interface_is_described() -> None:
    paths = create_app(ServeSection(), MemoryStream(lambda: START_MS)).openapi()["paths"]
    for path in ("/v1/site", "/v1/history", "/v1/recent", "/v1/namespaces"):
        assert "$ref" in str(paths[path]["get"]["responses"]["200"]["content"]["application/json"]["schema"])


def sample(at_ms: int, lag_ms: int | None = 1, pending: int = 0) -> Sample:
    return Sample(at_ms, lag_ms, None, 0.0, 0.0, pending)


def test_a_point_of_the_history_is_the_worst_of_its_interval() -> None:
    history = History()
    for at_ms, lag_ms in ((0, 5), (1_000, 900), (4_999, 5), (STEP_MS, 7), (STEP_MS + 1, None)):
        history.add(sample(at_ms, lag_ms))
    assert [(point.time_ms, point.lag_ms) for point in history.since(0)] == [(4_999, 900), (STEP_MS + 1, None)]


def test_the_history_forgets_what_is_older_than_its_span() -> None:
    history = History()
    for at_ms in range(0, 2 * SPAN_MS, 1_000):
        history.add(sample(at_ms))
    assert len(history.since(0)) == SPAN_MS // STEP_MS
    assert len(history.since(2 * SPAN_MS - 60_000)) == 12


def test_a_clock_that_is_set_back_leaves_the_history_in_order() -> None:
    history = History()
    for at_ms in (0, STEP_MS, 2 * STEP_MS, 3 * STEP_MS, STEP_MS, 2 * STEP_MS):
        history.add(sample(at_ms))
    assert [point.time_ms for point in history.since(0)] == [0, STEP_MS, 2 * STEP_MS]


async def test_the_page_may_ask_nobody_else_and_is_served_under_a_strict_policy() -> None:
    async with service() as world:
        for path in ("/", *(f"/static/{file.name}" for file in STATIC.iterdir())):
            answer = await world.client.get(path)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
            assert "unsafe" not in policy
            assert answer.headers["cache-control"] == "no-cache"
            addresses = set(re.findall(r"\w+://[^\"' ]+", answer.text))
            assert addresses <= {"http://www.w3.org/2000/svg"}, path


def test_the_page_has_no_inline_code_and_every_field_has_a_label() -> None:
    page = (STATIC / "index.html").read_text()
    assert not re.search(r"\s(style|on\w+)=|<style|<script(?![^>]*\ssrc=)", page)
    fields = re.findall(r'<(?:input|textarea)\s+id="([\w-]+)"', page)
    assert len(fields) >= 6
    for field in fields:
        assert f'for="{field}"' in page
