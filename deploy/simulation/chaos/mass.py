"""`deploy/chaos.sh mass --reads 1e8`: processes that read as fast as they can, while one fault follows the other.

Each reader embeds the cache and reads in memory; what it saw is judged here, against the writers' history (I1).
"""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.simulation.chaos.cell import LOADS, probing
from deploy.simulation.chaos.faults import MATRIX, Fault
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.chaos.observer import Observer
from deploy.simulation.chaos.world import ChaosWorld
from deploy.simulation.chaos.writers import Writers, create_rows
from deploy.simulation.configs import DATABASE
from deploy.simulation.processes import ManagedProcess
from deploy.simulation.staleness import Audit

VICTIMS = ("redis-a", "wan", "mirror", "redis-b", "source", "mysql-a", "replica")
QUIET_S = 5.0
POLL_S = 0.5


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/chaos.sh mass", description=__doc__)
    parser.add_argument("--reads", type=lambda text: int(float(text)), default=10**8, help="(default 1e8)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--scale", type=float, default=20.0, help="divide every limit by this (default 20)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    limits = Limits(arguments.scale)
    folder = Path(tempfile.mkdtemp(prefix="stampline-chaos-"))
    began_s = time.monotonic()
    try:
        with ChaosWorld(folder, limits) as world:
            world.start()
            observer = Observer()
            create_rows(world.mysql_a, observer.commits)
            writers = Writers(world.mysql_a, observer.commits, LOADS["load"])
            with probing(world, observer):
                readers = _start_readers(world, arguments)
                writers.start()
                faults = _strike_until_done(world, readers)
                writers.stop(limits.convergence_s)
            audit = judge((reader.log_path for reader in readers), observer, limits.promise_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - began_s
    print(
        f"{audit.reads} checked reads in {seconds:.0f} s, {len(writers.commits)} commits, {faults} faults:"
        f" {audit.violations} violations of {audit.bound_s:g} s, {audit.inconclusive} inconclusive;"
        f" staleness at most {audit.certain_max_s:.2f} s for certain, {audit.worst_max_s:.2f} s at worst"
    )
    return 1 if audit.violations or audit.reads < arguments.reads else 0


def judge(logs: Iterator[Path] | Sequence[Path], observer: Observer, bound_s: float) -> Audit:
    """Judge what the readers said they saw; of consecutive reads of one version, the last stands for all."""
    audit = Audit(bound_s)
    for log in logs:
        with log.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.startswith("["):
                    continue
                row, version, reads, sent_s, answered_s = json.loads(line)
                _, own = observer.judge(row, version, sent_s, answered_s)
                audit.take(own)
                audit.reads += reads - 1
    return audit


def _start_readers(world: ChaosWorld, arguments: argparse.Namespace) -> list[ManagedProcess]:
    mysql = world.mysql_b.url("toc", DATABASE)
    count, scale = str(-(-arguments.reads // arguments.processes)), str(arguments.scale)
    command = [sys.executable, "-m", "deploy.simulation.chaos.reader"]
    command += [world.redis_b.url, world.redis_b.url, mysql, count, scale]
    return [world.start_process(f"reader-{number}", command) for number in range(1, arguments.processes + 1)]


def _strike_until_done(world: ChaosWorld, readers: Sequence[ManagedProcess]) -> int:
    """Let one fault follow the other until every reader is done; return how many there were."""
    for number, (component, fault) in enumerate(itertools.cycle(_faults())):
        for seconds, act in ((QUIET_S, None), (world.limits.fault_s, fault.inject), (0.0, fault.heal)):
            if act is not None:
                act(world, component)
            if not _wait(readers, seconds) and act is not fault.inject:
                return number
    raise AssertionError("a cycle does not end")


def _faults() -> list[tuple[str, Fault]]:
    return [(name, fault) for name in VICTIMS for fault in MATRIX[name] if not fault.needs_clocks]


def _wait(readers: Sequence[ManagedProcess], seconds: float) -> bool:
    """Wait; return whether somebody reads on."""
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s and any(reader.is_running for reader in readers):
        time.sleep(POLL_S)
    return any(reader.is_running for reader in readers)
