"""R2: a checked hit under asyncio: ``await cache.get`` beside others, and ``peek`` without a coroutine."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from loadtests.bench import peers
from loadtests.bench.contract import Benchmark, Better, Contender, Reach, Sample
from loadtests.bench.r01_local_hit import ENTRIES, KEY, TTL_S, VALUE
from loadtests.bench.servers import fed_redis
from loadtests.bench.timing import BLOCK, timed_call
from versioning import AsyncVersionedCache, Verdict

Get = Callable[[str], Awaitable[Any]]


async def load() -> dict[str, Any]:
    return VALUE


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis() as redis, asyncio.Runner() as runner:
        cache = AsyncVersionedCache.from_url(redis.url)
        runner.run(_warm(cache))
        try:
            yield [
                _awaited(runner, "stampline await get", _own_block(cache)),
                timed_call("stampline peek", "get(key)", {"get": cache.peek, "key": KEY}),
                _awaited(runner, "cashews memory", _block(runner.run(_cashews()))),
                _awaited(runner, "aiocache memory", _block(runner.run(_aiocache()))),
                _awaited(runner, "an empty coroutine", _block(_nothing)),
            ]
        finally:
            runner.run(cache.aclose())


async def _warm(cache: AsyncVersionedCache) -> None:
    await cache.start()
    for key in ENTRIES:
        await cache.refresh(key, load)
    assert (await cache.read(KEY, load)).verdict is Verdict.FRESH, "the stream does not vouch"  # noqa: S101


async def _cashews() -> Get:
    cache = peers.require("cashews").Cache()
    cache.setup("mem://", size=2 * len(ENTRIES))
    for key, value in ENTRIES.items():
        await cache.set(key, value, expire=TTL_S)
    get: Get = cache.get
    return get


async def _aiocache() -> Get:
    cache = peers.require("aiocache").Cache()
    for key, value in ENTRIES.items():
        await cache.set(key, value, ttl=TTL_S)
    get: Get = cache.get
    return get


async def _nothing(key: str) -> None:
    pass


def _own_block(cache: AsyncVersionedCache) -> Callable[[], Awaitable[float]]:
    async def block() -> float:
        get, key = cache.get, KEY
        began_ns = time.perf_counter_ns()
        for _ in range(BLOCK):
            await get(key, load)
        return (time.perf_counter_ns() - began_ns) / BLOCK

    return block


def _block(get: Get) -> Callable[[], Awaitable[float]]:
    async def block() -> float:
        key = KEY
        began_ns = time.perf_counter_ns()
        for _ in range(BLOCK):
            await get(key)
        return (time.perf_counter_ns() - began_ns) / BLOCK

    return block


def _awaited(runner: asyncio.Runner, name: str, block: Callable[[], Awaitable[float]]) -> Contender:
    async def best(seconds: float) -> float:
        until_s = time.perf_counter() + seconds
        least = await block()
        while time.perf_counter() < until_s:
            least = min(least, await block())
            await asyncio.sleep(0)  # the follower must keep up, as it does in production
        return least

    return Contender(name, lambda seconds: Sample(runner.run(best(seconds))))


BENCHMARK: Final = Benchmark(
    "r2-async-hit",
    "a checked hit under asyncio",
    "ns",
    Better.LOWER,
    (Reach(0.15, ("cashews memory", "aiocache memory")),),
    contenders,
)
