"""The follower's shell: it begins again after every kind of break, and never stops for an error."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.eventually import DEADLINE_S, now_ms, until_async
from versioning import stamp as stamps
from versioning.backends.base import Append, AuthenticationError, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.backends.redis_stream import RedisStream
from versioning.client.clock import system_clock
from versioning.client.follower import PAGE_ENTRIES, PART_ENTRIES, SILENCE_MS, Follower
from versioning.entries import Body, Change, Entry, Gap, Heartbeat, NewEntry
from versioning.index import Index
from versioning.verdict import Verdict


async def append(stream: MemoryStream | RedisStream, *bodies: Body) -> list[int]:
    nonces = (f"{time.time_ns():x}-{number}" for number in range(len(bodies)))
    entries = tuple(NewEntry(nonce, body) for nonce, body in zip(nonces, bodies, strict=False))
    return await stream.append(Append(entries, now_ms()))


@pytest.fixture
def stream() -> MemoryStream:
    return MemoryStream(now_ms)


@pytest.fixture
async def follower(stream: MemoryStream) -> AsyncIterator[Follower]:
    follower = Follower(stream, Index())
    yield follower
    await follower.aclose()


async def test_start_returns_when_the_window_is_covered_over_many_pages(stream, follower) -> None:
    await append(stream, Gap("start"), *(Change((f"t:{n}",)) for n in range(3 * PAGE_ENTRIES)))
    await follower.start()
    assert follower.is_covered
    assert len(follower.index) == 3 * PAGE_ENTRIES


async def test_between_the_parts_of_a_page_the_loop_goes_on(stream, follower) -> None:
    """A page may name half a million keys, which would hold up each web process for a third of a second."""
    await append(stream, Gap("start"))
    await follower.start()
    await follower.aclose()
    turns: list[int] = []
    turn = 0
    follower.entry_callbacks.append(lambda _: turns.append(turn))
    await append(stream, *(Change((f"t:{n}",)) for n in range(PAGE_ENTRIES)))
    await follower.start()
    while len(turns) < PAGE_ENTRIES:
        turn += 1
        await asyncio.sleep(0)
    assert max(Counter(turns).values()) <= PART_ENTRIES


async def test_new_entries_are_taken_in_and_told_to_callbacks_in_order(stream, follower) -> None:
    told: list[int] = []
    follower.entry_callbacks.append(lambda entry: told.append(entry.stamp))
    await append(stream, Gap("start"))
    await follower.start()
    ids = await append(stream, Change(("t:1",)), Heartbeat(now_ms()))
    await until_async(lambda: follower.index.watermark == ids[-1], "the entries are taken in")
    assert told == ids
    assert follower.index.verdict("t:1", ids[0], system_clock()) is Verdict.FRESH
    assert follower.index.verdict("t:1", ids[0] - 1, system_clock()) is Verdict.STALE


async def test_a_bug_ends_no_follower(stream, follower, caplog: pytest.LogCaptureFixture) -> None:
    """It begins anew, for the index may be half-way; what was filled before is vouched for no more."""
    bugs = [RuntimeError("boom")]
    follower.entry_callbacks.append(lambda entry: _raise(bugs.pop()) if bugs else None)
    await append(stream, Gap("start"))
    await follower.start()
    [lost] = await append(stream, Change(("t:1",)))
    await until_async(lambda: follower.stats.breaks == 1 and follower.is_covered, "the follower has begun anew")
    assert "RuntimeError: boom" in caplog.text
    assert follower.index.verdict("t:1", lost, system_clock()) is Verdict.UNKNOWN
    [found] = await append(stream, Change(("t:1",)))
    await until_async(lambda: follower.index.watermark == found, "it follows")


def _raise(error: Exception) -> None:
    raise error


class Deaf(MemoryStream):
    """Its pushes are lost while ``is_deaf``; reads go on."""

    is_deaf = False
    is_heard = False
    lost = 0

    @contextlib.asynccontextmanager
    async def subscribe(self, *, silence_ms: int = 0) -> AsyncIterator[AsyncIterator[Entry | None]]:
        async with super().subscribe(silence_ms=silence_ms) as pushes:
            yield self._heard(pushes)

    async def _heard(self, pushes: AsyncIterator[Entry | None]) -> AsyncIterator[Entry | None]:
        self.is_heard = True
        async for entry in pushes:
            if entry is None or not self.is_deaf:
                yield entry
            else:
                self.lost += 1


async def test_a_lost_push_is_read_from_the_stream_when_the_next_one_comes() -> None:
    stream, told = Deaf(now_ms), []
    follower = Follower(stream, Index())
    await append(stream, Gap("start"))
    await follower.start()
    follower.entry_callbacks.append(lambda entry: told.append(entry.stamp))
    await until_async(lambda: follower.stats.is_connected, "it is connected")
    ids = await append(stream, Change(("t:1",)))
    await until_async(lambda: told == ids, "the entry is told")
    stream.is_deaf = True
    ids += await append(stream, Change(("t:2",)), Change(("t:3",)))
    await until_async(lambda: stream.lost == 2, "two pushes are lost")
    stream.is_deaf = False
    ids += await append(stream, Change(("t:4",)))
    await until_async(lambda: len(told) == len(ids), "every entry is told")
    assert told == ids
    assert (follower.stats.breaks, follower.stats.reconnects) == (0, 0)
    await follower.aclose()


async def test_pushes_that_do_not_come_are_noticed_and_cost_a_silence_at_most() -> None:
    stream = Deaf(now_ms)
    stream.is_deaf = True
    follower = Follower(stream, Index())
    await append(stream, Gap("start"))
    await follower.start()
    [stamp] = await append(stream, Change(("t:1",)))
    await until_async(lambda: follower.index.watermark == stamp, "the entry is taken in")
    assert follower.stats.reconnects == 0, "a loop that was busy finds its pushes late"
    [stamp] = await append(stream, Change(("t:1",)))
    await until_async(lambda: follower.index.watermark == stamp, "the entry is taken in")
    await until_async(lambda: follower.stats.reconnects > 0, "the silence is noticed")
    assert "nothing is pushed" in follower.stats.last_error
    await follower.aclose()


class Narrow(Deaf):
    """Behind a link that carries so many entries within a timeout."""

    carries = 20
    timeouts = 0

    async def read_after(self, after: int, *, count: int, block_ms: int = 0) -> list[Entry]:
        return self._carried(await super().read_after(after, count=count, block_ms=block_ms))

    async def read_before(self, before: int | None, *, count: int) -> list[Entry]:
        return self._carried(await super().read_before(before, count=count))

    def _carried(self, page: list[Entry]) -> list[Entry]:
        if len(page) > self.carries:
            self.timeouts += 1
            raise UnavailableError("no answer in time")
        return page


async def test_a_page_that_a_slow_link_does_not_carry_is_asked_for_by_smaller_ones() -> None:
    stream = Narrow(now_ms)
    follower = Follower(stream, Index())
    await append(stream, Gap("start"), *(Change((f"t:{n}",)) for n in range(300)))
    await follower.start(DEADLINE_S)
    assert follower.is_covered
    assert len(follower.index) == 300

    assert follower.stats.reconnects == stream.timeouts > 3

    stream.carries, stream.is_deaf = 10, True
    ids = await append(stream, *(Change((f"u:{n}",)) for n in range(30)))
    await until_async(lambda: follower.index.watermark == ids[-1], "the entries are taken in")
    assert len(follower.index) == 330
    await follower.aclose()


@pytest.mark.integration
async def test_a_window_is_covered_over_a_link_that_carries_no_whole_page_in_time(redis_b, relay) -> None:
    writer = RedisStream.from_url(redis_b.url)
    keys = tuple(f"t:{number}:{'x' * 40}" for number in range(400))
    await append(writer, Gap("start"), *(Change(keys, committed_ms=n) for n in range(100)))
    port = relay.add_link("redis", redis_b.port)
    relay.slow(1_000_000)
    reader = RedisStream.from_url(f"redis://127.0.0.1:{port}", timeout_ms=500)
    follower = Follower(reader, Index())
    await follower.start(DEADLINE_S)
    assert follower.is_covered
    assert len(follower.index) == len(keys)
    assert follower.stats.reconnects > 0
    await follower.aclose()
    await reader.aclose()
    await writer.aclose()


async def test_a_failover_that_lost_entries_is_a_break_and_what_was_filled_stays_unknown(stream, follower) -> None:
    await append(stream, Gap("start"))
    replica = stream.snapshot()
    [lost] = await append(stream, Change(("t:1",)))
    await follower.start()
    stream.restore(replica)
    [_, after] = await append(stream, Change(("t:2",)), Heartbeat(now_ms()))
    await until_async(lambda: follower.stats.breaks == 1, "the break is noticed")
    await until_async(lambda: follower.index.watermark == after, "it begins again")
    assert "continuity" in follower.stats.last_error
    assert follower.index.verdict("t:1", lost, system_clock()) is Verdict.UNKNOWN
    assert follower.index.verdict("t:1", after, system_clock()) is Verdict.FRESH


async def test_a_flushed_stream_is_noticed_even_if_nothing_new_comes(stream, follower) -> None:
    [stamp] = await append(stream, Gap("start"))
    await follower.start()
    stream.flush()
    await until_async(lambda: follower.stats.breaks == 1, "the break is noticed")
    assert follower.index.verdict("t:1", stamp, system_clock()) is Verdict.UNKNOWN


async def test_a_history_with_lower_stamps_that_begins_before_the_first_push_is_noticed() -> None:
    """Nothing else would tell: the pushes go on, and all of them are below the watermark."""
    ahead_ms = 3_600_000
    stream = Deaf(lambda: now_ms() + ahead_ms)
    await append(stream, Gap("start"))
    follower = Follower(stream, Index())
    await follower.start()
    await until_async(lambda: stream.is_heard, "it is subscribed")
    stream.flush()
    ahead_ms = 0
    async with asyncio.timeout(DEADLINE_S):
        while not follower.stats.breaks:
            await append(stream, Heartbeat(now_ms()))
            await asyncio.sleep(SILENCE_MS / 1000 / 5)
    await follower.aclose()


@contextlib.contextmanager
def unreachable(stream: MemoryStream, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def refuse(*_: object, **__: object) -> None:
        raise UnavailableError("Redis is not there")

    with monkeypatch.context() as broken:
        broken.setattr(stream, "read_before", refuse)
        yield


async def test_an_unreachable_stream_is_reported_and_tried_again(stream, follower, monkeypatch) -> None:
    with unreachable(stream, monkeypatch):
        await follower.start(wait_s=0.01)
        await until_async(lambda: follower.stats.reconnects > 0, "the failure is counted")
        assert not follower.stats.is_connected
        assert follower.index.verdict("t:1", stamps.STAMP_MAX, system_clock()) is Verdict.UNKNOWN
    await append(stream, Gap("start"))
    await until_async(lambda: follower.is_covered, "the window is covered")


async def test_a_link_that_works_again_is_logged_once_and_leaves_no_error(
    stream, follower, monkeypatch, caplog
) -> None:
    caplog.set_level(logging.INFO, "stampline.follower")

    with unreachable(stream, monkeypatch):
        await follower.start(wait_s=0.01)
        await until_async(lambda: follower.stats.reconnects > 1, "the failures are counted")
        assert follower.stats.last_error == "Redis is not there"
    await until_async(lambda: follower.is_covered, "the window is covered")
    await append(stream, Gap("start"), Heartbeat(now_ms()))
    await until_async(lambda: not follower.stats.last_error, "the error is over")
    await append(stream, Heartbeat(now_ms()))
    assert follower.stats.is_connected
    events = [record.stampline["event"] for record in caplog.records]
    assert events == ["follower_link_lost", "follower_connected"]


@pytest.mark.integration
async def test_on_a_real_redis_that_is_killed_and_comes_back_empty(new_redis) -> None:
    server = new_redis()
    stream = RedisStream.from_url(server.url)
    follower = Follower(stream, Index())
    await append(stream, Gap("start"), Change(("t:1",)), Heartbeat(now_ms()))
    await follower.start()
    filled = follower.index.watermark
    assert follower.index.verdict("t:1", filled, system_clock()) is Verdict.FRESH
    server.kill()
    await until_async(lambda: not follower.stats.is_connected, "the lost connection is noticed")
    server.start()
    await until_async(lambda: follower.stats.breaks > 0, "the break is noticed")
    await append(stream, Gap("recreated"), Heartbeat(now_ms()))
    await until_async(lambda: follower.stats.is_connected and follower.index.watermark > filled, "it follows again")
    assert follower.index.verdict("t:1", filled, system_clock()) is Verdict.UNKNOWN
    await follower.aclose()
    await stream.aclose()


async def test_latencies_are_measured_once_per_change_that_came(stream, follower) -> None:
    await append(stream, Gap("start"), Change(("t:1",), gtid="0-1-1", committed_ms=now_ms() - 60_000))
    await follower.start()
    committed = Change(("t:2",), gtid="0-1-2", committed_ms=now_ms() - 700)
    again = Change(("t:2",), gtid="0-1-2", committed_ms=now_ms() - 700, settled=True)
    await append(stream, committed, again, Change(("t:3",)), Heartbeat(now_ms()))
    await until_async(lambda: follower.stats.entries == 4, "the entries are taken in")
    # Neither what was there before, nor what is said again, nor a bump, is a commit on its way.
    assert sum(follower.stats.latencies.stream.counts) == 3
    assert sum(follower.stats.latencies.commit.counts) == 1
    assert 700 <= follower.stats.latencies.commit.sum_ms < 60_000


async def test_a_refused_login_is_a_reason_of_its_own(stream, follower, monkeypatch) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise AuthenticationError("wrong password")

    class Scrape(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            scraped.append(follower.stats.reconnects_by_reason)

    scraped: list[dict[str, int]] = []
    monkeypatch.setattr(logging.getLogger("stampline.follower"), "handlers", [Scrape()])
    monkeypatch.setattr(stream, "read_before", refuse)
    await follower.start(wait_s=0.01)
    await until_async(lambda: follower.stats.reconnects > 0, "the failure is counted")
    assert follower.stats.reconnects_by_reason == {"unavailable": 0, "access_denied": 1}
    assert scraped == [follower.stats.reconnects_by_reason]
