"""The mirror between two streams in memory: order, the gate, any number of mirrors at once, a full queue, the end."""

import asyncio
from dataclasses import replace

import pytest

from replicator.mirror import run as mirror_run
from tests.eventually import now_ms, until_async
from tests.replicator.mirror_world import (
    DEADLINE_S,
    FAST,
    PATIENT,
    MirrorWorld,
    ScriptedGate,
    Unreachable,
    assert_joined,
)
from versioning import stamp as stamps
from versioning.backends.base import Append, LoginRefusedError
from versioning.backends.memory import MemoryStream
from versioning.client.pulse import Pulse
from versioning.entries import Change, NewEntry, Origin


class Slow:
    """A target that answers an append when the test lets it."""

    def __init__(self, stream: MemoryStream) -> None:
        self.began, self.may_end = asyncio.Event(), asyncio.Event()
        self._stream = stream

    async def append(self, batch: Append) -> list[int]:
        self.began.set()
        await self.may_end.wait()
        return await self._stream.append(batch)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def test_an_entry_is_mirrored_with_its_origin_when_the_replica_has_it(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-7")
    world.start(gate)
    await world.change(7)
    await world.beat("0-1-7")
    view = await world.until(lambda v: v.keys == ["t:7"])
    entry = next(e for e in view.entries if isinstance(e.body, Change))
    first = (await world.origin.read_after(0, count=1))[0]
    assert entry.origin == Origin("a", stamps.text(first.stamp), first.nonce)
    assert entry.body == first.body
    assert entry.nonce != first.nonce


async def test_an_entry_waits_until_the_replica_has_applied_it(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(1)
    await world.change(2)
    await world.until(lambda v: v.keys == ["t:1"])
    gate.apply("0-1-2")
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert not any(body.pending for body in view.changes)
    assert sum(mirror.stats.gate_hold.counts) == sum(mirror.stats.stream_latency.counts) == 2


async def test_an_entry_waits_for_every_listed_database(world: MirrorWorld) -> None:
    fast, slow = ScriptedGate("fast", "0-1-9"), ScriptedGate("slow", "0-1-4")
    world.start(fast, slow, options=PATIENT)
    await world.beat("0-1-4")
    await world.change(4)
    await world.change(5)
    await world.until(lambda v: v.keys == ["t:4"])
    slow.apply("0-1-5")
    await world.until(lambda v: v.keys == ["t:4", "t:5"])


async def test_an_entry_without_gtid_passes_in_its_place(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(2)
    await world.write(Change(("bump:1",)))
    await world.until(lambda v: bool(v.heartbeats))
    gate.apply("0-1-2")
    view = await world.until(lambda v: v.keys == ["t:2", "bump:1"])
    assert not any(body.pending for body in view.changes)


async def test_mirrors_at_once_lose_nothing_and_double_nothing(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-0")
    mirrors = [world.start(gate) for _ in range(3)]
    for number in range(1, 201):
        await world.change(number)
        if number % 10 == 0:
            await world.beat(f"0-1-{number}")
            gate.apply(f"0-1-{number}")
            await asyncio.sleep(0)
        if number == 100:
            await mirrors[0].kill()
            mirrors[0] = world.start(gate)
    view = await world.until(lambda v: len(v.keys) >= 200)
    assert view.keys == [f"t:{number}" for number in range(1, 201)]
    assert_joined(view)


async def test_a_killed_mirror_goes_on_where_it_was(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-99")
    await world.copy_one_and_die(gate)
    await world.change(2)
    world.start(gate)
    view = await world.until(lambda v: v.keys == ["t:1", "t:2"])
    assert len(view.gaps) == 1


@pytest.mark.parametrize(("end", "reason"), [("origin", "access_denied"), ("target", "target_denied")])
async def test_a_rejected_certificate_is_a_refusal_by_the_redis_it_is_of(
    world: MirrorWorld, end: str, reason: str
) -> None:
    error = LoginRefusedError("no TLS with Redis r:6379: certificate has expired")
    refused = world.start(ScriptedGate(), **{end: Unreachable(error)})  # type: ignore[arg-type]
    await world.until(lambda _: bool(refused.stats.last_reason))
    assert (refused.stats.last_reason, refused.stats.last_error) == (reason, str(error))
    assert refused.stats.reconnects_by_reason == {reason: 1}


async def test_a_full_queue_stops_the_reading(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-0")
    options = type(FAST)(gate_limit_ms=60_000, queue_keys_max=10, silence_ms=1_000)
    mirror = world.start(gate, options=options)
    for number in range(1, 51):
        await world.change(number)
    await world.until(lambda v: mirror.stats.held >= 10)
    assert mirror.stats.held == 10
    gate.apply("0-1-50")
    view = await world.until(lambda v: len(v.keys) == 50)
    assert view.keys == [f"t:{number}" for number in range(1, 51)]


async def test_what_waits_in_a_full_queue_does_not_wait_for_its_time_limit(world: MirrorWorld) -> None:
    """Else a replica that is down would hold up all that its keys have to do with, and the heartbeats behind them."""
    options = replace(PATIENT, queue_keys_max=10)
    mirror = world.start(ScriptedGate(applied="0-1-0"), options=options)
    for number in range(1, 36):
        await world.change(number)
    # The gap it begins with is in the queue, or not any more.
    view = await world.until(lambda v: len(v.keys) + mirror.stats.held == 35 and mirror.stats.held < 10)
    assert all(change.pending for change in view.changes)
    assert mirror.stats.held in {5, 6}, "the others wait, since there is room"


async def test_a_queue_that_is_full_because_the_target_does_not_answer_is_no_lost_link_to_the_origin(
    world: MirrorWorld,
) -> None:
    mirror = world.start(options=replace(FAST, queue_keys_max=1, silence_ms=200))
    await until_async(lambda: mirror.stats.is_connected == 1, "it follows the origin")
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    for number in range(1, 5):
        await world.change(number)
    await asyncio.sleep(2 * 0.2 + 2 * FAST.check_ms / 1000)
    assert not mirror.stats.reconnects_by_reason
    slow.may_end.set()
    await world.until(lambda v: v.keys == [f"t:{number}" for number in range(1, 5)])


async def test_a_mirror_ends_when_it_is_told_to(world: MirrorWorld) -> None:
    mirror = world.start(ScriptedGate())
    await world.until(lambda v: mirror.stats.is_connected == 1)
    await mirror.end()
    assert mirror.task.done()


async def test_at_its_end_a_mirror_writes_what_has_passed_the_gate_and_leaves_the_rest(world: MirrorWorld) -> None:
    gate = ScriptedGate(applied="0-1-1")
    mirror = world.start(gate, options=PATIENT)
    await world.beat("0-1-1")
    await world.change(1)
    await world.until(lambda v: v.keys == ["t:1"])
    await world.change(2)
    await world.change(3)
    await until_async(lambda: mirror.stats.held == 2, "two are held back")
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    gate.apply("0-1-2")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    mirror.stop.set()
    slow.may_end.set()
    await asyncio.wait_for(mirror.task, DEADLINE_S)
    assert (await world.until(lambda _: True)).keys == ["t:1", "t:2"]
    world.start(gate, options=PATIENT)
    gate.apply("0-1-3")
    await world.until(lambda v: v.keys == ["t:1", "t:2", "t:3"])


async def test_a_target_that_does_not_answer_holds_up_the_end_for_a_time_only(
    world: MirrorWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_run, "FLUSH_MAX_S", 0.05)
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=PATIENT)
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    await world.beat("0-1-1")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    mirror.stop.set()
    await asyncio.wait_for(mirror.task, DEADLINE_S)


async def test_a_mirror_that_waits_for_a_dead_target_ages(world: MirrorWorld) -> None:
    clock = Clock()
    mirror = world.start(ScriptedGate(applied="0-1-1"), options=PATIENT, pulse=Pulse(clock_s=clock))
    await world.beat("0-1-1")
    await world.until(lambda v: bool(v.heartbeats))
    slow = Slow(world.target)
    mirror.link.append = slow.append  # type: ignore[method-assign]
    await world.beat("0-1-1")
    await asyncio.wait_for(slow.began.wait(), DEADLINE_S)
    clock.now_s += 60
    assert mirror.pulse.complaint() == "the working loop has not turned for 60 s"
    slow.may_end.set()
    await until_async(lambda: mirror.pulse.complaint() is None, "its loop turns again")


@pytest.mark.parametrize("by_hand", ["nonsense", "", "99999999999999999-0"])
async def test_an_entry_that_names_none_of_the_origin_is_nobodys(world: MirrorWorld, by_hand: str) -> None:
    """It looks like a mirror's, and no mirror that starts may end with it."""
    gate = ScriptedGate(applied="0-1-9")
    await world.copy_one_and_die(gate)
    foreign = NewEntry("f" * 16, Change(("t:9",), "0-1-1"), Origin("a", by_hand, "n"))
    await world.target.append(Append((foreign,), now_ms()))
    world.start(gate)
    await world.change(3)
    await world.until(lambda v: v.keys[-1:] == ["t:3"])
