"""Play a scenario: build the world, do the operations, mend everything, wait, and ask every reader for every key."""

from dataclasses import dataclass
from typing import Any

from tests.simulation import chaos, limits
from tests.simulation.actors import NAMES, READERS, begin
from tests.simulation.checkers import all_checkers
from tests.simulation.history import History
from tests.simulation.ops import Op
from tests.simulation.patches import simulated
from tests.simulation.scenario import WARM_S, Scenario
from tests.simulation.world import KEYS, ViolationError, World

LAST_READS_S = 5.0
LOOK_S = 0.5
"""How often to look whether the last reads are done."""


@dataclass(frozen=True, slots=True)
class Played:
    scenario: Scenario
    violation: ViolationError | None
    history: History
    events: int
    virtual_s: float


def play(scenario: Scenario) -> Played:
    with simulated(scenario.seed, scenario.page_entries):
        world = World(
            scenario.seed,
            begin,
            is_timed=scenario.is_timed,
            is_varied=scenario.is_varied,
            is_split=scenario.is_split,
            stretch=scenario.stretch,
        )
        try:
            _run(world, scenario)
            unseen = world.loop.errors
            if unseen and world.violation is None:
                world.violate("roles go on", f"an error that nobody looked at: {unseen[0]}")
            return Played(scenario, world.violation, world.history, world.loop.events, world.loop.time())
        finally:
            _end(world)


def _run(world: World, scenario: Scenario) -> None:
    world.is_calm = scenario.is_calm
    world.checkers = all_checkers(world)
    for name in NAMES:
        world.start(name)
    for op in scenario.ops:
        world.later(op.at_s, _doing(world, op))
    world.scan()
    end_s = WARM_S + scenario.active_s
    world.run_until(end_s)
    world.is_reading = False
    chaos.mend(world)
    world.note("mended")
    world.run_until(end_s + limits.SETTLE_MS / 1000)
    _read_everything(world)
    until_s = end_s + limits.SETTLE_MS / 1000
    while world.last_reads and until_s < end_s + limits.SETTLE_MS / 1000 + LAST_READS_S:
        until_s += LOOK_S
        world.run_until(until_s)
    if world.violation is None:
        for checker in world.checkers:
            checker.finish()


def _doing(world: World, op: Op) -> Any:
    return lambda: chaos.do(world, op)


def _read_everything(world: World) -> None:
    world.note("last reads")
    for checker in world.checkers:
        checker.settled()
    for name in READERS:
        reader = world.readers[name]
        for key in KEYS:
            world.last_reads.add((name, key))
            reader.process.spawn(reader.read(key))


def _end(world: World) -> None:
    for process in world.processes.values():
        process.is_dead = False
    world.violation = world.violation or ViolationError("over", world.loop.time(), "the run has ended")
    world.checkers = []
    world.loop.let_all_go()
    world.loop.abandon()
