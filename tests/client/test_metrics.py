"""What Prometheus sees of a cache: every count, with its labels, and never a key."""

from prometheus_client import CollectorRegistry, generate_latest

from tests.client.worlds import CountedValues, World
from versioning import AsyncVersionedCache
from versioning.client.metrics import CacheCollector


async def test_reads_are_exported_by_tier_and_verdict() -> None:
    world = await World().begin()

    async def load() -> int:
        return 1

    async with AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values)) as cache:
        for _ in range(3):
            await cache.get("secret_namespace:1", load)
        registry = CollectorRegistry()
        registry.register(CacheCollector(cache.info, dc="b"))
        labels = {"dc": "b", "tier": "local", "result": "fresh"}
        assert registry.get_sample_value("stampline_cache_served_total", labels) == 2
        assert registry.get_sample_value("stampline_cache_loads_total", {"dc": "b"}) == 1
        assert registry.get_sample_value("stampline_cache_lagging", {"dc": "b"}) == 0
        assert b"secret" not in generate_latest(registry)
