"""Alive, ready, metrics and status of the version service."""

import asyncio

import pytest

from tests.app.worlds import CHANGE, START_MS, code_of, service
from tests.eventually import until_async


async def test_a_service_is_alive_before_it_is_ready() -> None:
    async with service() as world:
        assert (await world.client.get("/livez")).status_code == 200
        assert code_of(await world.client.get("/readyz")) == (503, "not_ready")
        await world.beat()
        assert (await world.client.get("/readyz")).status_code == 200


async def test_probes_answer_head_as_some_load_balancers_ask() -> None:
    async with service() as world:
        assert (await world.client.head("/livez")).status_code == 200
        assert (await world.client.head("/readyz")).status_code == 503


async def test_a_follower_that_hangs_ends_the_liveness_of_a_service_that_still_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with service() as world:
        await world.beat()
        hanging = asyncio.Event()

        async def hang(*_: object, **__: object) -> None:
            hanging.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(world.stream, "read_after", hang)
        await until_async(hanging.wait, "the follower hangs")
        world.clock.ms += 31_000
        assert code_of(await world.client.get("/livez")) == (503, "not_alive")


async def test_readiness_ends_with_the_lag_configured_or_asked_for() -> None:
    async with service() as world:
        await world.beat()
        world.clock.ms += 10_000
        assert (await world.client.get("/readyz")).status_code == 200
        assert code_of(await world.client.get("/readyz?max_lag=5")) == (503, "not_ready")
        world.clock.ms += 10_000
        assert (await world.client.get("/readyz")).status_code == 503
        assert (await world.client.get("/readyz?max_lag=60")).status_code == 200


async def test_a_history_of_which_nothing_is_known_is_ready_by_nobodys_limit() -> None:
    async with service() as world:
        await world.beat()
        # Lost, and begun anew by a clock far behind: all its stamps are below those that were handed out.
        world.stream.flush()
        await until_async(lambda: world.knowledge.follower.stats.breaks > 0, "the service sees it")
        world.clock.ms -= 60_000
        await world.append(CHANGE)
        await world.beat()
        await until_async(lambda: world.knowledge.follower.is_covered, "the new history is read")
        status = await world.get("/v1/status")
        assert (status["vouches"], status["horizon"]) == (False, None)
        assert status["reason"].startswith("the stream begins anew below ")
        site = await world.get("/v1/site")
        assert [finding["code"] for finding in site["findings"]] == ["history_lost"], site["headline"]
        for path in ("/readyz", "/readyz?max_lag=15"):
            assert code_of(await world.client.get(path)) == (503, "not_ready"), status


async def test_a_stream_that_is_not_reached_is_named_before_the_lag_that_comes_of_it() -> None:
    async with service() as world:
        await world.beat()
        stats = world.knowledge.follower.stats
        stats.is_connected, stats.last_error = False, "Redis b:1 is not available"
        assert (await world.client.get("/readyz")).status_code == 200, "what is known holds for a while"
        world.clock.ms += 16_000
        for path in ("/readyz", "/readyz?max_lag=1"):
            assert (await world.get(path))["error"]["message"] == "unreachable: Redis b:1 is not available"


async def test_a_nonsense_lag_is_refused() -> None:
    async with service() as world:
        assert code_of(await world.client.get("/readyz?max_lag=-1")) == (422, "invalid_request")


async def test_metrics_have_base_units_and_no_keys() -> None:
    async with service() as world:
        await world.beat()
        await world.append(CHANGE)
        world.clock.ms += 2_500
        text = (await world.client.get("/metrics")).text
        assert f'stampline_service_read_timestamp_seconds{{dc="local"}} {START_MS / 1000:.1e}' in text
        assert 'stampline_service_index_keys{dc="local"} 2.0' in text
        assert "stampline_service_entries_total" in text
        assert 'stampline_service_stream_latency_seconds_bucket{dc="local",le="0.001"} 1.0' in text
        assert 'stampline_service_commit_latency_seconds_sum{dc="local"} 0.005' in text
        assert "tracker_web" not in text


async def test_a_time_nobody_knows_is_absent_from_the_metrics() -> None:
    async with service() as world:
        assert "timestamp_seconds" not in (await world.client.get("/metrics")).text


async def test_status_says_what_is_known() -> None:
    async with service() as world:
        await world.complete()
        await world.append(CHANGE)
        status = await world.get("/v1/status")
        assert (status["vouches"], status["keys"], status["lag_ms"]) == (True, 2, 0)
