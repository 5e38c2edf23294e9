"""The mirror: the origin's stream, copied into the target's in order, no entry before its data (P4).

Any number of mirrors run at once, all active. Each reads the origin, asks the gates and appends; the target accepts
one (P1), the others are refused, read what it wrote and drop that from their queues. Nobody leads and nothing is taken
over.

One session: agree with the target stream, find where to go on (``resume``), then read and write side by side,
until the two streams turn out to have gone apart; then the next session.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from replicator.mirror.board import GateBoard
from replicator.mirror.gate import LATELY_MS, Gate, Wanted
from replicator.mirror.options import Break, LostLink, MirrorOptions, MirrorStats
from replicator.mirror.position import MirrorPosition
from replicator.mirror.queue import BrokenOriginError, MirrorQueue
from replicator.mirror.reader import OriginReader
from replicator.mirror.resume import Resume, find_resume
from replicator.mirror.target import MirrorTarget
from replicator.mirror.writer import MirrorWriter, RacedError, TargetLostError
from replicator.tasks import first_of
from versioning import stamp as stamps
from versioning.backends.base import AuthenticationError, BackendError, StreamBackend
from versioning.backoff import Backoff
from versioning.client.clock import system_clock
from versioning.client.pulse import Pulse
from versioning.entries import Entry
from versioning.liveness import Now

FLUSH_MAX_S: Final = 5.0
DENIED: Final = {LostLink.ORIGIN_LOST: LostLink.ACCESS_DENIED, LostLink.TARGET_LOST: LostLink.TARGET_DENIED}

log = structlog.get_logger()


async def run_mirror(
    options: MirrorOptions,
    origin: StreamBackend,
    target: StreamBackend,
    gates: Sequence[Gate],
    *,
    stop: asyncio.Event,
    stats: MirrorStats | None = None,
    clock: Callable[[], Now] = system_clock,
    pulse: Pulse | None = None,
) -> None:
    """Mirror until ``stop`` is set. Closes the gates, not the streams. No fault of a server or a link ends it.

    What has passed the gate by then is written first, if the target takes it in time; the rest stays in the origin's
    stream, for whoever mirrors next.
    """
    mirror = Mirror(options, origin, target, gates, stats=stats or MirrorStats(), clock=clock, pulse=pulse)
    try:
        await first_of(mirror.run(), _finished(mirror, stop))
    finally:
        await mirror.aclose()


async def _finished(mirror: "Mirror", stop: asyncio.Event) -> None:
    await stop.wait()
    mirror.finish()
    await asyncio.sleep(FLUSH_MAX_S)


class Mirror:
    def __init__(
        self,
        options: MirrorOptions,
        origin: StreamBackend,
        target: StreamBackend,
        gates: Sequence[Gate],
        *,
        stats: MirrorStats,
        clock: Callable[[], Now],
        pulse: Pulse | None = None,
    ) -> None:
        self._options = options
        self._origin = origin
        self._stats = stats
        self._clock = clock
        self._backoff = Backoff(random.random)
        self._board = GateBoard(
            gates,
            stats,
            self._next_wanted,
            self._progressed,
            self._rewound,
            monotonic_ms=lambda: clock().monotonic_ms,
            # Databases that answer slower than that make everything pending anyway.
            answer_life_ms=max(options.gate_limit_ms, LATELY_MS),
        )
        self._target = MirrorTarget(target, options, stats, clock, self._board)
        self._pulse = pulse or Pulse()
        self._writer = MirrorWriter(options, self._target, self._board, stats, clock, pulse=self._pulse)

    async def run(self) -> None:
        works = [self._sessions()]
        if self._board:
            # From the start, while the target does not answer yet too: nobody else may see a replica go back then.
            works.append(self._board.run())
        await first_of(*works)

    def finish(self) -> None:
        """Take nothing in any more, write what has passed the gate, and let ``run`` return."""
        self._writer.is_finishing = True
        self._writer.wake()

    async def aclose(self) -> None:
        await self._board.aclose()

    async def _sessions(self) -> None:
        while True:
            await self._agree()
            try:
                await first_of(self._read(), self._writer.run())
            except RacedError:
                pass  # The other mirror has answered the same break; go on from there.
            except (BrokenOriginError, TargetLostError) as error:
                self._stats.count_break(error.name)
                self._stats.last_error = str(error)
                log.warning("mirror_broken", name=error.name, error=str(error))
            if self._writer.is_finishing:
                return
            await asyncio.sleep(self._backoff.next_s())

    async def _agree(self) -> None:
        while True:
            self._pulse.beat()
            try:
                await self._target.sync()
            except BackendError as error:
                await self._pause(LostLink.TARGET_LOST, error)
            else:
                break
        position = MirrorPosition.of(self._target.stored)
        self._writer.queue = MirrorQueue(self._options.origin_dc, position or MirrorPosition())
        self._writer.is_ready, self._writer.is_breaking = position is not None, False

    async def _pause(self, event: LostLink, error: BackendError) -> None:
        denied = isinstance(error, AuthenticationError)
        pause_s = self._backoff.pause_s(is_denied=denied)
        self._stats.last_error = str(error)
        self._stats.count_reconnect(DENIED[event] if denied else event)
        log.warning(event, error=str(error), retry_s=round(pause_s, 2))
        self._pulse.beat(pause_s)
        await asyncio.sleep(pause_s)

    async def _read(self) -> None:
        resume = await self._resume()
        reader = OriginReader(
            self._origin,
            resume,
            self._take,
            self._writer.wait_for_room,
            tear=self._tear,
            options=self._options,
            stats=self._stats,
            backoff=self._backoff,
        )
        await reader.run()

    async def _resume(self) -> Resume:
        while True:
            stored = self._target.stored
            now_ms = self._clock().ms
            options = self._options
            try:
                resume = await find_resume(
                    self._origin,
                    self._target.stream,
                    options.origin_dc,
                    stored,
                    last=self._target.state.last,
                    now_ms=now_ms,
                    window_ms=options.window_ms,
                )
            except BackendError as error:
                await self._pause(LostLink.ORIGIN_LOST, error)
                if not self._writer.is_ready:
                    # Another mirror may have begun meanwhile: then this one too can say what replicas lack.
                    await self._agree()
                continue
            self._begin(resume, is_outdated=stored != self._target.stored)
            return resume

    def _begin(self, resume: Resume, *, is_outdated: bool) -> None:
        writer = self._writer
        queue = MirrorQueue(
            self._options.origin_dc, resume.position, until=resume.until, is_torn=bool(self._target.state.torn)
        )
        if resume.break_name:
            self._stats.count_break(resume.break_name)
            log.warning("mirror_resumed", after=resume.position.encode(), name=resume.break_name, gap=resume.gap)
        if resume.gap:
            queue.put_gap(resume.gap, resume.gtid, self._clock().monotonic_ms)
        if is_outdated:
            if resume.break_name or self._target.stored is None:
                raise RacedError
            queue.drop_through(self._target.position)
        writer.queue, writer.is_ready, writer.is_breaking = queue, True, bool(resume.break_name)
        writer.wake()

    def _tear(self, entry: Entry) -> None:
        if self._writer.is_finishing:
            return
        self._stats.count_break(Break.ORIGIN_TORN)
        log.warning("origin_torn", before=stamps.text(entry.stamp))
        self._writer.queue.put_tear(entry, self._clock().monotonic_ms)

    def _take(self, entry: Entry) -> None:
        if self._writer.is_finishing:
            return
        self._writer.queue.put(entry, self._clock().monotonic_ms)
        self._board.wake()  # First: the databases are asked while the writer looks at what it has.
        self._writer.wake()

    def _next_wanted(self, has: Callable[[str], bool]) -> Wanted:
        return self._writer.next_wanted(has)

    def _progressed(self) -> None:
        self._writer.progressed()

    def _rewound(self) -> None:
        self._writer.rewound()
