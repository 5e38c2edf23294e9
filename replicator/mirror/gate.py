"""The gate (P4): which GTIDs every listed database has applied. A stamp never outruns its data.

Law: a GTID counts as applied when a position that the database itself has named includes it, compared here, for all
domains; the result of the database's own wait is only a hint to look. A database that is down, or has less than it had
before, has not applied; of two mirrors that were told different things, the one that asked later is right. One blocking
wait per database tells of everything it has.
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

import structlog

from replicator.mirror.options import PROMISED_MAX, GateStats, MirrorStats
from replicator.position import FilePosition, Flavor, Position, parse
from replicator.retry import Backoff
from versioning.errors import ConfigError, FormatError, StamplineError
from versioning.limits import CLOCK_ERROR_MS

WAIT_MS: Final = 1_000
"""Longest wait in the database: how late a changed target or a stop can be noticed."""

LATELY_MS: Final = 3 * WAIT_MS
"""An answer to a question asked before that says nothing of now: a wait, a pause and a slow answer lie between two."""

IDLE_MS: Final = 1_000
"""With nothing to wait for, each database is asked this often whether it still has what it had. One that is down is
tried as often: it may come back as an older copy, and have caught up seconds later."""

UNANSWERED_PAUSE_S: Final = 0.1
"""Before asking again a database that would not wait (its replication is stopped)."""

log = structlog.get_logger()


class GateError(StamplineError):
    """The database did not answer; it counts as not having applied anything new."""


class GateDeniedError(GateError):
    """Wrong password, user or rights: a person must act, so tries are rare."""


class GateSetupError(ConfigError):
    """A listed database that can never open the gate. One line, and it names the fix."""


class Gate(Protocol):
    """One database that loads read from."""

    @property
    def name(self) -> str: ...

    async def wait(self, gtid: str, limit_ms: int) -> str:
        """Return the position applied, once it may include ``gtid`` or the limit has passed; at once for an empty GTID.

        Raises GateError.
        """
        ...

    async def aclose(self) -> None: ...


class Target(NamedTuple):
    gtid: str = ""
    limit_ms: int = WAIT_MS


NextTarget = Callable[[Callable[[str], bool]], Target]


@lru_cache(maxsize=4096)
def _parsed(gtid: str) -> Position | None:
    """Return None for what no server ever names: such an entry is never applied."""
    try:
        return parse(_with_server(gtid), flavor_of(gtid))
    except FormatError:
        log.warning("gtid_unreadable", gtid=gtid[:80])
        return None


def flavor_of(gtid: str) -> Flavor:
    if "/" in gtid:
        return Flavor.FILE
    return Flavor.MYSQL if ":" in gtid else Flavor.MARIADB


def without_server(gtid: str) -> str:
    """An offset in the binlog of the primary, as a replica names it: ``file/offset``."""
    return gtid.partition(":")[2] or gtid


def _with_server(gtid: str) -> str:
    return f"0:{without_server(gtid)}" if flavor_of(gtid) is Flavor.FILE else gtid


def names(answer: str, gtid: str) -> bool:
    """Whether a position, as a database has named it, includes the GTID."""
    return includes(parsed_answer(answer), gtid)


def includes(position: Position, gtid: str) -> bool:
    wanted = _parsed(gtid)
    return wanted is not None and position.covers(wanted)


def _is_in(position: Position | None, gtid: str) -> bool:
    return not gtid or (position is not None and includes(position, gtid))


@dataclass(slots=True)
class _View:
    gate: Gate
    stats: GateStats
    position: Position | None = None
    lowest: Position | None = None
    """The least it has had since it went back, until that is said in the stream (``GateBoard.said_again``)."""
    had: Position | None = None
    """What it had before it went back, until it has that again."""
    first: tuple[int, Position] | None = None
    """When the first question was asked that was answered (monotonic), and the answer; of those before the stream was
    read."""
    asked_ms: int = -LATELY_MS
    """Monotonic: when the last question that was answered was asked."""
    promised: deque[tuple[str, int]] = field(default_factory=lambda: deque(maxlen=PROMISED_MAX))
    """What it has by another mirror's word, and since when (monotonic): a later answer must include it."""
    doubted_ms: int | None = None
    """Monotonic: what was asked before that does not count (``GateBoard.doubt``)."""
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def has(self, gtid: str) -> bool:
        return not gtid or (self.doubted_ms is None and _is_in(self.position, gtid))

    def promise(self, gtid: str, since_ms: int) -> None:
        if not _is_in(self.position, gtid):
            self.promised.append((gtid, since_ms))

    def take_lacked(self, position: Position) -> str:
        """Return the last GTID that the answer lacks and must not; empty for none."""
        due = [gtid for gtid, ms in self.promised if ms <= self.asked_ms]
        if due:
            self.promised = deque(
                (promised for promised in self.promised if promised[1] > self.asked_ms), maxlen=PROMISED_MAX
            )
        return next((gtid for gtid in reversed(due) if not includes(position, gtid)), "")

    def doubt(self, gtid: str, now_ms: int) -> None:
        if gtid and _is_in(self.position, gtid):
            self.doubted_ms = now_ms
            self.wake.set()

    def end_doubt(self) -> bool:
        """Return whether the answer that just came ends one."""
        if self.doubted_ms is None or self.asked_ms < self.doubted_ms:
            return False
        self.doubted_ms = None
        return True

    def kept(self, gtid: str) -> bool:
        """Whether it had this all the time, however far it has caught up meanwhile."""
        # Whether it went back unseen, the answer to a doubt will tell.
        return _is_in(self.position if self.lowest is None else self.lowest, gtid)

    def go_back(self, position: Position, lacked: str) -> None:
        if self.lowest is None or not position.covers(self.lowest):
            self.lowest = position
        if self.had is None:
            self.had = _parsed(lacked) if lacked else self.position

    def note_caught_up(self) -> None:
        if self.had is not None and self.position is not None and self.position.covers(self.had):
            self.had = None

    def has_lost(self, gtid: str) -> bool:
        """Whether it had this before it went back: values with it have been served."""
        return _is_in(self.had, gtid)


class GateBoard:
    """All gates of a mirror. ``next_target`` says what to wait for; ``on_progress`` when a position has changed."""

    def __init__(
        self,
        gates: Sequence[Gate],
        stats: MirrorStats,
        next_target: NextTarget,
        on_progress: Callable[[], None],
        on_rewind: Callable[[], None],
        *,
        monotonic_ms: Callable[[], int],
    ) -> None:
        self._views = [_View(gate, stats.gates.setdefault(gate.name, GateStats())) for gate in gates]
        self._next_target = next_target
        self._on_progress = on_progress
        self._on_rewind = on_rewind
        self._monotonic_ms = monotonic_ms
        self._is_stream_read = False

    def __bool__(self) -> bool:
        return bool(self._views)

    def has_applied(self, gtid: str) -> bool:
        return all(view.has(gtid) for view in self._views)

    def has_kept(self, gtid: str) -> bool:
        """Whether no database was without it since what went back was last said again."""
        return all(view.kept(gtid) for view in self._views)

    def says_unapplied(self, gtid: str, since_ms: int) -> bool:
        """Whether each database without ``gtid`` never had it, and was asked lately, after that time, and answered."""
        asked_ms = max(since_ms, self._monotonic_ms() - LATELY_MS)
        return all(view.has(gtid) or (view.asked_ms >= asked_ms and not view.has_lost(gtid)) for view in self._views)

    def doubt(self, gtid: str) -> None:
        """Take note that another mirror says a database lacks this: who has it must say so once more.

        It may have gone back since it was asked: while this mirror was stopped, or stood in a long wait.
        """
        for view in self._views:
            view.doubt(gtid, self._monotonic_ms())

    def promise(self, gtid: str) -> None:
        """Take note that every database had this when the stream was told: one without it has gone back since."""
        for view in self._views:
            view.promise(gtid, self._monotonic_ms())

    def promise_all(self, told: Sequence[tuple[str, int]]) -> None:
        """Take note of what every database had by a whole window of the stream: GTIDs, and how old the word is, in ms.

        Databases are asked from the start, the stream may be out of reach until later: a database that had gone back
        by then, and has caught up since, is found by its first answer.
        """
        now_ms = self._monotonic_ms()
        promised = [(gtid, now_ms - max(age_ms - CLOCK_ERROR_MS, 0)) for gtid, age_ms in told]
        for view in self._views:
            if not self._is_stream_read and view.first is not None:
                self._judge_first(view, *view.first, promised)
            for gtid, since_ms in promised:
                view.promise(gtid, since_ms)
        self._is_stream_read = True

    def _judge_first(self, view: _View, asked_ms: int, position: Position, promised: list[tuple[str, int]]) -> None:
        due = (gtid for gtid, told_ms in reversed(promised) if told_ms < asked_ms)
        lacked = next((gtid for gtid in due if not includes(position, gtid)), "")
        if lacked:
            self._go_back(view, position, lacked)
            view.note_caught_up()

    def said_again(self) -> None:
        for view in self._views:
            view.lowest = None

    def wake(self) -> None:
        """Tell that there may be something new to wait for."""
        for view in self._views:
            view.wake.set()

    async def run(self) -> None:
        await asyncio.gather(*(self._watch(view) for view in self._views))

    async def aclose(self) -> None:
        await asyncio.gather(*(view.gate.aclose() for view in self._views), return_exceptions=True)

    async def _watch(self, view: _View) -> None:
        backoff = Backoff(random.random)
        while True:
            view.wake.clear()
            # A wait would hide for its length what a database that was away has lost.
            is_back = not view.stats.is_up
            target = Target() if is_back else self._next_target(view.has)
            try:
                answer = await self._ask(view, target)
            except GateDeniedError as error:
                await self._pause(view, error, backoff.denied_s())
                continue
            except (GateError, FormatError) as error:
                await self._pause(view, error, min(backoff.next_s(), IDLE_MS / 1000))
                continue
            backoff.reset()
            self._accept(view, answer)
            if not is_back:
                await self._idle(view, target)

    async def _ask(self, view: _View, target: Target) -> Position:
        view.stats.waits += bool(target.gtid)
        asked_ms = self._monotonic_ms()
        text = (await view.gate.wait(target.gtid, target.limit_ms)).replace("\n", "")
        position = parsed_answer(text)
        if not view.stats.is_up:
            log.info("gate_connected", gate=view.gate.name, applied=text)
        view.stats.is_up, view.stats.applied, view.asked_ms = 1, text, asked_ms
        return position

    def _accept(self, view: _View, position: Position) -> None:
        ends_doubt, lacked = view.end_doubt(), view.take_lacked(position)
        if position == view.position and not ends_doubt and not lacked:
            return
        if view.position is None and not self._is_stream_read:
            view.first = view.asked_ms, position
        if lacked or (view.position is not None and not position.covers(view.position)):
            self._go_back(view, position, lacked)
        view.position = position
        view.note_caught_up()
        self._on_progress()

    def _go_back(self, view: _View, position: Position, lacked: str) -> None:
        view.go_back(position, lacked)
        view.stats.rewinds += 1
        log.error(
            "replica_rewound",
            gate=view.gate.name,
            had=lacked or str(view.position),
            has=str(position),
            hint="restored from an older copy? its keys are pending until it has caught up",
        )
        self._on_rewind()

    async def _idle(self, view: _View, target: Target) -> None:
        if target.gtid and view.has(target.gtid):
            return
        if target.gtid:
            await asyncio.sleep(UNANSWERED_PAUSE_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_MS / 1000):
                await view.wake.wait()

    async def _pause(self, view: _View, error: Exception, pause_s: float) -> None:
        if view.stats.is_up or str(error) != view.stats.last_error:
            log.warning("gate_lost", gate=view.gate.name, error=str(error), retry_s=round(pause_s, 2))
        view.stats.is_up = 0
        view.stats.errors += 1
        view.stats.last_error = str(error)
        await asyncio.sleep(pause_s)


def parsed_answer(text: str) -> Position:
    if flavor_of(text) is Flavor.FILE:
        return FilePosition.parse(_with_server(text))
    return parse(text, flavor_of(text))
