"""Readers that were stopped, entries and values that are not ours, fillers that come too late: never served FRESH."""

import secrets
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import until
from tests.integration.feed import Feed
from tests.integration.pipeline import Pipeline
from tests.integration.toc_process import KEY, TocProcess
from versioning import Tier, VersionedCache

STREAM, STATE = "{stampline}:stream", "{stampline}:state"
PATIENT_MS = 5_000


@pytest.fixture
def feed(redis_b: RedisServer) -> Iterator[Feed]:
    with Feed(redis_b.url) as feed:
        yield feed


def test_a_process_stopped_past_every_limit_serves_nothing_as_fresh_from_old_knowledge(
    redis_b: RedisServer, feed: Feed
) -> None:
    limit_ms = 600
    with TocProcess(redis_b.url, max_lag_ms=limit_ms, degraded_ttl_ms=limit_ms, local_ttl_ms=600_000) as toc:
        for row in range(4):
            toc.read_until(f"row {row}", value=f"row {row}", tier="local", verdict="fresh")
            toc.pause()
            feed.change(KEY)
            toc.ask(f"row {row + 1}")
            time.sleep(2 * limit_ms / 1000)  # The fault itself.
            toc.resume()
            assert toc.answer()["value"] == f"row {row + 1}"


def test_a_process_stopped_past_the_lag_says_unknown_of_what_it_may_still_serve(
    redis_b: RedisServer, feed: Feed
) -> None:
    with TocProcess(redis_b.url, max_lag_ms=300) as toc:
        for row in range(4):
            toc.read_until(f"row {row}", value=f"row {row}", tier="local", verdict="fresh")
            toc.pause()
            feed.change(KEY)
            toc.ask(f"row {row + 1}")
            time.sleep(0.6)
            toc.resume()
            first = toc.answer()
            assert first["value"] == f"row {row + 1}" or first["verdict"] == "unknown"


def test_a_stream_trimmed_under_a_stopped_follower_is_a_break_and_not_silence(redis_b: RedisServer, feed: Feed) -> None:
    with TocProcess(redis_b.url, degraded_ttl_ms=0) as toc:
        toc.read_until("row 0", value="row 0", tier="local", verdict="fresh")
        toc.pause()
        with redis_b.client() as client:
            client.client_kill_filter(_type="pubsub")  # Else the kernel would keep for it what is pushed meanwhile.
            feed.change(KEY)
            client.xtrim(STREAM, maxlen=0)
        toc.resume()
        found = toc.read_until("row 1", breaks=1)
        assert "continuity broken" in found["last_error"]
        assert toc.read("row 1")["value"] == "row 1"


POISON = """
local id = redis.call('XADD', KEYS[1], '*', 't', 'change', 'n', ARGV[1], 'p', redis.call('HGET', KEYS[2], 'nonce'),
  'b', '{"keys":7}')
redis.call('HSET', KEYS[2], 'nonce', ARGV[1], 'last', id)
"""


def poison(redis: RedisServer, kind: str) -> None:
    with redis.client() as client:
        if kind == "linked":
            client.eval(POISON, 2, STREAM, STATE, secrets.token_hex(8))
        else:
            client.xadd(STREAM, {b"\xff": b"\xfe", "b": "written by someone else"})


@pytest.mark.parametrize("kind", ["linked", "foreign"])
async def test_a_poisoned_entry_in_a_and_in_b_is_a_gap_named_once_and_no_crash_loop(
    mariadb_a: MariaDb, database: str, redis_a: RedisServer, redis_b: RedisServer, kind: str
) -> None:
    async with Pipeline.open(mariadb_a, database, redis_a.url, redis_b.url) as pipeline:
        horizons = [reader.info().horizon for reader in pipeline.readers]
        poison(redis_a, kind)
        mirrors, readers = pipeline.mirror_stats, pipeline.readers
        await pipeline.until(lambda: all(m.poisoned or m.breaks > 1 for m in mirrors), "the mirrors name it")
        poison(redis_b, kind)
        await pipeline.until(lambda: all(r.info().poisoned or r.info().breaks for r in readers), "the readers name it")
        await pipeline.run_for(0.5)
        await pipeline.assert_converges()
        assert all(reader.info().horizon > before for reader, before in zip(pipeline.readers, horizons, strict=True))
        breaks = [stats.breaks for stats in pipeline.mirror_stats], [r.info().breaks for r in pipeline.readers]
        await pipeline.run_for(1.0)
        assert breaks == ([s.breaks for s in pipeline.mirror_stats], [r.info().breaks for r in pipeline.readers])


OURS = struct.pack(">2sBBQQ", b"\x9e\x53", 1, 0, 1 << 62, 1)


@pytest.mark.parametrize(
    "stored",
    [b"", OURS[:1], OURS[:19], b"{}", b"\x9e\x53\x02" + OURS[3:] + b"1", OURS + b"{truncated", b"\xff" * 64],
    ids=["empty", "one byte", "truncated", "json", "newer format", "payload cut off", "foreign"],
)
def test_a_foreign_or_truncated_value_is_a_counted_miss_and_is_overwritten(
    redis_a: RedisServer, redis_b: RedisServer, stored: bytes
) -> None:
    with Feed(redis_a.url), redis_b.client() as client:
        client.set(KEY, stored)
        with VersionedCache.from_url(redis_a.url, redis_b.url, values_timeout_ms=PATIENT_MS) as cache:
            assert cache.read(KEY, lambda: "ours").tier is Tier.LOADED
            assert cache.info().foreign_headers + cache.info().unreadable_values == 1
        assert client.get(KEY).endswith(b'"ours"')


def test_a_slow_filler_does_not_overwrite_a_newer_value_and_what_it_loaded_is_superseded(
    redis_a: RedisServer, redis_b: RedisServer
) -> None:
    may_end = threading.Event()

    def load_slowly() -> str:
        loading.set()
        assert may_end.wait(30)
        return "old"

    def cache() -> VersionedCache:
        return VersionedCache.from_url(redis_a.url, redis_b.url, values_timeout_ms=PATIENT_MS, lease_ttl_ms=100)

    loading = threading.Event()
    with Feed(redis_a.url) as feed, cache() as slow, cache() as quick:
        filling = threading.Thread(target=slow.get, args=(KEY, load_slowly))
        filling.start()
        assert loading.wait(30)
        stamp = feed.change(KEY)
        until(lambda: quick.info().watermark >= stamp, "the change is followed")
        assert quick.get(KEY, lambda: "new") == "new"
        may_end.set()
        filling.join(30)
        assert slow.info().newer_kept == 1
        for reader in (slow, quick):
            assert reader.get(KEY, lambda: "new") == "new"
        with cache() as third:
            assert third.get(KEY, lambda: "loaded again") == "new"
