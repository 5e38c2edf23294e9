"""Key templates change at one of two sources, and stream A loses that: it goes on with what a person asked for last."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from replicator.source.templates import GIVE_WAY_LOOKS, LOOK_AGAIN_S, Templates
from replicator.tables import TableSpec, WatchedTables
from tests.simulation import actors, chaos
from tests.simulation.actors import SOURCES
from tests.simulation.ops import Op
from tests.simulation.patches import simulated
from tests.simulation.process import Process
from tests.simulation.streams import at_once
from tests.simulation.world import World
from versioning.keys import KeyTemplate

ONE, TWO = SOURCES
ASKED_S: Final = 6.0
WRITE_S: Final = 0.3


def watched(*keys: str) -> WatchedTables:
    return WatchedTables((TableSpec("shop", "items", tuple(map(KeyTemplate.parse, keys))),))


OLD: Final = watched("item:{id}")
NEW: Final = watched("item:{id}", "list:{id}")


class Site:
    """The sources, each with a settings file of its own."""

    def __init__(self, seed: int) -> None:
        self.files = dict.fromkeys(SOURCES, OLD)
        self.world = World(seed, self._start)
        for name in SOURCES:
            self.world.start(name)
        self._write()

    def _start(self, world: World, process: Process) -> None:
        actors.run_source(process, Templates(self.files[process.name], lambda: self.files[process.name]))

    def _write(self) -> None:
        chaos.do(self.world, Op(self.world.loop.time(), "write", 0.5, 0.5))
        self.world.later(WRITE_S, self._write)

    def ask(self, name: str) -> None:
        self.world.roles[name]._templates.ask()

    def run_until(self, at_s: float) -> None:
        self.world.run_until(at_s)
        assert self.world.violation is None

    @property
    def tables(self) -> WatchedTables:
        """Those of the stream."""
        digest = at_once(self.world.stream_a.store.state()).digest
        return {tables.digest(): tables for tables in (OLD, NEW)}[digest]

    @property
    def writers(self) -> list[str]:
        return [name for name in SOURCES if self.world.roles[name]._stats.is_connected]

    def change(self, *names: str) -> None:
        """These have new files by now, and the first one is asked."""
        self.run_until(ASKED_S)
        for name in names:
            self.files[name] = NEW
        self.ask(names[0])

    def change_and_lose(self, *names: str, after_s: float) -> None:
        self.change(*names)
        self.world.stream_a.fail_over(after_s, lambda: None)
        self.run_until(ASKED_S + after_s - 0.01)
        assert self.tables is NEW
        self.run_until(ASKED_S + after_s)
        assert self.tables is OLD


@contextmanager
def site(seed: int = 1) -> Iterator[Site]:
    with simulated(seed, page_entries=40):
        made = Site(seed)
        try:
            yield made
        finally:
            made.world.loop.let_all_go()
            made.world.loop.abandon()


@pytest.mark.parametrize("names", [(ONE,), (ONE, TWO)], ids=["one file is new", "both are"])
def test_a_change_that_a_failover_loses_is_made_again_by_the_source_that_was_asked(names: tuple[str, ...]) -> None:
    for seed in range(4):
        with site(seed) as made:
            made.change_and_lose(*names, after_s=0.3)
            made.run_until(ASKED_S + 15)
            assert made.tables is NEW
            assert made.writers == list(names)


def test_where_that_source_is_gone_another_one_makes_it_when_it_is_asked() -> None:
    """Its tables are what they were when it is asked, for it had taken them from the stream."""
    with site() as made:
        made.change_and_lose(ONE, TWO, after_s=5.0)
        made.world.processes[ONE].kill()
        made.run_until(ASKED_S + 15)
        assert made.tables is OLD
        made.ask(TWO)
        made.run_until(ASKED_S + 20)
        assert made.tables is NEW
        assert TWO in made.writers


def test_who_is_asked_with_the_old_file_has_the_last_word() -> None:
    with site() as made:
        made.change(ONE)
        made.run_until(ASKED_S + 3)
        assert made.writers == [ONE]
        kept = made.world.stream_a.store.snapshot()
        made.ask(TWO)
        made.run_until(ASKED_S + 20)
        assert made.tables is OLD
        assert made.writers == [TWO]
        made.world.stream_a.store.restore(kept)
        made.run_until(ASKED_S + 40)
        assert made.tables is OLD
        assert made.writers == [TWO]


def test_who_was_refused_leaves_a_stream_without_templates_to_those_who_have_its_last_ones() -> None:
    with site() as made:
        made.change(ONE)
        made.run_until(ASKED_S + 3)
        made.world.stream_a.store.forget_state()
        made.world.cable(ONE, "stream-a").cut(made.world.loop.time())
        made.run_until(ASKED_S + 8)
        made.world.mend_cables()
        made.run_until(ASKED_S + 20)
        assert made.tables is NEW
        assert made.writers == [ONE]


def test_and_takes_it_where_nobody_comes() -> None:
    with site() as made:
        made.change(ONE)
        made.run_until(ASKED_S + 3)
        made.world.processes[ONE].kill()
        made.world.stream_a.store.forget_state()
        made.run_until(ASKED_S + 3 + (GIVE_WAY_LOOKS + 2) * LOOK_AGAIN_S)
        assert made.tables is OLD
        assert TWO in made.writers
