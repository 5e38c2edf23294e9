"""The cache for asyncio, over memory and a real follower."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from tests.client.worlds import CountedValues, SlowStream, Stops, World, kept_in_a_slow_world
from tests.eventually import now_ms, until_async
from versioning import AsyncVersionedCache, CacheOptions, LoadBudgetError, LoadFailedError, Tier, Verdict
from versioning.backends.base import Answer, UnavailableError
from versioning.backends.memory import MemoryValues
from versioning.client.clock import system_clock
from versioning.client.follower import FIRST_READS_MAX_S
from versioning.entries import Heartbeat
from versioning.keys import KeyFormatError

KEY = "t:1"


@pytest.fixture
async def world() -> World:
    return await World().begin()


@pytest.fixture
def values(world: World) -> CountedValues:
    return CountedValues(world.values)


@pytest.fixture
async def cache(world: World, values: CountedValues) -> AsyncIterator[AsyncVersionedCache]:
    async with AsyncVersionedCache(stream=world.stream, values=values) as cache:
        yield cache


class Loader:
    """A database that answers when it is told to."""

    def __init__(self, value: Any = "value") -> None:
        self.value = value
        self.calls = 0
        self.answer = asyncio.Event()

    async def __call__(self) -> Any:
        self.calls += 1
        await self.answer.wait()
        if isinstance(self.value, Exception):
            raise self.value
        return self.value

    async def was_called(self, times: int = 1) -> None:
        await until_async(lambda: self.calls == times, "the loader is called")


def returning(value: Any) -> Callable[[], Any]:
    async def load() -> Any:
        return value

    return load


async def never() -> Any:
    raise AssertionError("this value is cached: nobody may load it")


async def test_a_loaded_value_is_served_from_the_process_until_its_key_changes(
    cache: AsyncVersionedCache, world: World
) -> None:
    first = await cache.read(KEY, returning("old"))
    assert (first.value, first.tier, first.verdict) == ("old", Tier.LOADED, Verdict.FRESH)
    assert (await cache.read(KEY, never)).tier is Tier.LOCAL
    stamp = await world.change(KEY)
    await until_async(lambda: cache.info().watermark > stamp, "the change reaches the cache")
    assert cache.index.fill_stamp(KEY) > stamp
    changed = await cache.read(KEY, returning("new"))
    assert (changed.value, changed.tier, changed.stamp) == ("new", Tier.LOADED, cache.index.fill_stamp(KEY))


async def test_a_hit_sends_nothing_and_a_read_of_redis_one_command(
    cache: AsyncVersionedCache, world: World, values: CountedValues
) -> None:
    await cache.get(KEY, returning(1))
    assert values.commands == ["get", "try_lease", "fill"]
    await cache.get(KEY, never)
    assert len(values.commands) == 3
    other_values = CountedValues(world.values)
    async with AsyncVersionedCache(stream=world.stream, values=other_values) as other:
        assert await other.get(KEY, never) == 1
    assert other_values.commands == ["get"]


async def test_peek_sees_only_what_is_here_and_fresh(cache: AsyncVersionedCache, world: World) -> None:
    assert cache.peek(KEY, "nothing") == "nothing"
    await cache.get(KEY, returning(1))
    assert cache.peek(KEY) == 1
    await world.change(KEY)
    await until_async(lambda: cache.peek(KEY) is None, "the change reaches the cache")


async def test_many_readers_of_one_key_cause_one_load(cache: AsyncVersionedCache) -> None:
    loader = Loader()
    reading = [asyncio.create_task(cache.get(KEY, loader)) for _ in range(50)]
    await loader.was_called()
    loader.answer.set()
    assert await asyncio.gather(*reading) == ["value"] * 50
    assert loader.calls == 1
    assert cache.info().coalesced == 49


async def test_the_loaders_exception_reaches_everyone_who_waited_and_is_not_cached(cache: AsyncVersionedCache) -> None:
    loader = Loader(LookupError("the database is away"))
    reading = [asyncio.create_task(cache.get(KEY, loader)) for _ in range(3)]
    await loader.was_called()
    loader.answer.set()
    assert [type(error) for error in await asyncio.gather(*reading, return_exceptions=True)] == [LookupError] * 3
    assert await cache.get(KEY, returning(1)) == 1


async def test_a_cancelled_leader_takes_nobody_down_and_its_load_arrives(cache: AsyncVersionedCache) -> None:
    loader = Loader()
    leader = asyncio.create_task(cache.get(KEY, loader))
    await loader.was_called()
    waiter = asyncio.create_task(cache.get(KEY, never))
    await until_async(lambda: cache.info().coalesced == 1, "the second reader waits for the load")
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    loader.answer.set()
    assert await waiter == "value"
    assert cache.peek(KEY) == "value"


async def test_a_load_that_nobody_waits_for_any_more_may_fail_in_silence(cache: AsyncVersionedCache) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    loader = Loader(LookupError("the database is away"))
    leader = asyncio.create_task(cache.get(KEY, loader))
    await loader.was_called()
    leader.cancel()
    await asyncio.gather(leader, return_exceptions=True)
    loader.answer.set()
    await until_async(lambda: "stampline-refill" not in {t.get_name() for t in asyncio.all_tasks()}, "the load ends")
    gc.collect()
    assert cache.info().load_errors == 1
    assert not complaints


@pytest.mark.parametrize("is_at_once", [False, True], ids=["later", "in the same ms"])
async def test_a_reader_that_came_after_a_change_does_not_get_what_was_loaded_before_it(
    world: World, values: CountedValues, *, is_at_once: bool
) -> None:
    still = system_clock()
    clock = (lambda: still) if is_at_once else system_clock
    async with AsyncVersionedCache(stream=world.stream, values=values, clock=clock) as cache:
        before, after = Loader("old"), Loader("new")
        leader = asyncio.create_task(cache.get(KEY, before))
        await before.was_called()
        stamp = await world.change(KEY)
        await until_async(lambda: cache.info().watermark > stamp, "the change reaches the cache")
        late = asyncio.create_task(cache.get(KEY, after))
        await until_async(lambda: cache.info().coalesced == 1, "the second reader waits for the load")
        before.answer.set()
        after.answer.set()
        assert await leader == "old"
        assert await late == "new"
        assert before.calls == 1


async def test_a_reader_that_comes_just_as_a_load_ends_does_not_get_what_a_change_has_superseded(
    cache: AsyncVersionedCache, world: World
) -> None:
    """In the same turn of the loop: the flight has landed, and nobody has been told."""
    before = Loader("old")

    async def come_late() -> Any:
        await before.answer.wait()
        return await cache.get(KEY, returning("new"))

    leader = asyncio.create_task(cache.get(KEY, before))
    await before.was_called()
    late = asyncio.create_task(come_late())
    stamp = await world.change(KEY)
    await until_async(lambda: cache.info().watermark > stamp, "the change reaches the cache")
    before.answer.set()
    assert await leader == "old"
    assert await late == "new"


@pytest.mark.parametrize("stops", [1, 2], ids=["once", "each time"])
@pytest.mark.parametrize("call", ["get", "refresh"])
async def test_what_was_loaded_before_the_process_was_stopped_is_loaded_once_more(
    world: World, values: CountedValues, call: str, stops: int
) -> None:
    stopped = Stops(stops)

    async def load() -> int:
        return stopped.load()

    async with AsyncVersionedCache(stream=world.stream, values=values, clock=stopped.clock) as cache:
        assert await getattr(cache, call)(KEY, load) == 2


async def test_what_was_found_before_the_process_was_stopped_is_looked_for_once_more(
    world: World, values: CountedValues
) -> None:
    stopped = Stops(1)

    async def load(keys: tuple[str, ...]) -> dict[str, int]:
        return dict.fromkeys(keys, stopped.load())

    async with AsyncVersionedCache(stream=world.stream, values=values, clock=stopped.clock) as cache:
        await cache.get("t:2", returning(0))
        assert await cache.get_many(("t:2", KEY), load) == {"t:2": 3, KEY: 2}


async def test_a_loader_that_reads_its_own_key_is_told_so(cache: AsyncVersionedCache) -> None:
    async def load() -> Any:
        return await cache.get(KEY, never)

    with pytest.raises(LoadFailedError, match="t:1"):
        await cache.get(KEY, load)


async def test_a_loader_that_waits_for_itself_in_a_roundabout_way_is_told_so_too(cache: AsyncVersionedCache) -> None:
    async def in_a_task() -> Any:
        return await asyncio.gather(cache.get(KEY, never))

    async def by_another_key() -> Any:
        return await cache.get("t:2", in_a_task)

    for load in (in_a_task, by_another_key):
        with pytest.raises(LoadFailedError, match="t:1"):
            await asyncio.wait_for(cache.get(KEY, load), 5)


async def test_loaders_that_wait_for_each_other_are_told_so(cache: AsyncVersionedCache) -> None:
    taken_off: list[str] = []

    async def reading(own: str, other: str) -> Any:
        taken_off.append(own)
        await until_async(lambda: len(taken_off) == 2, "both are loaded")
        return await cache.get(other, never)

    reads = [cache.get("t:1", lambda: reading("t:1", "t:2")), cache.get("t:2", lambda: reading("t:2", "t:1"))]
    outcomes = await asyncio.wait_for(asyncio.gather(*reads, return_exceptions=True), 5)
    assert {type(outcome) for outcome in outcomes} == {LoadFailedError}


async def test_what_a_loader_started_may_read_its_key_afterwards(cache: AsyncVersionedCache) -> None:
    started: list[asyncio.Task[Any]] = []
    loaded = asyncio.Event()

    async def afterwards() -> Any:
        await loaded.wait()
        return await cache.refresh(KEY, returning("new")), await cache.get(KEY, never)

    async def load() -> Any:
        started.append(asyncio.create_task(afterwards()))
        return "old"

    await cache.get(KEY, load)
    loaded.set()
    assert await started[0] == ("new", "new")


async def test_the_superseded_value_is_served_to_all_while_it_is_refilled_once(world: World) -> None:
    options = CacheOptions(serve_stale_ms=60_000)
    async with AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values), options=options) as cache:
        await cache.get(KEY, returning("old"))
        stamp = await world.change(KEY)
        await until_async(lambda: cache.info().watermark > stamp, "the change reaches the cache")
        loader = Loader("new")
        for _ in range(3):
            read = await cache.read(KEY, loader)
            assert (read.value, read.tier) == ("old", Tier.STALE)
        assert await cache.get_many([KEY], lambda _: never()) == {KEY: "old"}
        await loader.was_called()
        loader.answer.set()
        await until_async(lambda: cache.peek(KEY) == "new", "the value is refilled")


async def test_a_reader_whose_look_failed_is_served_what_was_loaded_meanwhile(
    cache: AsyncVersionedCache, values: CountedValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_looking, is_lost = asyncio.Event(), asyncio.Event()

    async def get_and_lose(key: str) -> bytes | None:
        is_looking.set()
        await is_lost.wait()
        raise UnavailableError("no answer in time")

    with monkeypatch.context() as patched:
        patched.setattr(values, "get", get_and_lose)
        unlucky = asyncio.create_task(cache.get(KEY, never))
        await is_looking.wait()
    assert await cache.get(KEY, returning(1)) == 1
    is_lost.set()
    assert await unlucky == 1


async def test_many_keys_are_read_at_once_and_only_what_misses_is_loaded(
    cache: AsyncVersionedCache, values: CountedValues
) -> None:
    await cache.get(KEY, returning(1))
    del values.commands[:]
    asked: list[tuple[str, ...]] = []

    async def load(keys: tuple[str, ...]) -> dict[str, int]:
        asked.append(keys)
        return {"t:2": 2}

    assert await cache.get_many([KEY, "t:2", "t:3", KEY], load) == {KEY: 1, "t:2": 2, "t:3": None}
    assert asked == [("t:2", "t:3")]
    assert values.commands == ["get_many", "try_lease", "fill"]


async def test_many_keys_join_a_refill_that_is_under_way(cache: AsyncVersionedCache) -> None:
    loader = Loader("one")
    leader = asyncio.create_task(cache.get(KEY, loader))
    await loader.was_called()

    async def load(keys: tuple[str, ...]) -> dict[str, str]:
        assert keys == ("t:2",)
        loader.answer.set()
        return {"t:2": "two"}

    assert await cache.get_many([KEY, "t:2"], load) == {KEY: "one", "t:2": "two"}
    await leader


async def test_who_joins_a_refill_of_many_keys_waits_for_its_own_alone(world: World, values: CountedValues) -> None:
    options = CacheOptions(lease_wait_ms=60_000)
    async with AsyncVersionedCache(stream=world.stream, values=values, options=options) as cache:
        world.values.try_lease({"t:2": b""}, "of another process", 60_000)
        loader = Loader("one")

        async def load(keys: tuple[str, ...]) -> dict[str, str]:
            return dict.fromkeys(keys, await loader())

        many = asyncio.create_task(cache.get_many((KEY, "t:2"), load))
        await loader.was_called()
        joined = [asyncio.create_task(cache.get(key, never)) for key in (KEY, KEY, "t:2")]
        await until_async(lambda: cache.info().coalesced == 3, "others join")
        loader.answer.set()
        async with asyncio.timeout(20):
            assert await asyncio.gather(*joined[:2]) == ["one", "one"]
            assert [many.done(), joined[2].done()] == [False, False]
            assert await cache.get(KEY, never) == "one"
            world.values.release(["t:2"], "of another process")
            assert await joined[2] == "one"
            assert await many == {KEY: "one", "t:2": "one"}


async def test_over_the_budget_a_reader_gets_its_old_value_whatever_the_flight_it_joined_lacks(
    world: World, values: CountedValues
) -> None:
    options = CacheOptions(max_loads_per_s=0.1, lease_wait_ms=200)
    async with AsyncVersionedCache(stream=world.stream, values=values, options=options) as cache:
        await cache.get(KEY, returning("old"))
        await world.change(KEY)
        await until_async(lambda: cache.peek(KEY) is None, "the change has come")
        many = asyncio.create_task(cache.get_many([KEY, "t:2"], lambda _: never()))
        await until_async(lambda: cache.info().budget_waits, "the flight waits for the budget")
        joined = await cache.read(KEY, never)
        assert (joined.value, joined.tier) == ("old", Tier.STALE)
        with pytest.raises(LoadBudgetError):
            await many


async def test_a_key_that_lands_while_others_are_looked_for_in_vain_is_not_loaded_again(
    cache: AsyncVersionedCache, values: CountedValues, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = Loader("one")
    leader = asyncio.create_task(cache.get(KEY, loader))
    await loader.was_called()
    began_ms = now_ms()
    await until_async(lambda: now_ms() > began_ms, "the next reader comes after the load has begun")

    async def look(keys: Sequence[str]) -> list[bytes | None]:
        loader.answer.set()
        await leader
        await until_async(lambda: not cache._flights.has(KEY), "the refill is over")
        raise UnavailableError("no answer in time")

    async def lease(*arguments: Any) -> list[Answer]:
        raise UnavailableError("no answer in time")

    async def load(keys: tuple[str, ...]) -> dict[str, str]:
        assert keys == ("t:2", "t:3")
        return {"t:2": "two", "t:3": "three"}

    monkeypatch.setattr(values, "get_many", look)
    monkeypatch.setattr(values, "try_lease", lease)
    assert await cache.get_many([KEY, "t:2", "t:3"], load) == {KEY: "one", "t:2": "two", "t:3": "three"}


async def test_a_decorated_function_is_the_loader_of_its_key(cache: AsyncVersionedCache) -> None:
    calls = []

    @cache.cached("t:{tenant}:{number}")
    async def find(number: int, tenant: str = "none") -> str:
        calls.append(number)
        return f"{tenant}/{number}"

    assert await find(7) == await find(number=7, tenant="none") == "none/7"
    assert calls == [7]
    assert cache.peek("t:none:7") == "none/7"


async def test_refresh_loads_whatever_is_cached(cache: AsyncVersionedCache, world: World) -> None:
    await cache.get(KEY, returning("old"))
    assert await cache.refresh(KEY, returning("new")) == "new"
    assert await cache.get(KEY, never) == "new"
    assert cache.info().unleased_loads == 0, "an alert of those says that Redis is away"
    async with AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values)) as other:
        assert await other.get(KEY, never) == "new"


async def test_a_load_that_began_before_a_refresh_does_not_undo_it(cache: AsyncVersionedCache, world: World) -> None:
    slow = Loader("old")
    reader = asyncio.create_task(cache.get(KEY, slow))
    await slow.was_called()
    began = cache.index.watermark
    await world.append(Heartbeat(now_ms()))
    await until_async(lambda: cache.index.watermark > began, "the stream goes on")
    await cache.refresh(KEY, returning("new"))
    slow.answer.set()
    assert await reader == "old"
    assert await cache.get(KEY, never) == "new"


async def test_what_redis_had_before_a_refresh_does_not_undo_it_when_it_comes_late(
    cache: AsyncVersionedCache, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values)) as other:
        await other.get(KEY, returning("old"))
    began, arrives, asked = cache.index.watermark, asyncio.Event(), asyncio.Event()
    get = CountedValues.get

    async def late(values: CountedValues, key: str) -> bytes | None:
        found = await get(values, key)
        asked.set()
        await arrives.wait()
        return found

    monkeypatch.setattr(CountedValues, "get", late)
    await world.append(Heartbeat(now_ms()))
    await until_async(lambda: cache.index.watermark > began, "the stream goes on")
    reader = asyncio.create_task(cache.get(KEY, never))
    await asked.wait()
    await cache.refresh(KEY, returning("new"))
    arrives.set()
    assert await reader == "old"
    assert await cache.get(KEY, never) == "new"


async def test_without_redis_reads_are_answered(cache: AsyncVersionedCache, values: CountedValues) -> None:
    values.is_up = False
    assert await cache.get(KEY, returning(1)) == 1
    assert await cache.get(KEY, never) == 1
    assert cache.info().redis_errors


async def test_a_cache_that_was_not_started_follows_from_its_first_miss_on(world: World) -> None:
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    assert await cache.get(KEY, returning(1)) == 1
    await until_async(lambda: not cache.info().is_lagging, "the cache follows")
    await cache.aclose()


async def test_the_first_misses_wait_for_what_is_known_and_load_nothing_that_is_current() -> None:
    world, stream = await kept_in_a_slow_world(KEY)
    cache = AsyncVersionedCache(stream=stream, values=CountedValues(world.values))
    readers = [asyncio.create_task(cache.get(KEY, Loader())) for _ in range(4)]
    await asyncio.sleep(0)
    stream.answer.set()
    assert await asyncio.gather(*readers) == ["kept"] * 4
    await cache.aclose()


async def test_the_first_misses_do_not_wait_long_for_a_stream_that_is_away() -> None:
    world = World()
    world.stream = SlowStream(now_ms)
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    began_s = time.monotonic()
    readers = [cache.get(key, returning(1)) for key in (KEY, "t:2")]
    assert await asyncio.gather(*readers) == [1, 1]
    assert time.monotonic() - began_s < 2 * FIRST_READS_MAX_S
    await cache.aclose()


async def test_readers_that_give_up_sooner_than_that_do_not_wait_for_ever() -> None:
    world = World()
    cache = AsyncVersionedCache(stream=SlowStream(now_ms), values=CountedValues(world.values))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.6 * FIRST_READS_MAX_S):
            await cache.get(KEY, returning(1))
    async with asyncio.timeout(0.6 * FIRST_READS_MAX_S):
        assert await cache.get(KEY, returning(1)) == 1
    await cache.aclose()


async def test_a_closed_cache_says_so_and_can_be_started_again(world: World) -> None:
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    await cache.start()
    await cache.aclose()
    with pytest.raises(RuntimeError, match="start"):
        await cache.get(KEY, returning(1))
    async with cache:
        assert await cache.get(KEY, returning(1)) == 1


async def test_a_cache_that_is_started_again_knows_what_changed_meanwhile(world: World) -> None:
    await world.change(KEY)
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    async with cache:
        assert await cache.get(KEY, returning(1)) == 1
    await world.change(KEY)
    async with cache:
        assert await cache.get(KEY, returning(2)) == 2


async def test_closing_ends_loads_that_hang_and_tells_their_readers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("versioning.client.async_cache.FINISH_MAX_S", 0.01)
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    loader = Loader()
    reader = asyncio.create_task(cache.get(KEY, loader))
    await loader.was_called()
    await cache.aclose()
    with pytest.raises(LoadFailedError):
        await reader
    assert world.values.try_lease({KEY: b""}, "next", 1_000) == [True]


def test_another_event_loop_is_told_that_the_cache_is_not_its_own() -> None:
    world = World()
    cache = AsyncVersionedCache(stream=world.stream, values=CountedValues(world.values))
    many = (KEY, "t:2")

    async def load_many(keys: tuple[str, ...]) -> dict[str, str]:
        return dict.fromkeys(keys, "value")

    assert asyncio.run(cache.get(KEY, returning("value"))) == "value"
    for read in (cache.get("t:2", never), cache.get_many(many, load_many), cache.refresh(KEY, never), cache.start()):
        with pytest.raises(RuntimeError, match="another event loop"):
            asyncio.run(read)


class Frozen(CountedValues):
    """Answers nothing; whoever waits hears of it when it is closed."""

    def __init__(self, values: MemoryValues) -> None:
        super().__init__(values)
        self.closed = asyncio.Event()

    async def get(self, key: str) -> bytes | None:
        self._note("get")
        await self.closed.wait()
        raise UnavailableError("closed")

    async def aclose(self) -> None:
        self.closed.set()


async def test_a_read_that_outlives_the_cache_opens_nothing_again(world: World) -> None:
    opened: list[Frozen] = []

    def open_values() -> Frozen:
        opened.append(Frozen(world.values))
        return opened[-1]

    cache = AsyncVersionedCache(stream=world.stream, values=open_values)
    reader = asyncio.create_task(cache.get(KEY, returning("value")))
    await until_async(lambda: opened and opened[0].commands, "the reader waits for Redis")
    await cache.aclose()
    assert await reader == "value"
    assert len(opened) == 1


@pytest.mark.parametrize("key", ["", "without-namespace", "t:with space", "t:" + "x" * 511])
async def test_a_malformed_key_is_refused(cache: AsyncVersionedCache, key: str) -> None:
    with pytest.raises(KeyFormatError):
        await cache.get(key, never)


async def test_values_have_one_shape_whatever_tier_they_come_from(cache: AsyncVersionedCache) -> None:
    assert await cache.get(KEY, returning((1, 2))) == [1, 2]
    assert await cache.get(KEY, never) == [1, 2]
