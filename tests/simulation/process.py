"""A simulated process: its clocks, its tasks, and what the outside does to it (kill -9, SIGSTOP, clock steps)."""

import contextvars
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import OWNER, NumberedTask, VirtualLoop
from versioning.liveness import Now

if TYPE_CHECKING:
    from tests.simulation.world import World

BASE_MS = 1_700_000_000_000


class Process:
    """One incarnation. A restarted process is a new one: it remembers nothing."""

    def __init__(self, world: "World", name: str, skew_ms: int) -> None:
        self.world = world
        self.loop: VirtualLoop = world.loop
        self.name = name
        self.skew_ms = skew_ms
        """Of its wall clock; the monotonic clock never steps."""
        self.is_halted = False
        self.is_dead = False
        self.is_ending = False
        """It was told to end, and is started again."""
        self.held: list[Any] = []
        self.resumed_s = self.loop.time()
        self.context = contextvars.Context()
        self.context.run(OWNER.set, self)

    @property
    def is_running(self) -> bool:
        return not (self.is_halted or self.is_ending)

    def now(self) -> Now:
        at_ms = int(self.loop.time() * 1000)
        return Now(BASE_MS + at_ms + self.skew_ms, at_ms)

    def wall_ms(self) -> int:
        return BASE_MS + int(self.loop.time() * 1000) + self.skew_ms

    def spawn(self, work: Coroutine[Any, Any, Any]) -> NumberedTask:
        task: NumberedTask = self.loop.create_task(work, context=self.context)
        return task

    def pause(self) -> None:
        self.is_halted = True
        self.loop.halted.append(self)

    def resume(self) -> None:
        if not self.is_dead and self.is_halted:
            self.resumed_s = self.loop.time()
            self.is_halted = False
            held, self.held = self.held, []
            self.loop.release(held)

    def kill(self) -> None:
        self.is_dead = True
        self.pause()


def current() -> Process:
    """Return the process whose code runs now."""
    owner = OWNER.get()
    assert isinstance(owner, Process)
    return owner
