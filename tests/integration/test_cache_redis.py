"""Both caches on a real Redis: what a read costs, who loads, and what happens when Redis goes away."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.simulation.redis_server import RedisServer
from tests.eventually import until, until_async
from tests.integration.feed import Feed
from versioning import AsyncVersionedCache, Tier, VersionedCache

KEY = "tracker_web:1"
PATIENT_MS = 5_000
"""A busy machine is no reason for a read to give Redis up in a test that counts commands."""


@pytest.fixture
def feed(redis_b: RedisServer, redis_a: RedisServer) -> Iterator[Feed]:
    """The stream lives on redis_a here, so that redis_b shows the cache's own commands alone."""
    with Feed(redis_a.url) as feed:
        yield feed


def cache_of(stream: RedisServer, values: RedisServer, **options: Any) -> VersionedCache:
    return VersionedCache.from_url(stream.url, values.url, values_timeout_ms=PATIENT_MS, **options)


def never() -> Any:
    raise AssertionError("this value is cached: nobody may load it")


def commands(redis: RedisServer) -> dict[str, int]:
    with redis.client() as client:
        stats: dict[str, Any] = client.info("commandstats")
    ignored = {"info", "hello", "client", "client|setinfo", "script", "evalsha", "select", "config|resetstat"}
    counts = {name.removeprefix("cmdstat_"): found["calls"] for name, found in stats.items()}
    return {name: count for name, count in counts.items() if name not in ignored}


def forget_commands(redis: RedisServer) -> None:
    with redis.client() as client:
        client.config_resetstat()


def test_a_redis_read_is_one_get_and_a_hit_is_none(redis_a: RedisServer, redis_b: RedisServer, feed: Feed) -> None:
    keys = [f"tracker_web:{number}" for number in range(100)]
    with cache_of(redis_a, redis_b) as filler, cache_of(redis_a, redis_b) as reader:
        filler.get_many(keys, lambda missing: dict.fromkeys(missing, "value"))
        forget_commands(redis_b)
        for key in keys:
            assert reader.read(key, never).tier is Tier.REDIS
        assert commands(redis_b) == {"get": 100}
        for key in keys:
            assert reader.read(key, never).tier is Tier.LOCAL
        assert commands(redis_b) == {"get": 100}
        forget_commands(redis_b)
        with cache_of(redis_a, redis_b) as other:
            other.get_many(keys, lambda missing: never())
        assert commands(redis_b) == {"mget": 1}


async def test_a_change_is_seen_by_every_process_and_loaded_once(
    redis_a: RedisServer, redis_b: RedisServer, feed: Feed
) -> None:
    loads = 0

    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0.02)
        return loads

    caches = [
        AsyncVersionedCache.from_url(redis_a.url, redis_b.url, values_timeout_ms=PATIENT_MS, lease_wait_ms=20_000)
        for _ in range(5)
    ]
    try:
        await asyncio.gather(*(cache.start() for cache in caches))
        assert await asyncio.gather(*(cache.get(KEY, load) for cache in caches)) == [1] * 5
        for expected in (2, 3, 4):
            await asyncio.to_thread(feed.change, KEY)
            await until_async(lambda: all(cache.peek(KEY) is None for cache in caches), "the change reaches all")
            assert await asyncio.gather(*(cache.get(KEY, load) for cache in caches)) == [expected] * 5
        assert loads == 4
    finally:
        await asyncio.gather(*(cache.aclose() for cache in caches))


def test_the_lease_holds_between_caches_of_threads(redis_a: RedisServer, redis_b: RedisServer, feed: Feed) -> None:
    calls = []

    def load() -> str:
        calls.append(KEY)
        until(lambda: second.info().lease_waits == 1, "the second cache waits for the lease")
        return "value"

    with cache_of(redis_a, redis_b) as first, cache_of(redis_a, redis_b) as second, ThreadPoolExecutor(1) as pool:
        leader = pool.submit(first.get, KEY, load)
        until(lambda: calls, "the first cache loads")
        assert second.read(KEY, never).tier is Tier.REDIS
        assert leader.result() == "value"


def test_reads_survive_redis_and_use_it_again_when_it_is_back(
    redis_a: RedisServer, redis_b: RedisServer, feed: Feed
) -> None:
    with VersionedCache.from_url(redis_a.url, redis_b.url) as cache:
        redis_b.stop()
        assert cache.get(KEY, lambda: "loaded") == "loaded"
        assert cache.read(KEY, never).tier is Tier.LOCAL
        assert cache.info().redis_errors
        redis_b.start()
        cache.refresh(KEY, lambda: "refreshed")
        with cache_of(redis_a, redis_b) as other:
            until(lambda: other.get(KEY, lambda: "not filled yet") is not None, "the value is read")
            assert cache.read("tracker_web:2", lambda: 2).tier is Tier.LOADED
            assert other.read("tracker_web:2", never).tier is Tier.REDIS


def test_reads_survive_a_frozen_redis(redis_a: RedisServer, redis_b: RedisServer, feed: Feed) -> None:
    with VersionedCache.from_url(redis_a.url, redis_b.url) as cache:
        redis_b.pause()
        try:
            assert cache.get(KEY, lambda: "loaded") == "loaded"
        finally:
            redis_b.resume()


def test_not_found_and_lists_are_cached_like_any_value(redis_a: RedisServer, redis_b: RedisServer, feed: Feed) -> None:
    rows = [{"id": 1, "name": "ä"}, {"id": 2, "name": None}]
    with cache_of(redis_a, redis_b) as filler, cache_of(redis_a, redis_b) as reader:
        filler.get("trackers_by_tenant:7", lambda: rows)
        filler.get("tracker_web:404", lambda: None)
        assert reader.get("trackers_by_tenant:7", never) == rows
        missing = reader.read("tracker_web:404", never)
        assert (missing.value, missing.tier) == (None, Tier.REDIS)
        feed.change("trackers_by_tenant:7", "tracker_web:404")
        until(lambda: reader.peek("trackers_by_tenant:7") is None, "the change reaches the reader")
        assert reader.get("trackers_by_tenant:7", lambda: rows[:1]) == rows[:1]
        assert reader.get("tracker_web:404", lambda: {"id": 404}) == {"id": 404}


def test_a_prefix_keeps_two_applications_apart(redis_a: RedisServer, redis_b: RedisServer, feed: Feed) -> None:
    with cache_of(redis_a, redis_b, prefix="one:") as one, cache_of(redis_a, redis_b, prefix="two:") as two:
        one.get(KEY, lambda: 1)
        assert two.get(KEY, lambda: 2) == 2
        feed.change(KEY)
        until(lambda: one.peek(KEY) is None and two.peek(KEY) is None, "the change reaches both")


def test_many_threads_share_a_small_local_cache_without_mixing_values_up(
    redis_a: RedisServer, redis_b: RedisServer, feed: Feed
) -> None:
    with cache_of(redis_a, redis_b, local_max_entries=20) as cache, ThreadPoolExecutor(8) as pool:
        numbers = [number % 50 for number in range(2_000)]
        values = pool.map(lambda number: cache.get(f"tracker_web:{number}", lambda: number), numbers)
        assert list(values) == numbers


@pytest.mark.parametrize("kind", ["sentinel", "redis_cluster"])
async def test_sentinel_and_cluster_serve_both_caches(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind).url
    many = [f"tracker_web:{number}" for number in range(20)]

    async def load(keys: tuple[str, ...]) -> dict[str, str]:
        return dict.fromkeys(keys, "value")

    with Feed(url) as feed:
        async with AsyncVersionedCache.from_url(url, values_timeout_ms=PATIENT_MS) as filler:
            await filler.get_many(many, load)
            with VersionedCache.from_url(url, values_timeout_ms=PATIENT_MS) as reader:
                reads = reader.read_many(many, lambda missing: never())
                assert {read.tier for read in reads.values()} == {Tier.REDIS}
                await asyncio.to_thread(feed.change, many[3])
                await until_async(lambda: reader.peek(many[3]) is None, "the change reaches the reader")
                await until_async(lambda: filler.peek(many[3]) is None, "the change reaches the filler")
                assert reader.peek(many[4]) == "value"
