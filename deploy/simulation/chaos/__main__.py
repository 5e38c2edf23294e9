"""`deploy/chaos.sh`: run the matrix, cell by cell, in one world; print the table; exit 1 on a violated invariant.

`deploy/chaos.sh mass` reads by the hundred million instead.
"""

import argparse
import asyncio
import json
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.simulation.chaos import mass
from deploy.simulation.chaos.cell import LOADS, probing, run_cell
from deploy.simulation.chaos.faults import MATRIX, Fault
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.chaos.observer import Observer
from deploy.simulation.chaos.report import as_json, as_markdown
from deploy.simulation.chaos.results import Cell, CellResult
from deploy.simulation.chaos.world import ChaosWorld
from deploy.simulation.chaos.writers import create_rows
from deploy.simulation.processes import ProcessError
from deploy.simulation.relay import RelayError

FAULTS = tuple(dict.fromkeys(fault.name for faults in MATRIX.values() for fault in faults))


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/chaos.sh", description=__doc__)
    parser.add_argument("--components", type=_names(MATRIX), default=tuple(MATRIX), metavar="A,B")
    parser.add_argument("--faults", type=_names(FAULTS), default=FAULTS, metavar="X,Y")
    parser.add_argument("--loads", type=_names(LOADS), default=tuple(LOADS), metavar="idle,load,hot")
    parser.add_argument("--scale", type=float, default=20.0, help="divide every limit by this (default 20)")
    parser.add_argument("--wan-ms", type=float, default=20.0, help="one-way delay of the WAN (default 20)")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write chaos.md and chaos.json here")
    parser.add_argument("--keep-logs", type=Path, metavar="DIR", help="leave the logs of all processes here")
    return parser.parse_args(argv)


def plan(arguments: argparse.Namespace) -> list[tuple[Cell, Fault]]:
    """Return the cells in the order to run them; those that need a world with clocks come last."""
    cells = [
        (Cell(component, fault.name, load), fault)
        for load in arguments.loads
        for component in arguments.components
        for fault in MATRIX[component]
        if fault.name in arguments.faults
    ]
    return sorted(cells, key=lambda cell: cell[1].needs_clocks)


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    run: dict[str, Any] = {
        "command": shlex.join(["deploy/chaos.sh", *argv]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "scale": arguments.scale,
        "promise_s": Limits(arguments.scale).promise_s,
    }
    results: list[CellResult] = []
    try:
        for result in run_matrix(plan(arguments), Limits(arguments.scale), arguments.wan_ms, arguments.keep_logs):
            results.append(result)
            write(results, run, arguments.report)
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        return 130
    except (ProcessError, RelayError, OSError) as error:
        say(f"failed: {error}")
        return 1
    print(as_markdown(results, run))
    return 1 if any(result.violations for result in results) else 0


def run_matrix(
    cells: Sequence[tuple[Cell, Fault]], limits: Limits, wan_ms: float, logs: Path | None = None
) -> Iterable[CellResult]:
    """Run the cells; a cell that leaves a sick world behind is followed by a new one."""
    left = list(enumerate(cells, 1))
    while left:
        folder = Path(tempfile.mkdtemp(prefix="stampline-chaos-"))
        try:
            has_clocks = left[0][1][1].needs_clocks
            with ChaosWorld(folder, limits, wan_ms=wan_ms, has_clocks=has_clocks) as world:
                world.start()
                observer = Observer()
                create_rows(world.mysql_a, observer.commits)
                with probing(world, observer):
                    while left and left[0][1][1].needs_clocks == has_clocks:
                        number, (cell, fault) = left.pop(0)
                        say(f"{number}/{len(cells)} {cell}: {fault.story}")
                        result = asyncio.run(run_cell(world, observer, cell, fault))
                        say(f"  {'; '.join(result.violations) or 'kept'}")
                        yield result
                        if result.converged_s is None or result.recovered_s is None:
                            break
        finally:
            if logs is not None:
                shutil.copytree(folder, logs / folder.name, ignore=shutil.ignore_patterns("data"))
            shutil.rmtree(folder, ignore_errors=True)


def write(results: Sequence[CellResult], run: dict[str, Any], folder: Path | None) -> None:
    """Write the report as far as it is: an interrupted run has one, too."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chaos.md").write_text(as_markdown(results, run))
    (folder / "chaos.json").write_text(json.dumps(as_json(results, run), indent=1) + "\n")


def say(text: str) -> None:
    print(f"chaos {time.strftime('%H:%M:%S')}: {text}", file=sys.stderr, flush=True)


def _names(known: Iterable[str]) -> Any:
    def parse_names(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return names

    return parse_names


if __name__ == "__main__":
    raise SystemExit(mass.main(sys.argv[2:]) if sys.argv[1:2] == ["mass"] else main(sys.argv[1:]))
