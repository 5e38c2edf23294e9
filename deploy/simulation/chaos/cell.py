"""One cell of the matrix: quiet, fault, heal, quiet; and what was measured on the way."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from deploy.simulation.chaos.faults import Fault
from deploy.simulation.chaos.observer import Observer, Probe
from deploy.simulation.chaos.readers import Readers
from deploy.simulation.chaos.results import Cell, CellResult
from deploy.simulation.chaos.stamps import coverage, read_stream
from deploy.simulation.chaos.symptoms import Monitor
from deploy.simulation.chaos.world import ChaosWorld
from deploy.simulation.chaos.writers import ROWS, Pace, Writers
from deploy.simulation.configs import TOCS

BEFORE_S = 1.5
"""Quiet before the fault."""

AFTER_S = 1.5
"""Load goes on after everybody has recovered: late damage shows."""

QUICK_S = 2.0
"""How long a fault that is over at once is watched."""

POLL_S = 0.05

LOADS: dict[str, Pace] = {
    "idle": Pace(updates_per_s=1.0, reads_per_s=12.0),
    "load": Pace(updates_per_s=20.0, reads_per_s=100.0),
    "hot": Pace(updates_per_s=20.0, reads_per_s=100.0, hot_share=0.8),
}


@dataclass
class _Run:
    """The state of one cell while it runs."""

    world: ChaosWorld
    cell: Cell
    fault: Fault
    observer: Observer
    readers: Readers
    monitor: Monitor
    writers: Writers


def fault_s(world: ChaosWorld, fault: Fault, load: str) -> float:
    if not fault.is_lasting:
        return QUICK_S
    return world.limits.long_fault_s if fault.is_long and load == "load" else world.limits.fault_s


async def run_cell(world: ChaosWorld, observer: Observer, cell: Cell, fault: Fault) -> CellResult:
    """Needs a healthy world, and leaves one unless the result says otherwise."""
    pace = LOADS[cell.load]
    readers = Readers(world, observer, world.limits.promise_s)
    writers = Writers(world.mysql_a, observer.commits, pace)
    run = _Run(world, cell, fault, observer, readers, Monitor(world), writers)
    began_ms = int(time.time() * 1000)
    async with _in_background(run, pace):
        await asyncio.sleep(BEFORE_S)
        injected_s, healed_s = await _strike(run)
        recovered_s = await _until_recovered(run)
        await asyncio.sleep(AFTER_S)
        loads, counted_s = run.monitor.loads, time.time() - injected_s
        meters, reads_of = readers.meters, readers.reads_of
        await asyncio.to_thread(writers.stop, world.limits.convergence_s)
        readers.reset()
        converged_s = await _until_converged(run)
    with world.redis_b.client() as client:
        stamps = coverage(writers.commits, read_stream(client, began_ms - 1000))
    detected = run.monitor.detected
    return CellResult(
        cell=cell,
        promise_s=world.limits.promise_s,
        degraded_ttl_s=world.limits.degraded_ttl_ms / 1000,
        provisional_ttl_s=world.limits.provisional_ttl_ms / 1000,
        fault_s=healed_s - injected_s,
        watched_s=counted_s,
        meters=meters,
        reads_of=reads_of,
        loads=loads,
        detected_s=detected.seen_s - injected_s if detected else None,
        detected_by=detected.text if detected else "",
        recovered_s=recovered_s,
        converged_s=converged_s,
        stamps=stamps,
    )


@contextlib.asynccontextmanager
async def _in_background(run: _Run, pace: Pace) -> AsyncIterator[None]:
    """Read, watch and write; the writers end earlier by themselves where the cell stops them."""
    tasks = [asyncio.create_task(run.readers.run(pace)), asyncio.create_task(run.monitor.run())]
    run.writers.start()
    try:
        yield
    finally:
        run.writers.ask_to_stop()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        if failures := [end for end in ended if isinstance(end, Exception)]:
            raise ExceptionGroup("reading or watching ended by itself", failures)


async def _strike(run: _Run) -> tuple[float, float]:
    """Inject the fault and heal it; return when each happened."""
    run.readers.reset()
    loads = run.monitor.loads
    run.monitor.arm()
    injected_s = time.time()
    await asyncio.to_thread(run.fault.inject, run.world, run.cell.component)
    try:
        await asyncio.sleep(fault_s(run.world, run.fault, run.cell.load))
    finally:
        healed_s = time.time()
        await asyncio.to_thread(run.fault.heal, run.world, run.cell.component)
    run.monitor.loads -= loads
    return injected_s, healed_s


async def _until_recovered(run: _Run) -> float | None:
    """Return how long after the heal everybody is well again; None when they are not in time."""
    began_s = time.time()
    while run.monitor.symptoms:
        if time.time() - began_s > run.world.limits.convergence_s:
            return None
        await asyncio.sleep(POLL_S)
    return time.time() - began_s


async def _until_converged(run: _Run) -> float | None:
    """Return how long after the last write every ToC returns the database's value for ALL keys (I5)."""
    began_s = time.time()
    left = {name: set(range(1, ROWS + 1)) for name in TOCS}
    while any(left.values()):
        if time.time() - began_s > run.world.limits.convergence_s:
            return None
        wrong = await asyncio.gather(*(run.readers.unconverged(name, rows) for name, rows in left.items()))
        left = dict(zip(left, wrong, strict=True))
    return time.time() - began_s


@contextlib.contextmanager
def probing(world: ChaosWorld, observer: Observer) -> Iterator[None]:
    probe = Probe(world.mysql_b, observer)
    probe.start()
    try:
        yield
    finally:
        probe.stop()
