"""The simulator's own parts: virtual time, halted processes, and the search for a shorter run."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.simulation.chaos import CATALOGUE
from tests.simulation.faults import CALM, NAMES
from tests.simulation.history import History
from tests.simulation.loop import NothingLeftError, VirtualLoop
from tests.simulation.near import make_near
from tests.simulation.ops import Op
from tests.simulation.play import Played
from tests.simulation.process import Process
from tests.simulation.replica import CATCH_UP_S
from tests.simulation.report import report
from tests.simulation.scenario import DENSE, PLAIN, Scenario, make
from tests.simulation.shrink import shrink
from tests.simulation.world import ViolationError, World


def test_an_hour_passes_in_no_time() -> None:
    loop = VirtualLoop()
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == 3600
    loop.close()


def test_a_world_in_which_everybody_waits_is_an_error() -> None:
    loop = VirtualLoop()
    waiting = loop.create_task(asyncio.Event().wait())
    with pytest.raises(NothingLeftError):
        loop.run_forever()
    waiting.cancel()
    loop.abandon()


def test_a_paused_process_does_nothing_until_it_is_resumed() -> None:
    loop = VirtualLoop()
    process = Process(SimpleNamespace(loop=loop), "reader-1", 0)  # type: ignore[arg-type]
    ticks: list[float] = []

    async def tick() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            ticks.append(loop.time())

    process.spawn(tick())
    loop.call_later(1.5, process.pause)
    loop.call_later(10, process.resume)
    loop.run_until_complete(asyncio.sleep(20))
    assert ticks == [1, 10, 11]
    loop.close()


def test_a_replica_that_is_set_back_catches_up_one_commit_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(World, "is_watched", lambda *_, **__: True)
    world = World(1, lambda *_: None)
    replica = world.replicas[0]
    found: list[tuple[int, bool]] = []
    for _ in range(5):
        world.primary.commit(("item:0",))
    world.loop.run_until_complete(asyncio.sleep(1))
    replica.rewind(3, 2.0)
    for _ in range(6):
        world.loop.run_until_complete(asyncio.sleep(2 if not found else CATCH_UP_S))
        found.append((replica.applied[0], replica.is_behind_its_past))
    assert sorted(set(found)) == [(3, True), (4, True), (5, False), (5, True)]
    world.loop.abandon()


def test_a_shorter_run_keeps_what_matters() -> None:
    ops = tuple(Op(float(at), name, 0.5, 0.5) for at, name in enumerate(["write", "wan_cut"] * 20))

    def play(scenario: Scenario) -> Played:
        is_violated = any(op.at_s == 7 for op in scenario.ops) and any(op.at_s == 12 for op in scenario.ops)
        violation: Any = ViolationError("I1", 30.0, "stale") if is_violated else None
        return Played(scenario, violation, History(), 0, 30.0)

    found = shrink(play(Scenario(1, 40.0, CALM, ops)), budget_s=20, play=play)
    assert [op.at_s for op in found.scenario.ops] == [7, 12]


def test_a_dense_seed_is_another_run_with_more_faults_and_says_so() -> None:
    usual, dense = (
        sum(op.name != "write" for seed in range(40) for op in make(seed, kind=kind).ops) for kind in (PLAIN, DENSE)
    )
    assert dense > 5 * usual
    assert make(3, kind=DENSE) == make(3, kind=DENSE)
    failed = Played(make(3, kind=DENSE), ViolationError("I1", 30.0, "stale"), History(), 0, 30.0)
    assert "--seed 3 --dense --trace" in report(failed, budget_s=0)


def test_a_neighbour_of_a_kept_run_is_the_same_each_time_and_says_so() -> None:
    assert make_near(3) == make_near(3)
    assert len({make_near(seed).ops for seed in range(20)}) == 20
    failed = Played(make_near(3), ViolationError("I1", 30.0, "stale"), History(), 0, 30.0)
    assert "--seed 3 --near --trace" in report(failed, budget_s=0)


def test_every_fault_does_something() -> None:
    assert set(CATALOGUE) == {*NAMES, "write"}
