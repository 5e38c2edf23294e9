"""`deploy/demo.sh`: start the two datacenters, write in A, watch B, tell what was seen."""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deploy.simulation import configs
from deploy.simulation.counters import cache_counts, redis_commands_per_read
from deploy.simulation.load import Load
from deploy.simulation.processes import ProcessError
from deploy.simulation.relay import RelayError
from deploy.simulation.report import Measured, as_json, as_text
from deploy.simulation.world import World

KILLABLE = ("source-1", "source-2", "mirror-1", "mirror-2", "service-1", "service-2")
KILL_AT = 1 / 3
"""Share of the run after which `--kill` strikes."""

BOUND_BEYOND_WAN_MS = 2_000.0
"""No read may be staler than this plus the WAN: two active processes in every role leave nothing to wait for."""

KEEP_POLL_S = 1.0
_JSON = "-H 'content-type: application/json'"
_BEARER = f"-H 'authorization: Bearer {configs.TOKEN}'"
_UPDATE = json.dumps({"name": "new"})
_BUMP = json.dumps({"namespace": "tracker_web", "spread_ms": 10_000, "reason": "to try it"})


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy/demo.sh", description=__doc__)
    parser.add_argument("--seconds", type=_positive, default=60.0, help="how long to write and read (default 60)")
    parser.add_argument("--wan-ms", type=_not_negative, default=100.0, help="one-way delay of the WAN (default 100)")
    parser.add_argument("--jitter-ms", type=_not_negative, default=0.0, help="and its jitter (default 0)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the result as JSON")
    parser.add_argument(
        "--kill", choices=KILLABLE, action="append", default=[], help="kill -9 after a third of the run"
    )
    parser.add_argument("--secure", action="store_true", help="TLS on every link, and accounts with the least rights")
    parser.add_argument("--keep", action="store_true", help="leave everything running afterwards, until Ctrl-C")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    folder = Path(tempfile.mkdtemp(prefix="stampline-demo-"))
    try:
        code = _run(arguments, folder)
    except KeyboardInterrupt:
        say("interrupted; everything is stopped")
        code = 130
    except (ProcessError, RelayError, OSError) as error:
        say(f"failed: {error}")
        say(f"everything is stopped; the logs and settings of all processes are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return code


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    started_s = time.monotonic()
    with World(folder, wan_ms=arguments.wan_ms, jitter_ms=arguments.jitter_ms, is_secure=arguments.secure) as world:
        say(f"two datacenters in {folder}")
        world.start(say)
        say(f"all ready after {time.monotonic() - started_s:.0f} s")
        measured = asyncio.run(_measure(world, arguments))
        print(as_text(measured))
        if arguments.report:
            arguments.report.write_text(json.dumps(as_json(measured), indent=1) + "\n")
            say(f"report written to {arguments.report}")
        if arguments.keep:
            _keep(world)
    return 0 if measured.is_kept else 1


async def _measure(world: World, arguments: argparse.Namespace) -> Measured:
    load = Load(world)
    try:
        say("creating trackers and warming every cache")
        await load.create_rows()
        before = await cache_counts(world)
        say(f"writing in A and reading in B for {arguments.seconds:g} s")
        progress = asyncio.create_task(_show_progress(load, arguments.seconds))
        killer = asyncio.create_task(_kill(world, arguments))
        await load.run(arguments.seconds)
        progress.cancel()
        await killer
        counts = (await cache_counts(world)).since(before)
        say("counting Redis commands of a fresh ToC")
        per_read = await redis_commands_per_read(world)
    finally:
        await load.aclose()
    return Measured(load, counts, per_read, arguments.wan_ms + BOUND_BEYOND_WAN_MS, arguments.seconds)


async def _kill(world: World, arguments: argparse.Namespace) -> None:
    if arguments.kill:
        await asyncio.sleep(arguments.seconds * KILL_AT)
        for name in arguments.kill:
            say(f"kill -9 {name}")
            await asyncio.to_thread(world.kill, name)


async def _show_progress(load: Load, seconds: float) -> None:
    started_s = time.monotonic()
    is_terminal = sys.stderr.isatty()
    while True:
        await asyncio.sleep(1.0 if is_terminal else 10.0)
        passed_s = time.monotonic() - started_s
        reads = sum(reads.count for reads in load.reads.values())
        text = f"{passed_s:3.0f}/{seconds:.0f} s  {len(load.updates)} updates, {reads} reads"
        if is_terminal:
            print(f"\r{text}", end="\n" if passed_s >= seconds else "", file=sys.stderr, flush=True)
        else:
            say(text)


def _keep(world: World) -> None:
    ports = world.http_ports
    python = f"PYTHONPATH={Path(__file__).parents[2]} {sys.executable}"
    at, curl = "http://127.0.0.1", "curl -s"
    if world.certificate is not None:
        held = world.certificate
        at, curl = "https://127.0.0.1", f"curl --cacert {held.ca} --cert {held.cert} --key {held.key} -s"
    hints = {
        "dashboard": f"{at}:{ports['service-1']}/      API: /docs",
        "a web process": f"{at}:{ports['toc-1']}/trackers/1      its cache: /status",
        "update a row": f"{curl}X PATCH {at}:{ports['tob']}/trackers/1 {_JSON} -d '{_UPDATE}'",
        "see it": f"{curl}i {at}:{ports['toc-1']}/trackers/1",
        "bump": f"{curl}X POST {at}:{ports['service-1']}/v1/bump {_BEARER} {_JSON} -d '{_BUMP}'",
        "check all": f"{Path(sys.executable).parent}/stampline doctor --config {world.write_doctor()}",
        "cut the WAN": f"{python} -m deploy.simulation wan {world.ports.relay_control} cut",
        "mend it": f"{python} -m deploy.simulation wan {world.ports.relay_control} heal",
        "kill a mirror": f"kill -9 {world.processes['mirror-1'].pid}",
    }
    print(f"\nEverything keeps running until Ctrl-C. Logs and settings: {world.folder}\n")
    for name, command in hints.items():
        print(f"  {name:<14} {command}")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(KEEP_POLL_S)


def say(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


def _positive(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _not_negative(text: str) -> float:
    value = float(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value
