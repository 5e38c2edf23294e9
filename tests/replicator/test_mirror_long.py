"""Outages longer than a window, of a mirror that lives on: what readers have forgotten meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from replicator.mirror.options import BATCH_KEYS_MAX, MirrorOptions, MirrorStats
from replicator.mirror.run import run_mirror
from tests.eventually import until_async
from tests.replicator.mirror_world import ScriptedGate
from versioning import stamp as stamps
from versioning.backends.base import Append, StreamBackend, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.client.clock import system_clock
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, NewEntry
from versioning.follow import Follow
from versioning.index import Index
from versioning.limits import WINDOW_MS
from versioning.liveness import Now
from versioning.verdict import Verdict

KEYS = tuple(f"t:{number}" for number in range(12_000))
assert len(KEYS) > 2 * BATCH_KEYS_MAX
MANY = tuple(Change(KEYS[first : first + 1_000], "0-1-2") for first in range(0, len(KEYS), 1_000))


class World:
    """A mirror whose link to the target can be cut, and a clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead_ms = self.written = 0
        self.is_cut = False
        self.origin, self.target = (MemoryStream(lambda: self.now().ms) for _ in range(2))
        self.gate = ScriptedGate(applied="0-1-1")
        options = MirrorOptions(gate_limit_ms=100, heartbeat_ms=20)
        link = cast("StreamBackend", self)
        work = run_mirror(
            options, self.origin, link, [self.gate], stop=asyncio.Event(), stats=MirrorStats(), clock=self.now
        )
        self.mirror = asyncio.ensure_future(work)

    def __getattr__(self, name: str) -> object:
        return getattr(self.target, name)

    async def append(self, batch: Append) -> list[int]:
        if self.is_cut:
            raise UnavailableError("the link is cut")
        return await self.target.append(batch)

    def now(self) -> Now:
        now = system_clock()
        return Now(now.ms + self.ahead_ms, now.monotonic_ms + self.ahead_ms)

    async def write(self, stream: MemoryStream, *bodies: Body) -> None:
        entries = []
        for body in bodies:
            self.written += 1
            entries.append(NewEntry(f"{self.written:016x}", body))
        await stream.append(Append(tuple(entries), clock_ms=0))

    async def entries(self) -> list[Entry]:
        return await self.target.read_after(stamps.ZERO, count=100_000)

    async def pass_a_window(self) -> None:
        """Nothing but bumps comes."""
        for _ in range(9):
            self.ahead_ms += WINDOW_MS // 8
            await self.write(self.target, Change(("t:bumped",)))

    async def until_beats(self, count: int) -> None:
        """Let the source tell that it reads, until that has come to the target so many times."""
        last = (await self.entries())[-1].stamp

        async def have_come() -> bool:
            await self.write(self.origin, Heartbeat(self.now().ms, gtid="0-1-2"))
            new = await self.target.read_after(last, count=100_000)
            return sum(isinstance(entry.body, Heartbeat) for entry in new) >= count

        await until_async(have_come, "heartbeats")


async def began(world: World) -> bool:
    return any(isinstance(entry.body, Heartbeat) for entry in await world.entries())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.write(world.origin, Gap("start", "0-1-1"), Heartbeat(world.now().ms, gtid="0-1-1"))
    await until_async(lambda: began(world), "the mirror's start")
    yield world
    world.mirror.cancel()
    await asyncio.gather(world.mirror, return_exceptions=True)


def vouched_for(entries: list[Entry], key: str, fill_stamp: int) -> list[int]:
    """Return behind which entries a follower vouches for the value."""
    index, found = Index(), []
    follow = Follow(index)
    for entry in entries:
        ms = stamps.ms_of(entry.stamp)
        follow.take([entry], Now(ms, ms))
        if index.watermark >= fill_stamp and index.verdict(key, fill_stamp, Now(ms, ms)) is Verdict.FRESH:
            found.append(entry.stamp)
    return found


@pytest.mark.parametrize("is_settled", [False, True], ids=["renewed", "settled"])
@pytest.mark.parametrize("is_spread", [False, True], ids=["keys", "namespace"])
async def test_nobody_vouches_for_what_was_loaded_when_a_pending_word_was_forgotten(
    world: World,
    *,
    is_spread: bool,
    is_settled: bool,
) -> None:
    """Until it is said again, all of it; and until a generation that says so has run its spread."""
    began_ms = world.now().ms
    truncated = Generation(("t",), began_ms, 2_000, "TRUNCATE", "0-1-2", committed_ms=began_ms)
    await world.write(world.origin, *((truncated,) if is_spread else MANY))
    await world.until_beats(5)
    world.is_cut = True
    await world.pass_a_window()
    loaded = (await world.entries())[-1].stamp
    if is_settled:
        world.gate.apply("0-1-2")
    world.is_cut = False
    await world.until_beats(5)
    assert not vouched_for(await world.entries(), KEYS[-1], loaded)
