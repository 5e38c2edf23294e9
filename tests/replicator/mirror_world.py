"""Two streams in memory, a scripted gate, and mirrors between them: the mirror's world without a server."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from replicator.mirror.gate import GateError
from replicator.mirror.gtids import answer_includes
from replicator.mirror.options import MirrorOptions, MirrorStats
from replicator.mirror.run import run_mirror
from replicator.mirror.words import is_lost_word
from tests.eventually import now_ms, until_async
from versioning import stamp as stamps
from versioning.backends.base import Append, BackendError, StreamBackend, UnavailableError
from versioning.backends.memory import MemorySnapshot, MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.client.pulse import Pulse
from versioning.entries import Body, Change, Entry, Gap, Generation, Heartbeat, NewEntry, Replayed

DEADLINE_S = 20.0

FAST = MirrorOptions(
    gate_limit_ms=150, heartbeat_ms=20, settle_delays_ms=(50, 150), silence_ms=1_000, check_ms=50, window_ms=600_000
)
PATIENT = MirrorOptions(
    gate_limit_ms=60_000, heartbeat_ms=20, settle_delays_ms=(50, 150), silence_ms=1_000, check_ms=50, window_ms=600_000
)


class ScriptedGate:
    """A database whose applied position the test moves."""

    def __init__(self, name: str = "replica", applied: str = "") -> None:
        self.name = name
        self.applied = applied
        self.is_down = False
        self._moved = asyncio.Event()

    def apply(self, position: str) -> None:
        self.applied = position
        self._moved.set()

    async def wait(self, gtid: str, limit_ms: int) -> str:
        if self.is_down:
            raise GateError("the replica is down")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_ms / 1000):
                while gtid and not answer_includes(self.applied, gtid):
                    self._moved.clear()
                    await self._moved.wait()
        return self.applied

    async def aclose(self) -> None:
        """Nothing to close."""


class Link:
    """One mirror's connection to a stream that others share: a failover breaks it."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream
        self.is_broken = False
        self.is_blind = False
        """Nobody sees over it what the oldest entry is."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def read_after(self, after: int, *, count: int) -> list[Entry]:
        if self.is_blind and count == 1:
            raise UnavailableError("the connection was lost")
        return await self._stream.read_after(after, count=count)

    async def append(self, batch: Append) -> list[int]:
        if self.is_broken:
            self.is_broken = False
            raise UnavailableError("the connection was lost")
        return await self._stream.append(batch)


class Unreachable:
    """A stream behind a link that is down, or that lets nobody in."""

    def __init__(self, error: BackendError | None = None) -> None:
        self._error = error or UnavailableError("no route to host")

    def __getattr__(self, name: str) -> Any:
        raise self._error


@dataclass
class RunningMirror:
    stats: MirrorStats
    task: "asyncio.Task[None]"
    stop: asyncio.Event
    link: Link
    pulse: Pulse

    def is_up(self, gate: str) -> bool:
        return gate in self.stats.gates and bool(self.stats.gates[gate].is_up)

    async def end(self) -> None:
        self.stop.set()
        await self.task

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@dataclass
class MirrorWorld:
    origin: MemoryStream = field(default_factory=lambda: MemoryStream(now_ms))
    target: MemoryStream = field(default_factory=lambda: MemoryStream(now_ms))
    mirrors: list[RunningMirror] = field(default_factory=list)
    written: int = 0

    async def copy_one_and_die(self, gate: ScriptedGate) -> None:
        """A mirror copies the change of ``t:1``, and is killed."""
        mirror = self.start(gate)
        await self.change(1)
        await self.until(lambda v: v.keys == ["t:1"])
        await mirror.kill()

    def start(
        self,
        *gates: ScriptedGate,
        options: MirrorOptions = FAST,
        pulse: Pulse | None = None,
        origin: Unreachable | None = None,
        target: Unreachable | None = None,
    ) -> RunningMirror:
        stop, stats, pulse = asyncio.Event(), MirrorStats(), pulse or Pulse()
        link = Link(self.target)
        ends = cast("StreamBackend", origin or self.origin), cast("StreamBackend", target or link)
        work = run_mirror(options, *ends, gates, stop=stop, stats=stats, pulse=pulse)
        mirror = RunningMirror(stats, asyncio.ensure_future(work), stop, link, pulse)
        self.mirrors.append(mirror)
        return mirror

    def fail_over(self, snapshot: MemorySnapshot) -> None:
        """The target falls back to what a replica of it had."""
        self.target.restore(snapshot)
        for mirror in self.mirrors:
            mirror.link.is_broken = True

    async def begin_target(self) -> None:
        """Let the target have begun before any window: a mirror that starts knows all that was said in one."""
        until_ms = now_ms()
        at_ms = until_ms - FAST.window_ms - 5_000
        old = MemoryStream(lambda: at_ms)
        while at_ms < until_ms:
            await old.append(Append((NewEntry(f"old {at_ms}", Heartbeat(at_ms, at_ms)),), clock_ms=0))
            at_ms += 30_000
        self.target.restore(old.snapshot())

    async def write(self, *bodies: Body) -> None:
        """Append to the origin, as a source would."""
        entries = []
        for body in bodies:
            self.written += 1
            entries.append(NewEntry(f"{self.written:016x}", body))
        await self.origin.append(Append(tuple(entries), clock_ms=0))

    async def change(self, number: int, *keys: str, later_ms: int = 0) -> None:
        """``later_ms``: how far the clock of the source is ahead."""
        await self.write(Change(keys or (f"t:{number}",), gtid=f"0-1-{number}", committed_ms=now_ms() + later_ms))

    async def beat(self, gtid: str = "", read_ms: int = 0) -> None:
        await self.write(Heartbeat(read_ms or now_ms(), gtid=gtid))

    async def entries(self) -> list[Entry]:
        return await self.target.read_after(stamps.ZERO, count=100_000)

    async def bodies(self) -> list[Body]:
        """Everything in the target but heartbeats."""
        found = [entry.body for entry in await self.entries()]
        return [body for body in found if not isinstance(body, Heartbeat)]  # type: ignore[misc]

    async def changes(self) -> list[Change]:
        return [body for body in await self.bodies() if isinstance(body, Change)]

    async def gaps(self) -> list[Gap]:
        return [body for body in await self.bodies() if isinstance(body, Gap)]

    async def checkpoint(self) -> Checkpoint | None:
        return await self.target.checkpoint(FAST.writer)

    async def until(self, claim: Callable[["MirrorView"], bool], what: str = "the target's state") -> "MirrorView":
        """Wait until the target looks as it should; fail with what is there."""
        view = MirrorView([], None)

        async def is_so() -> bool:
            nonlocal view
            self._raise_failures()
            view = MirrorView(await self.entries(), await self.checkpoint())
            return claim(view)

        def shown() -> object:
            return view.entries[-20:], [mirror.stats for mirror in self.mirrors]

        await until_async(is_so, what, DEADLINE_S, show=shown)
        return view

    async def until_beating(self, gtid: str, claim: Callable[[], bool]) -> None:
        """Wait while a source goes on saying that it has read all there is."""

        async def is_so() -> bool:
            await self.beat(gtid)
            return claim()

        await until_async(is_so, "what comes of heartbeats", DEADLINE_S)

    def _raise_failures(self) -> None:
        for mirror in self.mirrors:
            if mirror.task.done() and not mirror.task.cancelled():
                mirror.task.result()

    async def close(self) -> None:
        for mirror in self.mirrors:
            await mirror.kill()


@dataclass(frozen=True)
class MirrorView:
    entries: list[Entry]
    checkpoint: Checkpoint | None

    @property
    def changes(self) -> list[Change]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Change)]

    @property
    def pending(self) -> list[tuple[str, ...]]:
        """Keys of each change that is pending; what tells of a replica alone is left out."""
        return [body.keys for body in self.changes if body.pending and not is_lost_word(body)]

    @property
    def generations(self) -> list[Generation]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Generation)]

    @property
    def gaps(self) -> list[Gap]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Gap)]

    @property
    def replays(self) -> list[Replayed]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Replayed)]

    @property
    def heartbeats(self) -> list[Heartbeat]:
        return [entry.body for entry in self.entries if isinstance(entry.body, Heartbeat)]

    @property
    def keys(self) -> list[str]:
        """Keys of the mirrored changes in order, what was said again left out."""
        return [key for body in self.changes if not body.settled for key in body.keys]


def assert_joined(view: MirrorView) -> None:
    previous = ""
    for entry in view.entries:
        assert entry.previous == previous
        previous = entry.nonce
    assert [e.stamp for e in view.entries] == sorted({e.stamp for e in view.entries})


async def trim_what_is_pending(world: MirrorWorld, unseen_by: RunningMirror | None = None) -> None:
    """Let ``t:2`` be pending, and trim the target down to a heartbeat behind it. ``unseen_by``: ended first."""
    await world.change(2)
    await world.until(lambda v: any(body.pending for body in v.changes))
    await world.beat("0-1-2")
    view = await world.until(lambda v: isinstance(v.entries[-1].body, Heartbeat))
    if unseen_by is not None:
        await unseen_by.kill()
    world.target.trim(view.entries[-1].stamp)
