"""Lookups and checks: what is known, how far it is vouched for, and what is refused."""

from collections.abc import AsyncIterator

import pytest

from tests.app.worlds import CHANGE, START_MS, World, code_of, service
from versioning import stamp as stamps
from versioning.backends.base import UnavailableError
from versioning.entries import Change, Entry, Gap, Generation


async def test_a_lookup_tells_the_last_change_and_where_it_came_from() -> None:
    async with service() as world:
        await world.complete()
        [stamp] = await world.append(CHANGE)
        found = await world.get("/v1/versions/tracker_web:1")
        assert found["stamp"] == stamps.text(stamp)
        assert (found["time_ms"], found["committed_ms"]) == (stamps.ms_of(stamp), START_MS - 5)
        assert (found["origin_gtid"], found["vouches"], found["reason"]) == ("0-1-15", True, None)


async def test_no_change_within_the_window_is_vouched_for_with_its_horizon() -> None:
    async with service() as world:
        await world.complete()
        found = await world.get("/v1/versions/tracker_web:2")
        assert (found["stamp"], found["vouches"]) == (None, True)
        assert stamps.parse(found["since"]) < stamps.make(START_MS)


async def test_an_entry_from_before_the_service_began_is_read_from_the_stream() -> None:
    async with service() as first:
        await first.append(CHANGE)
        async with service(stream=first.stream) as world:
            assert (await world.get("/v1/versions/tracker_web:1"))["origin_gtid"] == "0-1-15"


async def test_an_empty_service_never_vouches() -> None:
    async with service() as world:
        found = await world.get("/v1/versions/tracker_web:1")
        assert (found["stamp"], found["since"], found["vouches"]) == (None, None, False)
        assert found["reason"].startswith("starting")


async def test_a_history_shorter_than_the_window_does_not_vouch_for_silence() -> None:
    async with service() as world:
        await world.beat()
        found = await world.get("/v1/versions/tracker_web:1")
        assert not found["vouches"]
        assert found["reason"].startswith("incomplete")


async def test_a_stamp_below_a_gap_is_not_vouched_for_as_the_last() -> None:
    async with service() as world:
        await world.complete()
        await world.append(CHANGE, Gap("lost"))
        await world.beat()
        assert not (await world.get("/v1/versions/tracker_web:1"))["vouches"]
        await world.append(Change(("tracker_web:1",)))
        assert (await world.get("/v1/versions/tracker_web:1"))["vouches"]


@pytest.mark.parametrize(
    ("kind", "content", "refusal"),
    [
        (None, b'{"keys": ["a:1"]}', (415, "wrong_media_type")),
        ("text/plain", b'{"keys": ["a:1"]}', (415, "wrong_media_type")),
        ("application/x-www-form-urlencoded", b"keys=a:1", (415, "wrong_media_type")),
        ("application/json", b'{"keys": ["a:1"', (400, "malformed_body")),
        ("application/json", b"\xff", (400, "malformed_body")),
        ("application/json", b'"a:1"', (422, "invalid_request")),
        ("application/json", b"", (422, "invalid_request")),
    ],
)
async def test_a_body_that_is_no_json_is_told_from_one_that_does_not_fit(
    kind: str | None, content: bytes, refusal: tuple[int, str]
) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    async with service() as world:
        for path in ("/v1/versions", "/v1/bump"):
            assert code_of(await world.client.post(path, content=content, headers=headers)) == refusal


async def test_a_lagging_service_still_answers_but_does_not_vouch() -> None:
    async with service() as world:
        await world.complete()
        await world.append(CHANGE)
        world.clock.ms += 16_000
        found = await world.get("/v1/versions/tracker_web:1")
        assert found["stamp"] is not None
        assert (found["vouches"], found["reason"][:7]) == (False, "lagging")


async def test_a_stream_that_does_not_answer_costs_the_origin_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service() as first:
        await first.complete()
        await first.append(CHANGE)
        async with service(stream=first.stream) as world:

            async def down(stamp: int) -> Entry | None:
                raise UnavailableError("gone")

            monkeypatch.setattr(world.stream, "read_one", down)
            found = await world.get("/v1/versions/tracker_web:1")
            assert (found["origin_gtid"], found["vouches"]) == (None, True)


async def test_a_namespace_that_was_aged_out_has_changed_every_key_of_it() -> None:
    async with service() as world:
        [stamp] = await world.append(Generation(("tracker_web",), START_MS, 0, "truncate"))
        assert (await world.get("/v1/versions/tracker_web:77"))["stamp"] == stamps.text(stamp)


async def test_a_pending_key_is_told() -> None:
    async with service() as world:
        await world.append(Change(("tracker_web:1",), gtid="0-1-1", pending=True))
        assert (await world.get("/v1/versions/tracker_web:1"))["is_pending"]


async def loads(world: World, key: str) -> list[tuple[bool, str]]:
    """Return what a check and the lookups say to who loads the key next: is it pending, and the fill stamp."""
    check = await world.post("/v1/check", {"items": [{"key": key, "fill_stamp": "0-0"}]})
    batch = await world.post("/v1/versions", {"keys": [key]})
    found = check.json()["verdicts"][0], batch.json()["versions"][0], await world.get(f"/v1/versions/{key}")
    return [(answer["is_pending"], answer["fill_stamp"]) for answer in found]


async def test_who_loads_a_key_is_told_its_fill_stamp_and_that_it_is_pending() -> None:
    async with service() as world:
        await world.append(Change(("tracker_web:1",), gtid="0-1-1", pending=True))
        watermark = stamps.text(await world.beat())
        assert await loads(world, "tracker_web:1") == [(True, watermark)] * 3
        assert await loads(world, "tracker_web:2") == [(False, watermark)] * 3
        await world.append(Change(("tracker_web:1",), gtid="0-1-1", settled=True))
        watermark = stamps.text(await world.beat())
        assert await loads(world, "tracker_web:1") == [(False, watermark)] * 3


async def test_a_namespace_that_is_pending_makes_no_value_of_it_provisional() -> None:
    async with service() as world:
        await world.complete()
        await world.append(Generation(("tracker_web",), START_MS, 0, "ddl", gtid="0-1-1", pending=True))
        watermark = stamps.text(await world.beat())
        checked, *looked_up = await loads(world, "tracker_web:1")
        assert checked == (False, watermark)
        assert looked_up == [(True, watermark)] * 2
        assert await verdict(world, "tracker_web:1", stamps.parse(watermark)) == ("unknown", None)


async def test_while_the_window_is_covered_no_more_is_promised_of_a_key_than_is_known_of_it() -> None:
    async with service() as world:
        world.knowledge.index.begin_covering()
        [bumped, changed] = await world.append(Change(("a:1",)), Change(("a:2",), gtid="0-1-1"))
        assert await loads(world, "a:1") == [(True, stamps.text(bumped))] * 3
        assert await loads(world, "a:2") == [(False, stamps.text(changed))] * 3
        assert await loads(world, "a:3") == [(False, "0-0")] * 3
        world.knowledge.index.end_covering()
        assert await loads(world, "a:3") == [(False, stamps.text(changed))] * 3


async def test_a_key_may_hold_slashes_and_escapes() -> None:
    async with service() as world:
        await world.append(Change(("page:/a/b%2Fc",)))
        assert (await world.get("/v1/versions/page:/a/b%252Fc"))["stamp"] is not None
        assert (await world.get("/v1/versions/page:/a/b%2Fc"))["key"] == "page:/a/b/c"


async def test_a_batch_answers_in_the_order_asked() -> None:
    async with service() as world:
        await world.append(CHANGE)
        answer = await world.post("/v1/versions", {"keys": ["tracker_web:2", "tracker_web:1"]})
        assert [(v["key"], v["stamp"] is None) for v in answer.json()["versions"]] == [
            ("tracker_web:2", True),
            ("tracker_web:1", False),
        ]


async def verdict(world: World, key: str, fill_stamp: int) -> tuple[str, int | None]:
    """Return the verdict, and how long ago the value was proven current."""
    item = {"key": key, "fill_stamp": stamps.text(fill_stamp)}
    found = (await world.post("/v1/check", {"items": [item]})).json()["verdicts"][0]
    return found["verdict"], found["proven_ago_ms"]


async def test_a_check_says_when_a_generation_that_is_known_by_now_will_age_the_value_out() -> None:
    async with service() as world:
        await world.complete()
        fill = await world.beat()
        spread_ms = 200_000
        await world.append(Generation(("tracker_web",), world.clock.ms, spread_ms, "bump"))
        after = await world.beat()
        item = {"key": "tracker_web:1", "fill_stamp": stamps.text(fill)}
        newer = {"key": "tracker_web:1", "fill_stamp": stamps.text(after)}
        told, unconcerned = (await world.post("/v1/check", {"items": [item, newer]})).json()["verdicts"]
        assert (unconcerned["verdict"], unconcerned["stale_at_ms"]) == ("fresh", None)
        assert told["verdict"] == "fresh"
        world.clock.ms = told["stale_at_ms"] - 1
        await world.beat()
        assert (await verdict(world, "tracker_web:1", fill))[0] == "fresh"
        world.clock.ms = told["stale_at_ms"]
        await world.beat()
        assert (await verdict(world, "tracker_web:1", fill))[0] == "stale"


async def test_as_long_as_a_gap_is_pending_a_check_says_unknown_and_why() -> None:
    async with service() as world:
        await world.complete()
        await world.append(Gap("purged", "0-1-5", pending=True), CHANGE)
        stamp = await world.beat()
        item = {"key": "tracker_web:1", "fill_stamp": stamps.text(stamp)}
        answer = (await world.post("/v1/check", {"items": [item]})).json()
        assert (answer["verdicts"][0]["verdict"], answer["reason"].partition(":")[0]) == ("unknown", "a gap is pending")
        assert (await world.get("/v1/versions/tracker_web:1"))["vouches"]


async def test_a_check_proves_stale_vouches_fresh_and_says_unknown_otherwise() -> None:
    async with service() as world:
        await world.complete()
        [stamp] = await world.append(CHANGE)
        assert await verdict(world, "tracker_web:1", stamp - 1) == ("stale", None)
        assert await verdict(world, "tracker_web:1", stamp) == ("fresh", 0)
        assert await verdict(world, "tracker_web:2", 1) == ("unknown", None)
        world.clock.ms += 16_000
        assert await verdict(world, "tracker_web:1", stamp - 1) == ("stale", None)
        assert await verdict(world, "tracker_web:1", stamp) == ("unknown", 16_000)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/versions", {"keys": ["a:" + "x" * 511]}, "key_too_long"),
        ("/v1/versions", {"keys": ["a:" + "ä" * 256]}, "key_too_long"),
        ("/v1/versions", {"keys": ["no-namespace"]}, "key_malformed"),
        ("/v1/versions", {"keys": ["a:b c"]}, "key_malformed"),
        ("/v1/versions", {"keys": ["a:1"] * 1_001}, "too_many_keys"),
        ("/v1/versions", {"keys": [1]}, "invalid_request"),
        ("/v1/versions", {"keys": "a:1"}, "invalid_request"),
        ("/v1/versions", {"keys": [], "key": "a:1"}, "invalid_request"),
        ("/v1/versions", ["a:1"], "invalid_request"),
        ("/v1/check", {"items": [{"key": "a:1", "fill_stamp": "yesterday"}]}, "stamp_malformed"),
        ("/v1/check", {"items": [{"key": "a:1", "fill_stamp": 5}]}, "invalid_request"),
        ("/v1/check", {"items": [{"key": "a:1", "fill_stamp": "1-1"}] * 1_001}, "too_many_keys"),
    ],
    ids=str,
)
async def test_what_cannot_be_asked_is_refused_with_a_code(path: str, body: object, code: str) -> None:
    async with service() as world:
        assert code_of(await world.post(path, body)) == (422, code)


async def test_text_that_is_no_unicode_is_no_key() -> None:
    async with service() as world:
        headers = {"Content-Type": "application/json"}
        answer = await world.client.post("/v1/versions", content=b'{"keys": ["a:\\ud800"]}', headers=headers)
        assert answer.status_code == 422


async def test_a_line_break_at_the_end_of_a_path_belongs_to_the_key() -> None:
    async with service() as world:
        assert code_of(await world.client.get("/v1/versions/a:1%0A")) == (422, "key_malformed")


async def test_bytes_in_a_path_that_are_no_utf_8_are_no_key() -> None:
    """They are replaced on the way: one that never changes would be vouched for."""
    async with service() as world:
        assert code_of(await world.client.get("/v1/versions/user:%E9")) == (422, "key_malformed")


async def test_a_field_that_nobody_asked_for_is_not_repeated_at_length() -> None:
    async with service() as world:
        refused = await world.post("/v1/check", {"items": [], "x" * 100_000: 1})
        assert code_of(refused) == (422, "invalid_request")
        assert len(refused.content) < 500


async def test_a_long_key_in_the_path_is_refused() -> None:
    async with service() as world:
        assert code_of(await world.client.get("/v1/versions/a:" + "x" * 600)) == (422, "key_too_long")


async def test_the_largest_request_allowed_is_served() -> None:
    async with service() as world:
        keys = [f"a:{number:0510d}" for number in range(1_000)]
        assert (await world.post("/v1/versions", {"keys": keys})).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"), [("versions", {"keys": [0, 0]}), ("check", {"items": [0, 0]}), ("bump", {"keys": [0, 0]})]
)
async def test_of_many_wrong_items_the_first_is_named(path: str, body: dict[str, list[int]]) -> None:
    """An error is made of each that is looked at: of half a million, seconds in which the service does nothing else."""
    async with service() as world:
        refused = await world.client.post(f"/v1/{path}", json=body)
        assert code_of(refused) == (422, "invalid_request")
        assert refused.json()["error"]["hint"] == "see /docs"


async def test_large_bodies_are_refused_declared_or_not() -> None:
    async with service() as world:
        large = b'{"keys": ["' + b"x" * (1 << 20)

        async def undeclared() -> AsyncIterator[bytes]:
            for start in range(0, len(large), 65_536):
                yield large[start : start + 65_536]

        headers = {"Content-Type": "application/json"}
        declared = await world.client.post("/v1/versions", content=large, headers=headers)
        streamed = await world.client.post("/v1/versions", content=undeclared(), headers=headers)
        assert code_of(declared) == code_of(streamed) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/v2", "not_found"), ("PUT", "/v1/check", "method_not_allowed")]
)
async def test_even_a_wrong_address_answers_in_the_error_shape(method: str, path: str, code: str) -> None:
    async with service() as world:
        assert code_of(await world.client.request(method, path))[1] == code


@pytest.mark.parametrize("path", ["/v1/versions/a:1", "/v1/status", "/readyz", "/v2"])
async def test_no_proxy_may_keep_an_answer_and_vouch_with_it_later(path: str) -> None:
    async with service() as world:
        assert (await world.client.get(path)).headers["cache-control"] == "no-store"
