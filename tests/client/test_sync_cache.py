"""The cache for threads, over memory and a real follower in its own thread."""

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.client.worlds import SlowStream, Stops, World, kept_in_a_slow_world
from tests.eventually import now_ms, until
from versioning import (
    AsyncVersionedCache,
    CacheOptions,
    ConfigError,
    LoadBudgetError,
    LoadFailedError,
    Tier,
    VersionedCache,
)
from versioning.backends.memory import MemoryStream, MemoryValues
from versioning.client import follower_thread
from versioning.client.follower import FIRST_READS_MAX_S

KEY = "t:1"


@pytest.fixture
def world() -> World:
    return asyncio.run(World().begin())


@pytest.fixture
def cache(world: World) -> Iterator[VersionedCache]:
    with VersionedCache(stream=world.stream, values=world.values) as cache:
        yield cache


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def never() -> Any:
    raise AssertionError("this value is cached: nobody may load it")


class Loader:
    """A database that answers when it is told to."""

    def __init__(self, value: Any = "value") -> None:
        self.value = value
        self.calls = 0
        self.answer = threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        assert self.answer.wait(20)
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


def follower_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "stampline-follower"]


def test_a_loaded_value_is_served_from_the_process_until_its_key_changes(cache: VersionedCache, world: World) -> None:
    assert cache.read(KEY, lambda: "old").tier is Tier.LOADED
    assert cache.read(KEY, never).tier is Tier.LOCAL
    assert cache.peek(KEY) == "old"
    stamp = asyncio.run(world.change(KEY))
    until(lambda: cache.peek(KEY) is None, "the change reaches the cache")
    assert cache.index.fill_stamp(KEY) >= stamp
    assert cache.get(KEY, lambda: "new") == "new"


def test_many_threads_that_read_one_key_cause_one_load(cache: VersionedCache, pool: ThreadPoolExecutor) -> None:
    loader = Loader()
    reading = [pool.submit(cache.get, KEY, loader) for _ in range(16)]
    until(lambda: cache.info().coalesced == 15, "15 threads wait for the load")
    loader.answer.set()
    assert {future.result() for future in reading} == {"value"}
    assert loader.calls == 1


def test_the_loaders_exception_reaches_every_thread_that_waited(
    cache: VersionedCache, pool: ThreadPoolExecutor
) -> None:
    loader = Loader(LookupError("the database is away"))
    reading = [pool.submit(cache.get, KEY, loader) for _ in range(3)]
    until(lambda: cache.info().coalesced == 2, "2 threads wait for the load")
    loader.answer.set()
    assert {type(future.exception()) for future in reading} == {LookupError}
    assert cache.get(KEY, lambda: 1) == 1


def test_an_error_shows_each_of_many_readers_its_own_way_and_the_loaders(
    cache: VersionedCache, pool: ThreadPoolExecutor
) -> None:
    """One error for all of them: its traceback, and a log of it for each request, grew with each that raised it."""
    loader = Loader(LookupError("the database is away"))

    def frames() -> int:
        with pytest.raises(LookupError) as caught:
            cache.get(KEY, loader)
        return len(caught.traceback)

    reading = [pool.submit(frames) for _ in range(16)]
    until(lambda: cache.info().coalesced == 15, "15 threads wait for the load")
    loader.answer.set()
    lengths = [future.result() for future in reading]
    assert max(lengths) < 2 * min(lengths)


def test_when_the_leader_is_interrupted_a_waiter_takes_over(cache: VersionedCache, pool: ThreadPoolExecutor) -> None:
    interrupted = Loader(KeyboardInterrupt())
    leader = pool.submit(cache.get, KEY, interrupted)
    until(lambda: interrupted.calls, "the leader loads")
    waiter = pool.submit(cache.get, KEY, lambda: "loaded by the waiter")
    until(lambda: cache.info().coalesced == 1, "the waiter waits for the load")
    interrupted.answer.set()
    assert isinstance(leader.exception(), KeyboardInterrupt)
    assert waiter.result() == "loaded by the waiter"


@pytest.mark.parametrize("stops", [1, 2], ids=["once", "each time"])
@pytest.mark.parametrize("call", ["get", "refresh"])
def test_what_was_loaded_before_the_process_was_stopped_is_loaded_once_more(
    world: World, call: str, stops: int
) -> None:
    stopped = Stops(stops)
    with VersionedCache(stream=world.stream, values=world.values, clock=stopped.clock) as cache:
        assert getattr(cache, call)(KEY, stopped.load) == 2


def test_what_was_found_before_the_process_was_stopped_is_looked_for_once_more(world: World) -> None:
    stopped = Stops(1)
    with VersionedCache(stream=world.stream, values=world.values, clock=stopped.clock) as cache:
        cache.get("t:2", lambda: 0)
        found = cache.get_many(("t:2", KEY), lambda keys: dict.fromkeys(keys, stopped.load()))
        assert found == {"t:2": 3, KEY: 2}


def test_a_loader_that_reads_its_own_key_is_told_so(cache: VersionedCache) -> None:
    with pytest.raises(LoadFailedError, match="t:1"):
        cache.get(KEY, lambda: cache.get(KEY, never))


def test_loaders_that_wait_for_each_other_are_told_so(cache: VersionedCache, pool: ThreadPoolExecutor) -> None:
    both = threading.Barrier(2)

    def reading(other: str) -> Any:
        both.wait(5)
        return cache.get(other, never)

    reads = [pool.submit(cache.get, KEY, lambda: reading("t:2")), pool.submit(cache.get, "t:2", lambda: reading(KEY))]
    assert {type(read.exception(5)) for read in reads} == {LoadFailedError}


def test_loaders_of_two_caches_that_wait_for_each_other_are_told_so_too(world: World, pool: ThreadPoolExecutor) -> None:
    """Each wants one key of the other's batch: no key waits for itself, but the batches do."""
    both = threading.Barrier(2)

    def reading(other: VersionedCache, key: str) -> Any:
        both.wait(5)
        return {KEY: other.get(key, never)}

    with (
        VersionedCache(stream=world.stream, values=MemoryValues(now_ms)) as one,
        VersionedCache(stream=world.stream, values=MemoryValues(now_ms)) as two,
    ):
        reads = [
            pool.submit(one.get_many, (KEY, "t:2"), lambda _: reading(two, "t:3")),
            pool.submit(two.get_many, (KEY, "t:3"), lambda _: reading(one, "t:2")),
        ]
        assert {type(read.exception(5)) for read in reads} == {LoadFailedError}


def test_many_keys_are_loaded_together_and_join_what_is_under_way(
    cache: VersionedCache, pool: ThreadPoolExecutor
) -> None:
    loader = Loader("one")
    leader = pool.submit(cache.get, KEY, loader)
    until(lambda: loader.calls, "the leader loads")

    def load(keys: tuple[str, ...]) -> dict[str, str]:
        loader.answer.set()
        return dict.fromkeys(keys, "many")

    assert cache.get_many([KEY, "t:2", "t:3"], load) == {KEY: "one", "t:2": "many", "t:3": "many"}
    leader.result()


def test_who_joins_a_refill_of_many_keys_waits_for_its_own_alone(world: World, pool: ThreadPoolExecutor) -> None:
    with VersionedCache(stream=world.stream, values=world.values, options=CacheOptions(lease_wait_ms=60_000)) as cache:
        world.values.try_lease({"t:2": b""}, "of another process", 60_000)
        loader = Loader("one")
        many = pool.submit(cache.get_many, (KEY, "t:2"), lambda keys: dict.fromkeys(keys, loader()))
        until(lambda: loader.calls, "the leader loads its own")
        joined = [pool.submit(cache.get, key, never) for key in (KEY, KEY, "t:2")]
        until(lambda: cache.info().coalesced == 3, "others join")
        loader.answer.set()
        assert [read.result(20) for read in joined[:2]] == ["one", "one"]
        assert [many.done(), joined[2].done()] == [False, False]
        assert cache.get(KEY, never) == "one"
        world.values.release(["t:2"], "of another process")
        assert joined[2].result(20) == "one"
        assert many.result(20) == {KEY: "one", "t:2": "one"}


def test_over_the_budget_a_reader_gets_its_old_value_whatever_the_flight_it_joined_lacks(
    world: World, pool: ThreadPoolExecutor
) -> None:
    options = CacheOptions(max_loads_per_s=0.1, lease_wait_ms=200)
    with VersionedCache(stream=world.stream, values=world.values, options=options) as cache:
        cache.get(KEY, lambda: "old")
        asyncio.run(world.change(KEY))
        until(lambda: cache.peek(KEY) is None, "the change has come")
        many = pool.submit(cache.get_many, [KEY, "t:2"], lambda _: never())
        until(lambda: cache.info().budget_waits, "the flight waits for the budget")
        joined = cache.read(KEY, never)
        assert (joined.value, joined.tier) == ("old", Tier.STALE)
        with pytest.raises(LoadBudgetError):
            many.result()


def test_a_decorated_function_is_the_loader_of_its_key(cache: VersionedCache) -> None:
    @cache.cached("t:{name|lower}")
    def find(name: str, *, limit: int = 10) -> str:
        return f"{name} {limit}"

    assert find("Anna") == find("ANNA", limit=3) == "Anna 10"
    assert cache.peek("t:anna") == "Anna 10"


def test_a_template_that_names_no_parameter_is_refused_at_once(cache: VersionedCache) -> None:
    with pytest.raises(ConfigError, match="tenant"):
        cache.cached("t:{tenant}")(lambda number: number)


def test_a_decorator_without_its_template_is_refused_where_it_stands(cache: VersionedCache) -> None:
    with pytest.raises(ConfigError, match="cached got"):

        @cache.cached  # type: ignore[arg-type]
        def load(number: int) -> int:
            return number


@pytest.mark.parametrize("kind", [VersionedCache, AsyncVersionedCache])
@pytest.mark.parametrize("timeout_ms", [0, -1, "50", 0.5])
def test_a_timeout_that_is_none_is_refused(kind: Any, timeout_ms: Any) -> None:
    with pytest.raises(ConfigError, match="values_timeout_ms"):
        kind.from_url("redis://127.0.0.1:1/0", values_timeout_ms=timeout_ms)


@pytest.mark.parametrize("kind", [VersionedCache, AsyncVersionedCache])
@pytest.mark.parametrize(
    ("given", "named"), [({"stream_url": None}, "Redis URL"), ({"stream_name": None}, "stream_name")]
)
def test_what_the_environment_lacks_is_refused(kind: Any, given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        kind.from_url(**{"stream_url": "redis://127.0.0.1:1/0", **given})


def test_refresh_loads_whatever_is_cached(cache: VersionedCache) -> None:
    cache.get(KEY, lambda: "old")
    assert cache.refresh(KEY, lambda: "new") == "new"
    assert cache.get(KEY, never) == "new"


def test_not_found_is_cached(cache: VersionedCache) -> None:
    nothing: Callable[[], object] = lambda: None  # noqa: E731
    assert cache.get(KEY, nothing) is None
    assert cache.read(KEY, never).tier is Tier.LOCAL


def test_a_cache_that_was_not_started_follows_from_its_first_miss_on(world: World) -> None:
    cache = VersionedCache(stream=world.stream, values=world.values)
    assert cache.get(KEY, lambda: 1) == 1
    until(lambda: not cache.info().is_lagging, "the cache follows")
    cache.close()
    assert not follower_threads()


def test_the_first_miss_waits_for_what_is_known_and_loads_nothing_that_is_current(pool: ThreadPoolExecutor) -> None:
    world, stream = asyncio.run(kept_in_a_slow_world(KEY))
    cache = VersionedCache(stream=stream, values=world.values)
    readers = [pool.submit(cache.get, KEY, never) for _ in range(4)]
    until(follower_threads, "the first reader begins to follow")
    stream.answer.set()
    assert [reader.result(20) for reader in readers] == ["kept"] * 4
    cache.close()


def test_the_first_miss_does_not_wait_long_for_a_stream_that_is_away() -> None:
    world = World()
    world.stream = SlowStream(now_ms)
    cache = VersionedCache(stream=world.stream, values=world.values)
    began_s = time.monotonic()
    assert cache.get(KEY, lambda: 1) == 1
    assert cache.get("t:2", lambda: 2) == 2
    assert time.monotonic() - began_s < 2 * FIRST_READS_MAX_S
    cache.close()


def test_a_process_without_a_free_file_at_its_first_miss_says_so_once_and_follows_once_it_has_some(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_loop, failures = asyncio.Runner, [OSError(24, "Too many open files") for _ in range(3)]

    def exhausted() -> asyncio.Runner:
        if failures:
            raise failures.pop()
        return make_loop()

    cache = VersionedCache(stream=world.stream, values=world.values)
    monkeypatch.setattr("versioning.client.follower_thread.asyncio.Runner", exhausted)
    monkeypatch.setattr("versioning.client.follower_thread.TRY_AGAIN_S", 0.1)
    assert cache.get(KEY, lambda: 1) == 1
    until(lambda: "Too many open files" in cache.info().last_error, "the failure is told")
    until(lambda: not cache.info().is_lagging, "the cache follows")
    cache.close()
    assert not follower_threads()
    assert len([record for record in caplog.records if "Too many open files" in record.message]) == 1


def test_a_cache_that_nobody_holds_any_more_ends_its_thread(world: World) -> None:
    cache = VersionedCache(stream=world.stream, values=world.values)
    cache.start()
    assert follower_threads()
    del cache
    gc.collect()
    until(lambda: not follower_threads(), "the follower's thread ends")


@pytest.mark.parametrize("limit", [KeyboardInterrupt, TimeoutError])
def test_where_the_first_read_is_interrupted_as_it_opens_the_stream_the_next_one_follows(
    world: World, limit: type[BaseException]
) -> None:
    """A job's time limit (SIGALRM) may come at any line."""
    opening = [limit("the job's time is over")]

    def open_stream() -> MemoryStream:
        if opening:
            raise opening.pop()
        return world.stream

    cache = VersionedCache(stream=open_stream, values=lambda: world.values)
    with pytest.raises(limit):
        cache.get(KEY, lambda: 1)
    cache.get(KEY, lambda: 1)
    until(lambda: cache.info().is_connected, "it follows")
    cache.close()


def test_a_read_that_outlives_the_cache_opens_nothing_again(world: World, pool: ThreadPoolExecutor) -> None:
    opened: list[MemoryValues] = []

    def open_values() -> MemoryValues:
        opened.append(world.values)
        return world.values

    cache, loader = VersionedCache(stream=world.stream, values=open_values), Loader()
    reader = pool.submit(cache.get, KEY, loader)
    until(lambda: loader.calls, "the value is loaded")
    cache.close()
    loader.answer.set()
    assert reader.result(5) == "value"
    assert len(opened) == 1


def test_a_miss_that_meets_the_end_of_the_cache_begins_no_follower_that_nobody_would_end(world: World) -> None:
    cache = VersionedCache(stream=world.stream, values=world.values)

    class Closing:
        """The lock of the start: the cache is closed while a reader waits for it."""

        def __enter__(self) -> None:
            cache._starting = threading.RLock()
            cache.close()

        def __exit__(self, *_: object) -> None: ...

    cache._starting = Closing()  # type: ignore[assignment]
    assert cache.get(KEY, lambda: 1) == 1
    assert not follower_threads()


def test_a_closed_cache_says_so_and_can_be_started_again(world: World) -> None:
    cache = VersionedCache(stream=world.stream, values=world.values)
    cache.start()
    cache.close()
    with pytest.raises(RuntimeError, match="start"):
        cache.get(KEY, never)
    with cache:
        assert cache.get(KEY, lambda: 1) == 1


def test_a_cache_that_is_closed_and_started_again_and_again_keeps_nothing_of_it(world: World) -> None:
    cache = VersionedCache(stream=world.stream, values=world.values)
    with cache:
        follower = weakref.ref(cache._follower)
        assert follower() is not None
    gc.collect()
    assert follower() is None


def test_a_cache_that_is_started_again_knows_what_changed_meanwhile(world: World) -> None:
    asyncio.run(world.change(KEY))
    cache = VersionedCache(stream=world.stream, values=world.values)
    with cache:
        assert cache.get(KEY, lambda: 1) == 1
    asyncio.run(world.change(KEY))
    with cache:
        assert cache.get(KEY, lambda: 2) == 2


class HangingHandler(logging.Handler):
    """Takes the first line of a log, and does not come back before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs, self.may_go_on = threading.Event(), threading.Event()

    def emit(self, _: logging.LogRecord) -> None:
        self.hangs.set()
        assert self.may_go_on.wait(20)


class Connection:
    """One of several to the same stream."""

    def __init__(self, stream: MemoryStream) -> None:
        self.closed_by: list[threading.Thread] = []
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def aclose(self) -> None:
        self.closed_by.append(threading.current_thread())


def test_a_follower_that_hangs_as_it_is_stopped_leaves_index_and_connection_to_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_thread, "STOP_MAX_S", 0.1)
    opened: list[Connection] = []
    log, handler = logging.getLogger("stampline.follower"), HangingHandler()

    def connect() -> Any:
        opened.append(Connection(world.stream))
        return opened[-1]

    with VersionedCache(stream=connect, values=world.values) as cache:
        [hanging] = follower_threads()
        log.addHandler(handler)
        world.stream.flush()
        asyncio.run(world.begin())
        assert handler.hangs.wait(20)
        log.removeHandler(handler)
        cache.close()
        cache.start()
        known_since = cache.index.known_since
        assert known_since is not None
        handler.may_go_on.set()
        hanging.join(20)
        assert cache.index.known_since == known_since
        assert [stream.closed_by for stream in opened] == [[hanging], []]
