"""R1: a hit in the process, checked against the stamp stream, beside mappings and caches that check nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from loadtests.bench import peers
from loadtests.bench.contract import Benchmark, Better, Contender, Reach
from loadtests.bench.servers import fed_redis
from loadtests.bench.timing import timed_call
from versioning import Verdict, VersionedCache

KEY: Final = "tracker_web:4242"
VALUE: Final = {"id": 4_242, "name": "a tracker", "status": "active"}
ENTRIES: Final = {f"tracker_web:{number}": VALUE for number in range(10_000)}
TTL_S: Final = 900


def load() -> dict[str, Any]:
    return VALUE


@contextmanager
def contenders() -> Iterator[Sequence[Contender]]:
    with fed_redis() as redis, VersionedCache.from_url(redis.url) as cache:
        for key in ENTRIES:
            cache.refresh(key, load)
        assert cache.read(KEY, load).verdict is Verdict.FRESH, "the stream does not vouch"  # noqa: S101
        yield [
            timed_call("stampline get", "get(key, load)", {"get": cache.get, "key": KEY, "load": load}),
            _peer("stampline peek", cache),
            _peer("cachetools TTLCache", peers.ttl_cache(ENTRIES, TTL_S)),
            _peer("cachetools LRUCache", peers.lru_cache(ENTRIES)),
            _peer("dogpile.cache memory", peers.dogpile_memory(ENTRIES, TTL_S)),
            _peer("theine", peers.theine(ENTRIES, TTL_S)),
        ]


def _peer(name: str, cache: Any) -> Contender:
    get = cache.peek if isinstance(cache, VersionedCache) else cache.get
    return timed_call(name, "get(key)", {"get": get, "key": KEY})


BENCHMARK: Final = Benchmark(
    "r1-local-hit",
    "a checked hit in the process (sync); LRUCache never expires a value",
    "ns",
    Better.LOWER,
    (
        Reach(0.35, ("cachetools TTLCache",)),
        Reach(0.6, ("cachetools TTLCache", "dogpile.cache memory", "theine")),
    ),
    contenders,
)
