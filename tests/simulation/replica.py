"""A replica in B that loads read from and the gate asks: it lags, stops, and goes back to an older copy."""

import asyncio
from typing import TYPE_CHECKING, Any

from replicator.mirror.gate import LATELY_MS, WAIT_MS, GateError
from replicator.position import MariaDbPosition, Position
from tests.simulation import limits
from tests.simulation.limits import BACKOFF_MAX_S
from tests.simulation.network import NOBODY, Cable, Line, Server
from versioning.backends.base import UnavailableError
from versioning.limits import CLOCK_ERROR_MS

if TYPE_CHECKING:
    from tests.simulation.primary import Commit
    from tests.simulation.world import World

LAG_S = (0.02, 0.25)

CATCH_UP_S = 0.1
"""An older copy applies the next commit of each domain this long after the last one, not all at once."""

SEEN_S = 1.5
"""An older copy takes that long to catch up at least, once it is reachable and a mirror is there. Of one that is faster
than two questions of the gate, or catches up while it is down or every mirror is, or of which no mirror that saw it
lives until it can write, nobody learns: a limit that README names."""

AGED_S = (LATELY_MS + limits.MIRROR.check_ms + CLOCK_ERROR_MS + WAIT_MS) / 1000
"""A mirror that does not reach a replica goes by what it was told before for so long, and the others have read what it
wrote by then. The same limit: one of them may never have seen what that replica had."""

GATE_TIMEOUT_S = 1.0
"""A question of the gate that its line does not carry ends after that long."""

SAID_S = SEEN_S + BACKOFF_MAX_S
"""Stream B has been up for that long by then: a mirror has tried again, and written what it saw."""


class Replica(Server):
    def __init__(self, world: "World", name: str) -> None:
        super().__init__(name, world.loop, world.rng)
        self._world = world
        self.applied = [0 for _ in world.domains]
        """Of each GTID domain, all of its commits up to that number."""
        self.is_stopped = False
        self.has_gone_back = False
        """It may have less than what stream B said of all replicas."""
        self.is_listed = self.is_read = True
        """In the settings of the mirrors; and loads read from it."""
        self.extra_lag_s = [0.0 for _ in world.domains]
        self._received = [0 for _ in world.domains]
        self._restored_until_s = 0.0
        self._waiters: list[tuple[Position, asyncio.Future[Any]]] = []

    def replicate(self, commit: "Commit") -> None:
        """Called at each commit of the primary."""
        lag_s = self.rng.uniform(*LAG_S) + self.extra_lag_s[commit.domain]
        self.loop.call_later(lag_s, self._receive, commit, context=NOBODY)

    def _receive(self, commit: "Commit") -> None:
        self._received[commit.domain] = max(self._received[commit.domain], commit.number)
        self._apply_received()

    def _apply_received(self) -> None:
        """In each domain in order, whatever the others do (slave_domain_parallel_threads)."""
        if self.is_stopped or self.is_paused:
            return
        for domain, number in enumerate(self._received):
            if number > self.applied[domain]:
                self._world.applies(self, domain, number)
                self._set(domain, number)

    def start(self) -> None:
        if self.loop.time() < self._restored_until_s:
            return
        if self._restored_until_s and (
            self.is_away
            or not self._world.is_watched(self, for_s=SEEN_S, writable_for_s=SAID_S)
            or self._world.is_cut_lately(self, AGED_S)
        ):
            self._restore(SEEN_S)
            return
        if self._restored_until_s and self._applies_next():
            self._restore(CATCH_UP_S)
            return
        self.is_stopped, self._restored_until_s = False, 0.0
        self._apply_received()

    def _applies_next(self) -> bool:
        """Apply the next commit of each domain that is behind; return whether any was."""
        behind = [domain for domain, number in enumerate(self._received) if number > self.applied[domain]]
        for domain in behind:
            number = self._world.primary.next_of(domain, self.applied[domain])
            self._world.applies(self, domain, number)
            self._set(domain, number)
        return bool(behind)

    def rewind(self, count: int, catching_up_s: float) -> None:
        """Restart with an older copy; nothing is applied again before that time, whoever says start."""
        self.is_stopped = self.has_gone_back = True
        self.hang_up()
        for domain, number in enumerate(self.applied):
            self._set(domain, max(number - count, 0))
        self._restore(catching_up_s)

    def come_up(self) -> None:
        super().come_up()
        self._go_on()

    def resume(self) -> None:
        super().resume()
        self._go_on()
        self._apply_received()

    def hang_up(self) -> None:
        super().hang_up()
        self._apply_received()

    @property
    def is_behind_its_past(self) -> bool:
        """It has gone back, and not caught up yet."""
        return bool(self._restored_until_s)

    @property
    def lags(self) -> bool:
        """It has not applied all that the primary has, or nobody can see that it has."""
        primary = self._world.primary
        return self.is_away or not self._position().covers(primary.position_at(primary.last_replicated))

    def _go_on(self) -> None:
        if self.loop.time() < self._restored_until_s:
            self._restore(SEEN_S)

    def _restore(self, catching_up_s: float) -> None:
        self._restored_until_s = max(self._restored_until_s, self.loop.time() + catching_up_s)
        self.loop.call_at(self._restored_until_s, self.start, context=NOBODY)

    def _set(self, domain: int, number: int) -> None:
        self.applied[domain] = number
        self._world.applied()
        position = self._position()
        due = [(wanted, future) for wanted, future in self._waiters if position.covers(wanted)]
        if due:
            self._waiters = [waiter for waiter in self._waiters if not position.covers(waiter[0])]
            for _, future in due:
                self._answer(future)

    def row(self, key: str) -> int:
        """Read the row at this very moment, as of what is applied."""
        return self._world.primary.value_at(key, self.applied[self._world.domain_of(key)])

    def wait_for(self, wanted: Position, limit_s: float) -> Any:
        """Answer the position applied, when it covers the one wanted or after the limit."""
        if self._position().covers(wanted):
            return self.position
        future = self.wait_here()
        self._waiters.append((wanted, future))
        self.loop.call_later(limit_s, self._answer, future, context=NOBODY)
        return future

    def _answer(self, future: "asyncio.Future[Any]") -> None:
        if not future.done():
            future.set_result(self.position)

    @property
    def position(self) -> str:
        return str(self._position())

    def _position(self) -> MariaDbPosition:
        return self._world.primary.position_of(self.applied)


class SimulatedGate:
    """A mirror's connection to one replica."""

    def __init__(self, replica: Replica, cable: Cable) -> None:
        self.name = replica.name
        self._replica = replica
        self._line = Line(replica, delay_s=(0.0005, 0.003), timeout_s=GATE_TIMEOUT_S, cable=cable)

    async def wait(self, gtid: str, limit_ms: int) -> str:
        wanted = MariaDbPosition.parse(gtid)
        try:
            answer: str = await self._line.ask(lambda: self._replica.wait_for(wanted, limit_ms / 1000))
        except UnavailableError as error:
            raise GateError(str(error)) from error
        return answer

    async def aclose(self) -> None:
        """Nothing to close."""
