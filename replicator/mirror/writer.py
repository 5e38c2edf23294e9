"""The writing half of a mirror: takes what may leave the gate, appends it, and answers a refusal.

Law: an entry leaves the queue only when its append was answered, or when the target stream says that another mirror has
appended it. After a lost answer the checkpoint tells which.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from replicator.mirror.beats import NO_BEAT
from replicator.mirror.board import GateBoard
from replicator.mirror.counting import count_latencies, count_plan
from replicator.mirror.due import TICK_MS, Due
from replicator.mirror.gate import WAIT_MS, Wanted
from replicator.mirror.options import FULL_LIMIT_MS, Break, LostLink, MirrorOptions, MirrorStats
from replicator.mirror.passing import passing_beat
from replicator.mirror.plan import Plan, make_plan, next_heartbeat
from replicator.mirror.position import MirrorPosition
from replicator.mirror.queue import MirrorQueue, Released
from replicator.mirror.reasons import SHORT
from replicator.mirror.rewind import gap_of_replicas, lost_again, unapplied_again
from replicator.mirror.settle import Again
from replicator.mirror.target import MirrorTarget
from replicator.retry import STAND_BACK_S
from versioning import stamp as stamps
from versioning.backends.base import AuthenticationError, BackendError, CheckpointRefusedError
from versioning.backoff import Backoff
from versioning.checkpoint import Checkpoint
from versioning.client.pulse import Pulse
from versioning.client.waiting import wait
from versioning.entries import Origin
from versioning.errors import FormatError, StamplineError
from versioning.liveness import Now

PENDING_WAIT_MS: Final = 200
"""Longest wait for a pending entry's GTID: a new entry, perhaps of another domain, must not wait for it."""

AGAIN_ENTRIES: Final = 50
"""Entries said again in one append, each with as many keys as it had."""

log = structlog.get_logger()


class RacedError(StamplineError):
    """Another mirror was faster in answering a break: look again."""

    def __init__(self) -> None:
        super().__init__("another mirror has answered the same break")


class TargetLostError(StamplineError):
    """The target stream has lost entries that it had accepted. ``name`` is the kind of break, for counting."""

    def __init__(self, name: Break, message: str) -> None:
        super().__init__(message)
        self.name = name


class MirrorWriter:
    """``queue``, ``is_ready`` and ``is_breaking`` are set anew for each session."""

    def __init__(
        self,
        options: MirrorOptions,
        target: MirrorTarget,
        board: GateBoard,
        stats: MirrorStats,
        clock: Callable[[], Now],
        *,
        pulse: Pulse,
    ) -> None:
        self.queue = MirrorQueue(options.origin_dc, MirrorPosition())
        self.is_ready = False
        self.is_breaking = False
        self.is_finishing = False
        """Write what may be written now, then return."""
        self._options = options
        self._target = target
        self._board = board
        self._stats = stats
        self._clock = clock
        self._pulse = pulse
        self._backoff = Backoff(random.random)
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._has_rewound = False
        self._due = Due(options, target, board)
        self._next_look_ms = 0
        self._beat_ms = 0
        self._passing = NO_BEAT

    def wake(self) -> None:
        self._wake.set()

    def progressed(self) -> None:
        self._due.progressed(self._clock())
        self._wake.set()

    def rewound(self) -> None:
        now = self._clock()
        self._has_rewound, self._next_look_ms = True, now.monotonic_ms
        self.queue.beats.rewind()
        self._target.state.rewind(now.ms)

    async def wait_for_room(self) -> None:
        while self._is_full:
            self.queue.hurry()
            self._room.clear()
            self._wake.set()
            await self._room.wait()

    @property
    def _is_full(self) -> bool:
        return self.queue.keys_count >= self._options.queue_keys_max

    @property
    def _gate_limit_ms(self) -> int:
        limit_ms = self._options.gate_limit_ms
        return min(limit_ms, FULL_LIMIT_MS) if self._is_full else limit_ms

    def next_wanted(self, has: Callable[[str], bool]) -> Wanted:
        for gtid in (self.queue.awaited(has), self.queue.beats.awaited):
            if not has(gtid):
                return Wanted(gtid, WAIT_MS)
        gtid = self._target.state.first_pending_gtid()
        return Wanted() if has(gtid) else Wanted(gtid, PENDING_WAIT_MS)

    async def run(self) -> None:
        """Write until cancelled or finished; raises TargetLostError, RacedError, BrokenOriginError."""
        while True:
            self._pulse.beat()
            self._wake.clear()
            if self._may_say:
                await self._say_of_replicas()
            now = self._clock()
            await self._look_at_target(now)
            plan = self._plan(now) if self.is_ready else None
            if plan is not None:
                await self._append(plan, now)
            self._measure()
            if plan is None and self.is_finishing:
                return
            if plan is None:
                await wait(self._wake, self._wait_ms(now) / 1000)

    @property
    def _mending(self) -> MirrorPosition | None:
        """The last entry that both streams have, where the checkpoint does not say so: the next append does."""
        return self.queue.floor if self.is_breaking else None

    @property
    def _may_say(self) -> bool:
        """Whether what is of the replicas alone may be written, with nothing of the origin.

        Not before a gap of this mirror's own: whoever goes on after it must find that break.
        """
        return self.is_ready and (self._mending is None or self._mending.stamp != stamps.ZERO)

    def _plan(self, now: Now) -> Plan | None:
        options, queue, state = self._options, self.queue, self._target.state
        queue.beats.advance(self._board.has_applied)
        has_gates = bool(self._board)
        agains = self._due.agains(now, queue.place, queue.beats.applied) if self._may_say else []
        released = queue.release(now.monotonic_ms, self._gate_limit_ms, self._board.has_applied, has_gates=has_gates)
        released = released.spreading_from(now.ms)
        if released.position is None and not self._may_say:
            return None
        self._passing = passing_beat(queue, self._board, released, state, options=options, now=now)
        heartbeat = None
        if now.monotonic_ms - self._beat_ms >= options.heartbeat_ms:
            if self._owes_word(now):
                self._passing = NO_BEAT
            applied = self._due.told(queue.beats.applied) if has_gates else None
            heartbeat = next_heartbeat(self._passing, applied, state, self._target.read_ms)
        return make_plan(agains, released, heartbeat, state, now.ms)

    def _owes_word(self, now: Now) -> bool:
        """Whether readers must be told first what replicas lack, or lacked: until then none of them may vouch."""
        state = self._target.state
        return state.is_short or self._has_rewound or state.has_forgotten(now.ms)

    async def _look_at_target(self, now: Now) -> None:
        """Where there may be nothing to append, no refusal tells what the target stream has lost, or others say there.

        Of a replica that is behind what it had another mirror may not know: what that says again is asked for soon.
        """
        if not self._board or now.monotonic_ms < self._next_look_ms:
            return
        try:
            if self._may_say:
                await self._look_again()
            if await self._target.notice_loss():
                self._due.begin_anew()
            self._due.oldest = await self._target.oldest()
        except BackendError:
            return  # The next append says that Redis does not answer; then look at once.
        self._next_look_ms = now.monotonic_ms + (TICK_MS if self._board.is_behind else self._options.check_ms)

    def _wait_ms(self, now: Now) -> int:
        options, waits = self._options, [TICK_MS]
        held_ms = self.queue.wait_ms(now.monotonic_ms, self._gate_limit_ms)
        if held_ms is not None and self.is_ready:
            waits.append(held_ms)
        if self.is_ready and self._passing.read_ms > self._target.read_ms:
            waits.append(self._beat_ms + options.heartbeat_ms - now.monotonic_ms)
        due_ms = self._due.wait_ms(now)
        if due_ms is not None and self._may_say:
            waits.append(due_ms)
        return max(min(waits), 1)

    async def _append(self, plan: Plan, now: Now) -> bool:
        """Return whether it was written, as far as this mirror can tell."""
        read_ms = plan.heartbeat.read_ms if plan.heartbeat else self._target.read_ms
        try:
            await self._target.append(plan.bodies, plan.position or self._mending, read_ms, now.ms)
        except CheckpointRefusedError as refusal:
            self._stats.appends_refused += 1
            await self._retrying(partial(self._give_way, refusal.stored))
            if not self.is_finishing:
                await asyncio.sleep(STAND_BACK_S)
        except BackendError as error:
            self._stats.appends_failed += 1
            await self._pause(error)
            await self._retrying(self._look_again)
        else:
            self._appended(plan, now)
            return True
        self._due.begin_anew()
        return False

    def _appended(self, plan: Plan, now: Now) -> None:
        self._backoff.reset()
        self.is_breaking = False
        count_latencies(self._stats, self.queue.drop(plan.taken), self._clock())
        self._room.set()
        if plan.heartbeat is not None:
            self._beat_ms = now.monotonic_ms
        if self._target.state.pending_count:
            self._board.wake()
        count_plan(self._stats, plan)

    async def _retrying(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except BackendError as error:
                await self._pause(error)
            else:
                return

    async def _pause(self, error: BackendError) -> None:
        denied = isinstance(error, AuthenticationError)
        pause_s = self._backoff.pause_s(is_denied=denied)
        self._stats.count_reconnect(LostLink.TARGET_DENIED if denied else LostLink.TARGET_LOST)
        self._stats.last_error = str(error)
        log.warning("target_lost", error=str(error), retry_s=round(pause_s, 2))
        self._pulse.beat(pause_s)
        await asyncio.sleep(pause_s)

    async def _look_again(self) -> None:
        """After a lost answer: was it written?"""
        before, torn = self._target.stored, self._target.state.torn
        await self._target.sync()
        if self._target.stored != before:
            self._follow(before, torn)

    async def _give_way(self, stored: Checkpoint | None) -> None:
        """After a refusal: take in what the other mirror wrote."""
        before, torn = self._target.stored, self._target.state.torn
        await self._target.adopt(stored)
        self._follow(before, torn)

    def _follow(self, before: Checkpoint | None, torn: int) -> None:
        stored = self._target.stored
        if self.is_breaking or self._target.state.torn > torn:
            # Where another mirror has begun anew, it may have left out what is in this queue.
            raise RacedError
        if stored is None:
            raise TargetLostError(Break.CHECKPOINT_LOST, "the target stream has lost this origin's checkpoint")
        try:
            position = MirrorPosition.decode(stored.position)
        except FormatError as error:
            raise TargetLostError(Break.CHECKPOINT_UNREADABLE, str(error)) from error
        if not position.reaches(self.queue.floor):
            raise TargetLostError(Break.CHECKPOINT_BEHIND, "the target stream has lost entries that it had accepted")
        if before is None or stored.read_ms > before.read_ms:
            self._beat_ms = self._clock().monotonic_ms
        self._stats.entries_covered += self.queue.drop_through(position)
        self._room.set()

    async def _say_of_replicas(self) -> None:
        if self._target.state.is_short:
            await self._say_short()
        if self._has_rewound:
            await self._say_again()

    async def _say_short(self) -> None:
        """Entries are gone that may have been pending: a gap stands for them, until the replicas have caught up."""
        if await self._say([gap_of_replicas(SHORT, self._here())]):
            self._stats.count_break(Break.TARGET_SHORT)
            log.warning("mirror_broken", name=Break.TARGET_SHORT, error=SHORT)
        else:
            self._wake.set()  # Look at once whether another mirror has said it.

    def _here(self) -> Origin:
        """The last entry of the origin that is in the target stream."""
        return (self._mending or self._target.position).origin(self._options.origin_dc)

    async def _say(self, agains: list[Again]) -> bool:
        """Append these alone; return whether they were written."""
        if not self._may_say:
            return False  # A break was found while it was read what there is to say.
        now = self._clock()
        plan = make_plan(agains, Released(), None, self._target.state, now.ms)
        return plan is not None and await self._append(plan, now)

    async def _say_again(self) -> None:
        """A replica went back: its keys are pending until it has caught up, and superseded even if it has by now."""
        self._has_rewound, is_said = False, False  # First: it may go back once more while this waits.
        try:
            is_said = await self._say_all_again()
        finally:
            self._has_rewound |= not is_said
        if self._has_rewound:
            self._wake.set()  # At once: what must be said again may be trimmed meanwhile.
        else:
            self._board.said_again()

    async def _say_all_again(self) -> bool:
        try:
            # The stream may have lost what this mirror had said last: that is due again by itself.
            await self._look_again()
            state, is_kept, window_ms = self._target.state, self._board.has_kept, self._options.window_ms
            agains = await unapplied_again(
                self._target.stream, state.last, state.nonce, self._here(), is_kept, window_ms=window_ms
            )
            if lost := self._board.lost:
                agains.append(lost_again(lost, self._here()))
        except BackendError as error:
            await self._pause(error)
            return False
        for first in range(0, len(agains), AGAIN_ENTRIES):
            if not await self._say(agains[first : first + AGAIN_ENTRIES]):
                return False  # Refused or lost: start over from what is there now.
        return True

    def _measure(self) -> None:
        stats, state = self._stats, self._target.state
        stats.held, stats.pending = len(self.queue), state.pending_count
        stats.poisoned += self.queue.count_poisoned()
        stats.read_ms, stats.applied_ms = self._target.read_ms, state.applied_ms if self._board else 0
