"""What can befall the backends in memory leaves them as the same accident leaves a real Redis."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.eventually import now_ms
from versioning import stamp as stamps
from versioning.backends.base import Append, CheckpointRefusedError, Fill, History, StreamBackend
from versioning.backends.memory import MemoryStream, MemoryValues
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, NewEntry, Poisoned
from versioning.header import ValueHeader, pack

STREAM, STATE = "{stampline}:stream", "{stampline}:state"
READ_UP_TO = Checkpoint("0-1-1", 1, "first")


@dataclass(frozen=True)
class World:
    backend: StreamBackend
    drop: Callable[[int], Any]
    poison: Callable[[], Any]
    forget_checkpoints: Callable[[], Any]
    damage_checkpoints: Callable[[], Any]
    evict: Callable[[], Any]
    forget_state: Callable[[], Any]

    async def append(self, *numbers: int, **options: Any) -> list[int]:
        new = tuple(NewEntry(f"{number:016x}", Change((f"t:{number}",))) for number in numbers)
        return await self.backend.append(Append(new, now_ms(), **options))

    async def links(self) -> list[tuple[str, str]]:
        """Return nonce and previous nonce of every entry, oldest first."""
        return [(entry.nonce[-1:], entry.previous[-1:]) for entry in await self.backend.read_after(0, count=100)]


def in_memory() -> World:
    stream = MemoryStream(now_ms)
    return World(
        stream,
        lambda stamp: stream.drop(lambda e: e.stamp == stamp),
        stream.poison,
        stream.forget_checkpoints,
        stream.damage_checkpoints,
        stream.evict,
        stream.forget_state,
    )


def in_redis(client: Any, stream: RedisStream) -> World:
    return World(
        stream,
        lambda stamp: client.xdel(STREAM, stamps.text(stamp)),
        lambda: client.xadd(STREAM, {"written by": "someone else"}),
        lambda: client.hdel(STATE, "cp:w"),
        lambda: client.hset(STATE, "cp:w", b"edited by hand\xff"),
        lambda: client.delete(STREAM),
        lambda: client.delete(STATE),
    )


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "memory":
        yield in_memory()
        return
    server = request.getfixturevalue("redis_a")
    stream = RedisStream.from_url(server.url)
    with server.client() as client:
        yield in_redis(client, stream)
    await stream.aclose()


async def test_entries_deleted_in_the_middle_leave_the_links_of_the_others(world: World) -> None:
    _, middle, _ = await world.append(1, 2, 3)
    world.drop(middle)
    await world.append(4)
    assert await world.links() == [("1", ""), ("3", "2"), ("4", "3")]
    assert await world.backend.read_one(middle) is None


async def test_a_deletion_begins_another_history_with_the_next_append(world: World) -> None:
    first, *_ = await world.append(1, 2)
    before = await world.backend.history()
    world.drop(first)
    assert await world.backend.history() == before
    behind, last = await world.append(3, 4)
    assert await world.backend.history() == History(before.server, behind, last)
    [last] = await world.append(5)
    assert await world.backend.history() == History(before.server, behind, last)


async def test_of_a_stream_whose_end_was_deleted_the_next_entry_shows_it(world: World) -> None:
    *_, last = await world.append(1, 2)
    world.drop(last)
    [after] = await world.append(3)
    assert after > last
    assert await world.links() == [("1", ""), ("3", "2")]


async def test_after_an_entry_of_someone_else_a_new_history_begins(world: World) -> None:
    [first] = await world.append(1)
    world.poison()
    [after] = await world.append(2)
    entries = await world.backend.read_after(0, count=100)
    assert [type(entry.body) for entry in entries] == [Change, Poisoned, Change]
    assert first < entries[1].stamp < after
    assert await world.links() == [("1", ""), ("", ""), ("2", "")]
    assert (await world.backend.state()).since == after
    history = await world.backend.history()
    assert (history.torn, history.last) == (after, after)


async def test_an_append_of_nothing_changes_nothing(world: World) -> None:
    assert await world.append() == []
    assert await world.backend.history() == History()
    first, _ = await world.append(1, 2, writer="w", checkpoint=READ_UP_TO)
    world.drop(first)
    world.poison()
    before, history = await world.backend.state(), await world.backend.history()
    assert await world.append() == []
    assert (await world.backend.state(), await world.backend.history()) == (before, history)
    [after] = await world.append(3)
    assert (await world.backend.state()).since == (await world.backend.history()).torn == after


async def test_a_forgotten_checkpoint_costs_no_entry(world: World) -> None:
    await world.append(1, writer="w", checkpoint=READ_UP_TO)
    world.forget_checkpoints()
    assert await world.backend.checkpoint("w") is None
    await world.append(2, writer="w", checkpoint=READ_UP_TO)
    assert await world.links() == [("1", ""), ("2", "1")]


async def test_a_damaged_checkpoint_stops_nobody_and_is_replaced_by_its_writer(world: World) -> None:
    await world.append(1, writer="w", checkpoint=READ_UP_TO)
    await world.append(2, writer="other", checkpoint=READ_UP_TO)
    world.damage_checkpoints()
    with pytest.raises(CheckpointRefusedError) as refused:
        await world.append(3, writer="w", expected=READ_UP_TO, checkpoint=READ_UP_TO)
    damaged = refused.value.stored
    assert damaged is not None
    assert damaged.damaged
    assert (await world.backend.state()).checkpoints["w"] == damaged == await world.backend.checkpoint("w")
    await world.append(3, writer="w", expected=damaged, checkpoint=READ_UP_TO)
    assert await world.backend.checkpoint("w") == READ_UP_TO


async def test_where_the_stream_was_evicted_its_state_binds_the_stamps_and_nothing_else(world: World) -> None:
    [last] = await world.append(1, writer="w", checkpoint=READ_UP_TO)
    world.evict()
    with pytest.raises(CheckpointRefusedError) as refused:
        await world.append(2, writer="w", expected=READ_UP_TO, checkpoint=READ_UP_TO)
    assert refused.value.stored is None
    [after] = await world.append(3)
    assert after > last
    assert await world.links() == [("3", "")]


async def test_where_the_stream_was_evicted_a_refused_append_forgets_nothing_that_still_holds(world: World) -> None:
    """Who was refused reads the state again: what it says of writers must be gone, not what it says of the server."""
    first, _ = await world.append(1, 2, writer="w", checkpoint=READ_UP_TO)
    world.drop(first)
    await world.append(3)
    before = await world.backend.history()
    world.evict()
    with pytest.raises(CheckpointRefusedError):
        await world.append(4, writer="w", expected=READ_UP_TO, checkpoint=READ_UP_TO)
    assert await world.backend.checkpoint("w") is None
    assert await world.backend.history() == before
    [after] = await world.append(4, writer="w", checkpoint=READ_UP_TO)
    assert await world.backend.history() == History(before.server, after, after)


async def test_where_the_state_is_gone_the_stream_binds_the_stamps_and_nothing_else(world: World) -> None:
    [last] = await world.append(1, writer="w", checkpoint=READ_UP_TO)
    world.forget_state()
    assert await world.backend.checkpoint("w") is None
    assert await world.backend.history() == History()
    [after] = await world.append(2)
    assert after > last
    assert await world.links() == [("1", ""), ("2", "")]
    assert (await world.backend.state()).since == after
    assert (await world.backend.history()).torn == after


async def test_a_failover_begins_another_history_with_the_next_append() -> None:
    stream = MemoryStream(now_ms)
    bump = Append((NewEntry("1", Change(("t:1",))),), now_ms())
    await stream.append(bump)
    before = await stream.history()
    stream.restore(stream.snapshot())
    assert await stream.history() == before
    await stream.append(bump)
    assert await stream.history() != before


def value(ms: int) -> bytes:
    return pack(ValueHeader(stamps.make(ms), ms), b"1")


def test_values_fail_over_to_what_was_there_leases_too() -> None:
    clock_ms = 1_000
    values = MemoryValues(lambda: clock_ms)
    values.fill([Fill("kept", value(1), 60_000)])
    assert values.try_lease({"k": b""}, "token", 60_000) == [True]
    snapshot = values.snapshot()
    values.release(["k"], "token")
    values.fill([Fill("kept", value(2), 60_000), Fill("lost", value(2), 60_000)])
    values.restore(snapshot)
    assert values.stored() == {"kept": value(1)}
    assert values.try_lease({"k": b""}, "other", 60_000) == [False]
    clock_ms += 60_000
    assert values.stored() == {}
    values.restore(snapshot)
    assert values.get("kept") is None


def test_a_snapshot_of_values_does_not_move_with_them() -> None:
    values = MemoryValues(now_ms)
    values.fill([Fill("kept", value(1), 60_000)])
    snapshot = values.snapshot()
    values.restore(snapshot)
    values.fill([Fill("later", value(1), 60_000)])
    values.restore(snapshot)
    assert list(values.stored()) == ["kept"]


def test_flushed_values_are_gone_and_their_leases_free() -> None:
    values = MemoryValues(now_ms)
    values.fill([Fill("k", value(1), 60_000)])
    values.try_lease({"j": b""}, "token", 60_000)
    values.flush()
    assert values.stored() == {}
    assert values.try_lease({"j": b""}, "other", 60_000) == [True]
