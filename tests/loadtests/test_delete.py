"""The baseline: what it evicts, and that it does not keep what a change overtook."""

import asyncio

from loadtests.delete.cache import DeleteOnChangeCache
from loadtests.delete.consumer import parse_table
from loadtests.delete.messages import Evict, pack, unpack
from versioning.backends.memory import AsyncMemoryValues, MemoryValues


def make_cache():
    return DeleteOnChangeCache(
        AsyncMemoryValues(MemoryValues(lambda: 0)),
        channel_url="redis://127.0.0.1:1/0",
        local_ttl_ms=60_000,
        redis_ttl_ms=60_000,
        local_max_entries=100,
    )


def loader(value):
    async def load():
        return value

    return load


def test_messages_survive_the_channel():
    assert unpack(pack(["a:1", "a:2"])) == Evict(("a:1", "a:2"))
    assert unpack(pack(namespace="a")) == Evict((), "a")


def test_tables_are_named_with_their_templates():
    name, templates = parse_table("shop.tracker_web=tracker_web:{id},trackers_by_tenant:{tenant_id}")
    assert name == "shop.tracker_web"
    assert [template.render({"id": 4, "tenant_id": 7}) for template in templates] == [
        "tracker_web:4",
        "trackers_by_tenant:7",
    ]


async def tier(cache, key):
    return (await cache.read(key, loader("any"))).tier.value


async def test_an_evicted_key_is_asked_for_in_redis_again():
    cache = make_cache()
    await cache.get("a:1", loader(1))
    await cache.get("b:1", loader(1))
    cache.evict(Evict(("a:1",)))
    assert (await tier(cache, "a:1"), await tier(cache, "b:1")) == ("redis", "local")
    cache.evict(Evict((), "b"))
    assert (await tier(cache, "a:1"), await tier(cache, "b:1")) == ("local", "redis")


async def test_a_load_that_a_change_overtook_is_not_kept_in_the_process():
    cache = make_cache()
    began, go = asyncio.Event(), asyncio.Event()

    async def slow():
        began.set()
        await go.wait()
        return "old"

    read = asyncio.create_task(cache.get("a:1", slow))
    await began.wait()
    cache.evict(Evict(("a:1",)))
    go.set()
    assert await read == "old"
    assert await tier(cache, "a:1") == "redis"
