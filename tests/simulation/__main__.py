"""Play seeds from the command line: ``python -m tests.simulation --seeds 0:1000000 --processes 2``, or look at one."""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

from tests.simulation.near import make_near
from tests.simulation.play import play
from tests.simulation.report import report, trace
from tests.simulation.scenario import DENSE, LONG, PLAIN, Scenario, make

CHUNK = 20
SAID_EVERY_S = 30.0

Draw = Callable[[int], Scenario]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", metavar="A:B", help="play these, B excluded; end at the first failure")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, help="play one")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--dense", action="store_true", help="more faults in less time: finds sooner what takes several")
    kinds.add_argument("--long", action="store_true", help="several windows, with outages that last one or more")
    kinds.add_argument("--near", action="store_true", help="neighbours of runs that once showed a fault: sooner still")
    parser.add_argument("--trace", action="store_true", help="with --seed: print all that happened")
    arguments = parser.parse_args()
    kind = DENSE if arguments.dense else LONG if arguments.long else PLAIN
    draw = make_near if arguments.near else partial(make, kind=kind)
    if arguments.seed is not None:
        return _one(draw(arguments.seed), is_traced=arguments.trace)
    if arguments.seeds is None:
        parser.error("give --seeds A:B or --seed N")
    first, _, end = arguments.seeds.partition(":")
    return _many(range(int(first), int(end)), arguments.processes, draw)


def _one(scenario: Scenario, *, is_traced: bool) -> int:
    played = play(scenario)
    if is_traced:
        _say("\n".join(trace(played)))
    _say(f"{scenario.again}: {played.violation or 'no violation'}")
    if played.violation is not None:
        _say(report(played))
    return 1 if played.violation else 0


def _many(seeds: range, processes: int, draw: Draw) -> int:
    began_s = said_s = time.monotonic()
    done = 0
    work = partial(_chunk, draw=draw, parent=os.getpid())
    with multiprocessing.Pool(processes) as pool:
        for count, failed in pool.imap_unordered(work, _chunks(seeds)):
            done += count
            if failed is not None:
                _say(report(play(draw(failed))))
                pool.terminate()
                return 1
            if time.monotonic() - said_s > SAID_EVERY_S:
                said_s = time.monotonic()
                _say(f"{done} of {len(seeds)} seeds, {done / (said_s - began_s):.1f} a second")
    took_s = time.monotonic() - began_s
    _say(f"{done} seeds, {seeds.start} to {seeds.stop - 1}: no violation; {done / took_s:.1f} seeds a second")
    return 0


def _chunks(seeds: range) -> Iterator[range]:
    for first in range(seeds.start, seeds.stop, CHUNK):
        yield range(first, min(first + CHUNK, seeds.stop))


def _chunk(seeds: range, *, draw: Draw, parent: int) -> tuple[int, int | None]:
    """Return how many were played, and the first one that failed."""
    for seed in seeds:
        if os.getppid() != parent:
            raise SystemExit("whoever asked for these seeds is gone")
        if play(draw(seed)).violation is not None:
            return seed - seeds.start + 1, seed
    return len(seeds), None


if __name__ == "__main__":
    raise SystemExit(main())
