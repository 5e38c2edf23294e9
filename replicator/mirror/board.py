"""The gate (P4): which GTIDs every listed database has applied. A stamp never outruns its data.

Law: a GTID counts as applied when a position that the database itself has named includes it, compared here, for all
domains; the result of the database's own wait is only a hint to look. A database that is down, or has less than it had
before, has not applied; of two mirrors that were told different things, the one that asked later is right. One blocking
wait per database tells of everything it has.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Final

import structlog

from replicator.mirror.gate import LATELY_MS, Gate, GateDeniedError, GateError, Wanted
from replicator.mirror.gtids import includes, joined, position_at, position_of
from replicator.mirror.options import GateStats, MirrorStats
from replicator.mirror.view import View
from replicator.position import Position
from versioning.backoff import Backoff
from versioning.client.waiting import wait
from versioning.entries import Heartbeat
from versioning.errors import FormatError
from versioning.limits import CLOCK_ERROR_MS

IDLE_MS: Final = 1_000
"""With nothing to wait for, each database is asked this often whether it still has what it had. One that is down is
tried as often: it may come back as an older copy, and have caught up seconds later."""

UNANSWERED_PAUSE_S: Final = 0.1
"""Before asking again a database that would not wait (its replication is stopped)."""

log = structlog.get_logger()

NextWanted = Callable[[Callable[[str], bool]], Wanted]


class GateBoard:
    """All gates of a mirror. ``next_wanted`` says what to wait for; ``on_progress`` when a position has changed.

    ``answer_life_ms``: a database that was asked longer ago has applied nothing. A mirror that was stopped would go by
    what it had been told, of a replica that others have seen go back since.
    """

    def __init__(
        self,
        gates: Sequence[Gate],
        stats: MirrorStats,
        next_wanted: NextWanted,
        on_progress: Callable[[], None],
        on_rewind: Callable[[], None],
        *,
        monotonic_ms: Callable[[], int],
        answer_life_ms: int,
    ) -> None:
        self._views = [View(gate, stats.gates.setdefault(gate.name, GateStats())) for gate in gates]
        self._next_wanted = next_wanted
        self._on_progress = on_progress
        self._on_rewind = on_rewind
        self._monotonic_ms = monotonic_ms
        self._answer_life_ms = answer_life_ms

    def __bool__(self) -> bool:
        return bool(self._views)

    @property
    def is_behind(self) -> bool:
        """Whether some database has gone back, and has not yet caught up with what it had."""
        return any(view.had is not None for view in self._views)

    @property
    def lost(self) -> str:
        """What the databases had that have gone back, and have not caught up; empty for none."""
        had = [str(view.had) for view in self._views if view.had is not None]
        return reduce(joined, had) if had else ""

    def has_applied(self, gtid: str) -> bool:
        return all(self._has_applied(view, gtid) for view in self._views)

    def _has_applied(self, view: View, gtid: str) -> bool:
        return not gtid or (view.has(gtid) and view.asked_ms >= self._monotonic_ms() - self._answer_life_ms)

    def has_kept(self, gtid: str) -> bool:
        """Whether no database was without it since what went back was last said again."""
        return all(view.kept(gtid) for view in self._views)

    def says_unapplied(self, gtid: str, *, came_ms: int, committed_ms: int) -> bool:
        """Whether some database is without ``gtid``, and each such one never had it, and says so.

        Asked lately, and after ``came_ms``; and all the time since ``committed_ms``, or it may have had it and gone
        back unseen. Both are monotonic: when it came here, and a time before its commit.
        """
        without = [view for view in self._views if not self._has_applied(view, gtid)]
        asked_ms = max(came_ms, self._monotonic_ms() - LATELY_MS)
        return bool(without) and all(
            view.asked_ms >= asked_ms and view.watched_ms <= committed_ms and view.never_had(gtid) for view in without
        )

    def has_watched(self, since_ms: int) -> bool:
        """Whether no database can have gone back since then (monotonic), and caught up, without its notice."""
        asked_ms = self._monotonic_ms() - LATELY_MS
        return all(view.watched_ms <= since_ms and view.asked_ms >= asked_ms for view in self._views)

    def contradicts(self, beat: Heartbeat, now_ms: int, late_ms: int) -> bool:
        """Whether any database shows that a heartbeat of the origin vouches for what it cannot know."""
        found = [self._contradicts(view, beat, now_ms, late_ms) for view in self._views]
        return any(found)

    def _contradicts(self, view: View, beat: Heartbeat, now_ms: int, late_ms: int) -> bool:
        was_ahead = view.stats.is_ahead
        contradicts = view.contradicts(beat, now_ms, late_ms)
        if view.stats.is_ahead and not was_ahead:
            log.error(
                "replica_ahead",
                gate=view.gate.name,
                has=str(view.position),
                source_has=beat.gtid,
                hint="was there a failover? the source reads another primary than this replica follows",
            )
        return contradicts

    def doubt(self, gtid: str) -> None:
        """Take note that another mirror says a database lacks this: who has it must say so once more.

        It may have gone back since it was asked: while this mirror was stopped, or stood in a long wait.
        """
        for view in self._views:
            view.doubt(gtid, self._monotonic_ms())

    def doubt_all(self) -> None:
        """The same, where nobody can tell what it lacks."""
        for view in self._views:
            view.doubt_all(self._monotonic_ms())

    def note_lost(self, gtid: str) -> None:
        """Take note that some database had this, and lost it, between two questions of this mirror perhaps.

        Whichever lacks it may be the one.
        """
        for view in self._views:
            view.note_lost(gtid)
            view.note_caught_up()

    def hear_lost(self, told: Sequence[str]) -> None:
        """Take note of all that the stream still says to have been lost, once it has lost entries.

        What it says no more must be said again: another mirror that has not read it goes by what it was told before.
        """
        known = position_at(reduce(joined, told, ""))
        if self.lost and not (known is not None and includes(known, self.lost)):
            self._on_rewind()

    def promise(self, told: Sequence[tuple[str, int]]) -> None:
        """Take note of what every database had by the stream: GTIDs in order, and how old the word is, in ms.

        One without it has gone back since. Databases are asked all the time, the stream now and then, or not before it
        can be reached: one that has caught up meanwhile is found by what it had answered.
        """
        now_ms = self._monotonic_ms()
        promised = [(gtid, now_ms - max(age_ms - CLOCK_ERROR_MS, 0)) for gtid, age_ms in told]
        for view in self._views:
            self._look_back(view, promised)
            for gtid, since_ms in promised:
                view.promise(gtid, since_ms)

    def _look_back(self, view: View, promised: Sequence[tuple[str, int]]) -> None:
        found = [(view.lacked(gtid, since_ms), gtid) for gtid, since_ms in promised]
        lacked = [(position, gtid) for position, gtid in found if position is not None]
        for position, gtid in lacked:
            view.go_back(position, gtid)
        if lacked:
            self._tell_back(view, *lacked[-1])
            view.note_caught_up()

    def said_again(self) -> None:
        for view in self._views:
            view.lows.clear()

    def wake(self) -> None:
        """Tell that there may be something new to wait for."""
        for view in self._views:
            view.wake.set()

    async def run(self) -> None:
        await asyncio.gather(*(self._watch(view) for view in self._views))

    async def aclose(self) -> None:
        await asyncio.gather(*(view.gate.aclose() for view in self._views), return_exceptions=True)

    async def _watch(self, view: View) -> None:
        backoff = Backoff(random.random)
        while True:
            view.wake.clear()
            # A wait would hide for its length what a database has lost that was away, or is said to have more.
            is_asked = not view.stats.is_up or bool(view.promised)
            wanted = Wanted() if is_asked else self._next_wanted(view.has)
            try:
                answer = await self._ask(view, wanted)
            except GateDeniedError as error:
                await self._pause(view, error, backoff.denied_s())
                continue
            except (GateError, FormatError) as error:
                await self._pause(view, error, min(backoff.next_s(), IDLE_MS / 1000))
                continue
            backoff.reset()
            self._accept(view, answer)
            if not is_asked:
                await self._idle(view, wanted)

    async def _ask(self, view: View, wanted: Wanted) -> Position:
        view.stats.waits += bool(wanted.gtid)
        asked_ms = self._monotonic_ms()
        text = (await view.gate.wait(wanted.gtid, wanted.limit_ms)).replace("\n", "")
        position = position_of(text)
        if not view.stats.is_up:
            log.info("gate_connected", gate=view.gate.name, applied=text)
        view.stats.is_up, view.stats.applied = 1, text
        view.answered(asked_ms, position)
        return position

    def _accept(self, view: View, position: Position) -> None:
        ends_doubt, lacked = view.end_doubt(), view.take_lacked(position)
        if position == view.position and not ends_doubt and not lacked:
            return
        if lacked or view.has_less(position):
            view.go_back(position, lacked)
            self._tell_back(view, position, lacked)
        view.position = position
        view.note_caught_up()
        self._on_progress()

    def _tell_back(self, view: View, position: Position, lacked: str) -> None:
        view.stats.rewinds += 1
        log.error(
            "replica_rewound",
            gate=view.gate.name,
            had=lacked or str(view.position),
            has=str(position),
            hint="restored from an older copy? its keys are pending until it has caught up",
        )
        self._on_rewind()

    async def _idle(self, view: View, wanted: Wanted) -> None:
        if wanted.gtid and view.has(wanted.gtid):
            return
        if wanted.gtid:
            await asyncio.sleep(UNANSWERED_PAUSE_S)
            return
        await wait(view.wake, IDLE_MS / 1000)

    async def _pause(self, view: View, error: Exception, pause_s: float) -> None:
        if view.stats.is_up or str(error) != view.stats.last_error:
            log.warning("gate_lost", gate=view.gate.name, error=str(error), retry_s=round(pause_s, 2))
        view.stats.is_up = 0
        view.stats.errors += 1
        view.stats.last_error = str(error)
        await asyncio.sleep(pause_s)
