"""What every StreamBackend promises: one body over the in-memory backend and a real Redis."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.knowledge import READS_AT_ONCE
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster
from tests.eventually import now_ms
from versioning import stamp as stamps
from versioning.backends import redis_stream
from versioning.backends.base import (
    Append,
    BackendError,
    CheckpointRefusedError,
    DigestRefusedError,
    History,
    StreamBackend,
)
from versioning.backends.memory import MemoryStream
from versioning.backends.redis_stream import RedisStream
from versioning.bump import Bump
from versioning.checkpoint import Checkpoint
from versioning.client.bumps import append_bump
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, NewEntry, Origin, Poisoned, Replayed
from versioning.generations import KEPT_MAX, Aging, Generations
from versioning.limits import LOSS_LEAD_MS, REPLAY_SLACK_MS
from versioning.pending import word_of


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def stream(request: pytest.FixtureRequest) -> AsyncIterator[StreamBackend]:
    if request.param == "memory":
        yield MemoryStream(now_ms)
        return
    backend = RedisStream.from_url(request.getfixturevalue("redis_a").url)
    yield backend
    await backend.aclose()


def change(number: int) -> NewEntry:
    return NewEntry(f"{number:016x}", Change((f"t:{number}",), gtid=f"0-1-{number}"))


def bump(*numbers: int, **options: object) -> Append:
    return Append(tuple(change(number) for number in numbers), now_ms(), **options)  # type: ignore[arg-type]


async def test_entries_come_back_in_order_and_linked_by_their_nonces(stream: StreamBackend) -> None:
    ids = await stream.append(bump(1, 2, 3))
    found = await stream.read_after(stamps.ZERO, count=10)
    assert [entry.stamp for entry in found] == ids == sorted(set(ids))
    assert [entry.previous for entry in found] == ["", found[0].nonce, found[1].nonce]
    assert found[2].body == Change(("t:3",), gtid="0-1-3")
    assert await stream.read_before(None, count=2) == [found[2], found[1]]
    assert await stream.read_before(ids[1], count=5) == [found[0]]
    assert await stream.read_one(ids[1]) == found[1]
    assert await stream.read_one(ids[2] + 1) is None


async def test_every_kind_of_entry_survives_the_round_trip(stream: StreamBackend) -> None:
    bodies: list[Body] = [
        Gap("first start", gtid="0-1-1"),
        Change(("t:ä%20", "u:1"), gtid="0-1-2", committed_ms=5, pending=True),
        Generation(("t",), 7, 30_000, "TRUNCATE", settled=True),
        Replayed(3, gtid="0-1-2"),
        Heartbeat(9, 8),
    ]
    origin = Origin("a", "5-0", "ab")
    await stream.append(Append(tuple(NewEntry(f"{i:016x}", b, origin) for i, b in enumerate(bodies)), now_ms()))
    found = await stream.read_after(stamps.ZERO, count=10)
    assert [entry.body for entry in found] == bodies
    assert {entry.origin for entry in found} == {origin}


async def test_a_writer_with_an_outdated_checkpoint_is_refused_and_told_the_stored_one(stream: StreamBackend) -> None:
    first, second = Checkpoint("0-1-1", 1, "a"), Checkpoint("0-1-2", 2, "b")
    await stream.append(bump(1, writer="source:x", checkpoint=first))
    with pytest.raises(CheckpointRefusedError) as refused:
        await stream.append(bump(2, writer="source:x", checkpoint=second))
    assert refused.value.stored == first
    assert len(await stream.read_after(stamps.ZERO, count=10)) == 1
    await stream.append(bump(2, writer="source:x", expected=first, checkpoint=second))
    assert await stream.checkpoint("source:x") == second
    assert await stream.checkpoint("source:y") is None


async def test_of_many_racing_writers_exactly_one_wins_each_checkpoint(stream: StreamBackend) -> None:
    async def race(number: int) -> bool:
        try:
            await stream.append(bump(number, writer="w", checkpoint=Checkpoint("p", 0, str(number))))
        except CheckpointRefusedError:
            return False
        return True

    assert sum(await asyncio.gather(*(race(number) for number in range(8)))) == 1


async def test_stamps_exceed_everything_the_writer_has_seen_whatever_was_lost(stream: StreamBackend) -> None:
    ahead = stamps.make(now_ms() + 3_600_000, 7)
    [stamp] = await stream.append(bump(1, above=ahead))
    assert stamp == ahead + 1
    [after] = await stream.append(bump(2))
    assert after == stamp + 1


async def test_the_first_stamps_after_a_loss_are_beyond_any_that_were_lost_and_the_next_follow_them(
    stream: StreamBackend,
) -> None:
    began_ms = now_ms()
    [first] = await stream.append(bump(1))
    assert began_ms + LOSS_LEAD_MS <= stamps.ms_of(first) <= now_ms() + LOSS_LEAD_MS
    assert await stream.append(bump(2)) == [first + 1]


async def test_a_history_has_a_name_from_its_first_append_on(stream: StreamBackend) -> None:
    assert await stream.history() == History()
    await stream.append(bump(1))
    history = await stream.history()
    [last] = await stream.append(bump(2))
    assert history.server
    assert await stream.history() == History(history.server, stamps.ZERO, last)


async def test_a_clock_that_runs_far_ahead_does_not_drag_the_stamps_along(stream: StreamBackend) -> None:
    [stamp] = await stream.append(Append((change(1),), clock_ms=now_ms() + 10**9))
    assert stamps.ms_of(stamp) <= now_ms() + 60_000


async def test_a_full_sequence_goes_on_in_the_next_millisecond(stream: StreamBackend) -> None:
    full = stamps.make(now_ms() + 3_600_000, stamps.SEQUENCE_MAX - 1)
    ids = await stream.append(bump(1, 2, above=full))
    assert ids == [full + 1, full + 2]
    assert stamps.text(ids[1]).endswith("-0")


async def test_other_key_templates_are_refused_until_adopted(stream: StreamBackend) -> None:
    await stream.append(bump(1, digest="d1"))
    with pytest.raises(DigestRefusedError):
        await stream.append(bump(2, digest="d2"))
    await stream.append(bump(2, digest="d2", adopt_digest=True))
    with pytest.raises(DigestRefusedError):
        await stream.append(bump(3, digest="d1"))
    await stream.append(bump(4))
    assert (await stream.state()).digest == "d2"


async def test_the_state_says_since_when_the_stream_is_complete_and_a_replay_lowers_it(stream: StreamBackend) -> None:
    await stream.append(bump(1))
    [gap] = await stream.append(Append((NewEntry("g" * 16, Gap("lost")),), now_ms()))
    assert (await stream.state()).since == gap
    since_ms = now_ms() - 20 * 60_000
    [replayed] = await stream.append(Append((NewEntry("r" * 16, Replayed(since_ms)),), now_ms()))
    state = await stream.state()
    assert state.since == stamps.make(since_ms + REPLAY_SLACK_MS)
    assert (state.last, state.nonce) == (replayed, "r" * 16)


async def test_where_a_stream_begins_without_a_gap_no_replay_says_that_it_is_complete(stream: StreamBackend) -> None:
    """Its writer went on from a history that is not there: what that had said nobody has replayed."""
    [first] = await stream.append(bump(1))
    await stream.append(Append((NewEntry("r" * 16, Replayed(now_ms() - 20 * 60_000)),), now_ms()))
    assert (await stream.state()).since == first


async def test_a_blocking_read_returns_when_an_entry_comes(stream: StreamBackend) -> None:
    waiting = asyncio.create_task(stream.read_after(stamps.ZERO, count=10, block_ms=4_000))
    ids = await stream.append(bump(1))
    assert [entry.stamp for entry in await waiting] == ids
    assert await stream.read_after(ids[0], count=10, block_ms=1) == []


async def test_subscribers_are_pushed_every_entry_just_as_it_is_read(stream: StreamBackend) -> None:
    async with stream.subscribe() as pushed:
        await stream.append(bump(1, 2))
        received = [await anext(pushed), await anext(pushed)]
    assert received == await stream.read_after(stamps.ZERO, count=10)


async def test_a_silence_is_told_and_ends_no_subscription(stream: StreamBackend) -> None:
    async with stream.subscribe(silence_ms=20) as pushed:
        assert await anext(pushed) is None
        await stream.append(bump(1))
        found = [await anext(pushed), await anext(pushed)]
    assert found == [*await stream.read_after(stamps.ZERO, count=10), None]


@pytest.mark.integration
async def test_many_who_read_a_stream_on_a_cluster_at_once_are_all_answered(redis_cluster: RedisCluster) -> None:
    stream = RedisStream.from_url(redis_cluster.url)
    [stamp] = await stream.append(bump(1))
    await stream.aclose()
    cold = RedisStream.from_url(redis_cluster.url)
    found = await asyncio.gather(*(cold.read_one(stamp) for _ in range(READS_AT_ONCE)), return_exceptions=True)
    await cold.aclose()
    assert {getattr(each, "stamp", each) for each in found} == {stamp}


@pytest.mark.integration
async def test_as_long_as_a_gap_is_pending_the_version_keys_are_complete_since_never(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    pending, plain = Gap("purged", "0-1-5", pending=True), Gap("unreadable")
    with redis_b.client(decode_responses=True) as client:

        async def is_vouched_for(*bodies: Body) -> bool:
            entries = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies))
            await backend.append(Append(entries, now_ms()))
            return client.get("{stampline}:since") is not None

        assert await is_vouched_for(Gap("start"))
        for end in (Gap("purged (said again)", "0-1-5"), Replayed(1, settled=True)):
            assert not await is_vouched_for(pending, Change(("t:1",)))
            assert not await is_vouched_for(plain, Replayed(1))
            assert not await is_vouched_for(Gap("here", pending=True), plain)
            assert await is_vouched_for(end)
        assert not await is_vouched_for(Gap("purged", pending=True))
        assert await is_vouched_for(plain)
        assert not await is_vouched_for(pending)
        client.xadd("{stampline}:stream", {"by": "hand"})
        assert await is_vouched_for(Replayed(1, settled=True)), "it ends the gap where the stream begins anew, too"
    await backend.aclose()


@pytest.mark.integration
async def test_a_checkpoint_that_cannot_be_read_is_no_reason_to_refuse_a_bump(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    with redis_b.client(decode_responses=True) as client:
        client.hset("{stampline}:state", "cp:mirror:a", "damaged")
        [stamp] = await append_bump(backend, Bump("by hand", ("t:1",)), now_ms=now_ms())
        assert client.get("{stampline}:v:t:1") == stamp
    await backend.aclose()


@pytest.mark.integration
@pytest.mark.parametrize("field", ["last", "since", "torn"])
async def test_a_state_that_cannot_be_read_is_named_with_its_fix(redis_a, field: str) -> None:
    backend = RedisStream.from_url(redis_a.url)
    await backend.append(bump(1))
    with redis_a.client() as client:
        client.hset("{stampline}:state", field, "edited by hand")
        for ask in (backend.state,) if field == "since" else (backend.state, backend.history):
            with pytest.raises(BackendError) as found:
                await ask()
            assert found.value.hint == f"redis-cli HDEL '{{stampline}}:state' {field}"
        client.hdel("{stampline}:state", field)
    await backend.append(bump(2))
    await backend.state()
    await backend.aclose()


@pytest.mark.integration
@pytest.mark.parametrize("by_hand", ["edited by hand", "5", "9999999999999999999999-0", ""])
@pytest.mark.parametrize("field", ["last", "since", "torn"])
async def test_who_writes_meanwhile_takes_it_for_lost(redis_b, field: str, by_hand: str) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    await backend.append(Append((NewEntry("a" * 16, Gap("start")),), now_ms()))
    with redis_b.client() as client:
        client.hset("{stampline}:state", field, by_hand)
    [stamp] = await backend.append(bump(1))
    state = await backend.state()
    assert state.last == stamp
    assert (state.since == stamp) is (field != "torn"), "what was before is not known any more"
    assert (state.torn == stamp) is (field != "since")
    await backend.aclose()


@pytest.mark.integration
async def test_version_keys_tell_clients_that_do_not_follow(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    start = (NewEntry("a", Gap("start")), NewEntry("b", Change(("t:1", "t:2"))), NewEntry("c", Heartbeat(77)))
    [gap, first, _beat] = await backend.append(Append(start, now_ms()))
    [second, aged] = await backend.append(
        Append((NewEntry("d", Change(("t:1",))), NewEntry("e", Generation(("t",), 5, 6, "bump"))), now_ms())
    )
    names = ["v:t:1", "v:t:2", "g:t", "since", "beat", "last"]
    with redis_b.client(decode_responses=True) as client:
        values = client.mget([f"{{stampline}}:{name}" for name in names])
        assert client.pttl("{stampline}:v:t:1") > 0
    last = stamps.text(aged)
    expected = [stamps.text(second), stamps.text(first), f"{last} 5 6", stamps.text(gap), "77", last]
    assert values == expected
    await backend.aclose()


@pytest.mark.integration
async def test_version_keys_vouch_for_nothing_older_than_the_window_and_outlive_it(redis_b) -> None:
    """Else "no version key" would be taken for "no change" as soon as one has expired."""
    backend = RedisStream.from_url(redis_b.url, version_keys=True, window_ms=500)
    start = (NewEntry("a", Gap("start")), NewEntry("b", Heartbeat(now_ms())), change(1))
    _gap, before, _changed = await backend.append(Append(start, now_ms()))
    await asyncio.sleep((stamps.ms_of(before) + 600 - now_ms()) / 1000)
    await backend.append(Append((NewEntry("c", Heartbeat(now_ms())),), now_ms()))
    with redis_b.client(decode_responses=True) as client:
        assert stamps.parse(client.get("{stampline}:since")) > before
        assert client.pttl("{stampline}:v:t:1") > redis_stream.RETENTION_SLACK_MS - 10_000
    await backend.aclose()


@pytest.mark.integration
async def test_a_version_key_lives_as_long_as_its_stamp_which_may_be_ahead_of_the_clock(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True, window_ms=500)
    aged = NewEntry("g", Generation(("t",), 1, 0, "ddl"))
    await backend.append(Append((change(1), aged), now_ms(), above=stamps.make(now_ms() + 3_600_000)))
    with redis_b.client() as client:
        assert min(client.pttl("{stampline}:v:t:1"), client.pttl("{stampline}:g:t")) > 3_600_000
    await backend.aclose()


@pytest.mark.integration
async def test_version_keys_tell_what_is_pending(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    pending: dict[str, Any] = {"gtid": "0-1-5", "pending": True}
    applied: dict[str, Any] = {"gtid": "0-1-5", "settled": True}
    with redis_b.client(decode_responses=True) as client:

        async def say(**said: Any) -> tuple[str, str]:
            """Append a change and a generation; return what is kept, without the stamps."""
            bodies = Change(("t:1",), **said), Generation(("t",), 7, 8, "ddl", **said)
            entries = tuple(NewEntry(secrets.token_hex(8), body) for body in bodies)
            stamp, aged = map(stamps.text, await backend.append(Append(entries, now_ms())))
            key, namespace = client.mget("{stampline}:v:t:1", "{stampline}:g:t")
            assert key.partition(" ")[0] == stamp
            assert namespace.rpartition(";")[2].startswith(aged)
            return key.partition(" ")[2], ";".join(one.partition(" ")[2] for one in namespace.split(";"))

        assert await say(**pending) == ("pending", "7 8 pending")
        assert await say() == ("pending", "7 8 pending;7 8")
        assert await say(**applied) == ("", "7 8 pending;7 8;7 8 applied")
        assert await say() == ("", "7 8 pending;7 8;7 8 applied;7 8")
    await backend.aclose()


@pytest.mark.integration
@pytest.mark.parametrize("is_pending", [False, True])
async def test_of_many_generations_the_oldest_are_merged_towards_sooner(redis_b, *, is_pending: bool) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    bodies = [Generation(("t",), 1_000 + number, number, "ddl", gtid="0-1-5") for number in range(KEPT_MAX)]
    bodies[0] = Generation(("t",), 1_000, 240_000, "bump", gtid="0-1-4", pending=is_pending)
    bodies[1] = Generation(("t",), 1_001, 240_000, "bump")
    bodies.append(Generation(("t",), 9_000, 9, "bump"))
    entries = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies))
    appended = await backend.append(Append(entries, now_ms()))
    generations = Generations()
    for stamp, body in zip(appended, bodies, strict=True):
        generations.add("t", Aging(stamp, body.start_ms, body.spread_ms, word_of(body)))
    words = {None: "", False: " applied", True: " pending"}
    expected = [
        f"{stamps.text(one.stamp)} {one.start_ms} {one.spread_ms}{words[one.is_pending]}" for one in generations["t"]
    ]
    assert (generations["t"][0].spread_ms == 0) is is_pending
    with redis_b.client(decode_responses=True) as client:
        assert client.get("{stampline}:g:t").split(";") == expected
    await backend.aclose()


@pytest.mark.integration
async def test_a_stream_whose_state_is_lost_still_hands_out_greater_stamps(redis_a) -> None:
    backend = RedisStream.from_url(redis_a.url)
    [ahead] = await backend.append(bump(1, above=stamps.make(now_ms() + 3_600_000)))
    with redis_a.client() as client:
        client.delete("{stampline}:state")
    [after] = await backend.append(bump(2))
    assert after == ahead + 1
    await backend.aclose()


@pytest.mark.integration
async def test_a_poisoned_entry_is_named_and_the_good_ones_around_it_are_read(redis_a) -> None:
    backend = RedisStream.from_url(redis_a.url)
    await backend.append(bump(1))
    with redis_a.client() as client:
        client.xadd("{stampline}:stream", {b"t": b"change", b"n": b"\xff\xfe", b"b": json.dumps({"keys": [1]})})
    first, poisoned = await backend.read_after(stamps.ZERO, count=10)
    assert first.body == Change(("t:1",), gtid="0-1-1")
    assert isinstance(poisoned.body, Poisoned)
    assert "keys" in poisoned.body.reason
    await backend.aclose()


async def fill_up(backend: RedisStream, server: RedisServer) -> Entry:
    """Append until Redis refuses; return the last entry. A buffer that Redis gives back makes no room again."""
    keys = tuple(f"t:{number}:{'x' * 50}" for number in range(500))

    async def go_on() -> None:
        while True:
            await backend.append(Append((NewEntry(secrets.token_hex(8), Change(keys)),), now_ms()))

    with pytest.raises(BackendError, match="maxmemory"):
        await go_on()
    with server.client() as client:
        client.config_set("maxmemory", "5mb")
    return (await backend.read_before(None, count=1))[0]


@pytest.mark.integration
async def test_a_full_redis_refuses_all_until_entries_are_past_the_retention_and_then_goes_on_by_itself(
    new_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_stream, "RETENTION_SLACK_MS", 0)
    server = new_redis(maxmemory="6mb")
    async with contextlib.aclosing(RedisStream.from_url(server.url, window_ms=1_000)) as backend:
        checkpoint = Checkpoint("0-1-1", 1, "a")
        last = await fill_up(backend, server)
        before = await backend.state()
        with pytest.raises(BackendError, match="maxmemory"):
            await backend.append(bump(1, writer="w", checkpoint=checkpoint, digest="d"))
        assert await backend.state() == before

        await asyncio.sleep((stamps.ms_of(last.stamp) + 1_100 - now_ms()) / 1000)
        with pytest.raises(CheckpointRefusedError):
            await backend.append(bump(1, writer="w", expected=checkpoint, checkpoint=checkpoint))
        assert await backend.state() == before
        assert await backend.read_before(None, count=1) == [last]

        ids = await backend.append(bump(1, 2, writer="w", checkpoint=checkpoint))
        found = await backend.read_after(stamps.ZERO, count=10)
        assert [entry.stamp for entry in found] == ids, "all that was past the retention is gone"
        assert found[0].previous == last.nonce
        state = await backend.state()
        assert (state.last, state.checkpoints["w"]) == (ids[-1], checkpoint)
        assert last.stamp < state.since < ids[0]
        await backend.append(bump(3))
        assert (await backend.history()).torn == stamps.ZERO, "an append's own trimming is no deletion by hand"


@pytest.mark.integration
async def test_nor_does_a_full_redis_take_what_is_written_to_be_waited_for(
    new_redis: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else WAIT, asked of a connection that wrote nothing, would say that replicas have what they lack."""
    monkeypatch.setattr(redis_stream, "RETENTION_SLACK_MS", 0)
    server = new_redis(maxmemory="6mb")
    async with contextlib.aclosing(RedisStream.from_url(server.url, window_ms=1_000)) as backend:
        last = await fill_up(backend, server)
        before, nothing = await backend.state(), Append((), 0)
        with pytest.raises(BackendError, match="maxmemory"):
            await backend.append(nothing)
        await asyncio.sleep((stamps.ms_of(last.stamp) + 1_100 - now_ms()) / 1000)
        assert await backend.append(nothing) == []
        assert await backend.state() == before
        await backend.append(bump(1))
        assert (await backend.history()).torn == stamps.ZERO
        [torn] = await backend.append(bump(2))
        with server.client() as client:
            client.xdel("{stampline}:stream", stamps.text(torn))
        await backend.append(nothing)
        await backend.append(bump(3))
        assert (await backend.history()).torn > torn, "what others deleted is noticed"
        with server.client() as client:
            client.hset("{stampline}:state", "deleted", "by hand")
        assert await backend.append(nothing) == [], "it stops nobody who waits for replicas"


@pytest.mark.integration
async def test_nothing_is_written_behind_an_id_that_is_beyond_every_stamp(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url)
    await backend.append(bump(1))
    with redis_b.client() as client:
        client.xadd("{stampline}:stream", {"by": "hand"}, id=f"{stamps.MS_MAX + 1}-0")
        for _ in range(2):
            with pytest.raises(BackendError, match="beyond every stamp"):
                await backend.append(bump(2))
        assert client.xlen("{stampline}:stream") == 2
        client.delete("{stampline}:stream")
    assert len(await backend.append(bump(2))) == 1
    await backend.aclose()


@pytest.mark.integration
async def test_a_version_key_of_another_type_is_replaced(redis_b) -> None:
    backend = RedisStream.from_url(redis_b.url, version_keys=True)
    bodies: tuple[Body, ...] = (Gap("start"), Change(("t:1",)), Generation(("t",), 5, 6, "bump"))
    entries = tuple(NewEntry(f"{number:016x}", body) for number, body in enumerate(bodies))
    with redis_b.client(decode_responses=True) as client:
        for name in ("v:t:1", "g:t"):
            client.hset("{stampline}:" + name, "by", "hand")
        [_, changed, aged] = await backend.append(Append(entries, now_ms()))
        assert client.get("{stampline}:v:t:1") == stamps.text(changed)
        assert client.get("{stampline}:g:t") == f"{stamps.text(aged)} 5 6"
    assert (await backend.state()).last == aged
    await backend.aclose()
