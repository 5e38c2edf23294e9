"""``python -m loadtests.bench.memory``: memory of a source and a mirror over time, under what would fill it.

Two scenes on real servers, with the roles as they are run: a backlog of small transactions, a day's worth, written
while the roles are stopped; and a transaction of two million rows. It prints the most that each role had, draws the
curves with ``--plot``, and ends with 1 when a role had more than ``--limit-mib``.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.simulation.configs import DATABASE
from deploy.simulation.processes import ManagedProcess
from deploy.simulation.redis_server import RedisServer
from loadtests.bench.peers import require
from loadtests.bench.r08_propagation import Pipeline
from loadtests.bench.servers import process_group

EVERY_S: Final = 0.25
SAID_EVERY_S: Final = 10.0
SCENE_MAX_S: Final = 3_600.0
ROWS: Final = 2_000_000
BACKLOG: Final = 500_000
LIMIT_MIB: Final = 200
"""A role that has nothing to do takes 65; what waits between reader, gate and Redis is bounded at tens of MiB."""

_MANY: Final = """
CREATE PROCEDURE many(n INT) BEGIN DECLARE i INT DEFAULT 0;
  WHILE i < n DO
    UPDATE tracker_web SET tenant_id = tenant_id + 1 WHERE id = 1 + (i MOD 1000); SET i = i + 1;
  END WHILE; END
"""
_BIG: Final = """
INSERT INTO tracker_web (id, tracker_id, tenant_id, extra)
SELECT 1000000 + seq, CONCAT('big-', seq), seq %% 100, '{"some": ["json", 1, 2, 3]}' FROM seq_1_to_%d
"""
_LAST: Final = "INSERT INTO tracker_web (id, tracker_id, tenant_id) VALUES (%d, 'last-%d', 1)"


@dataclass
class Scene:
    name: str
    times_s: list[float] = field(default_factory=list)
    sizes_mib: dict[str, list[float]] = field(default_factory=dict)

    @property
    def most_mib(self) -> dict[str, float]:
        return {name: max(sizes) for name, sizes in self.sizes_mib.items()}

    @contextmanager
    def watched(self, processes: Mapping[str, ManagedProcess]) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._watch, args=(processes, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _watch(self, processes: Mapping[str, ManagedProcess], stop: threading.Event) -> None:
        began_s = time.monotonic()
        while not stop.wait(EVERY_S):
            self.times_s.append(time.monotonic() - began_s)
            for name, process in processes.items():
                if name.startswith(("source", "mirror")):
                    self.sizes_mib.setdefault(name, []).append(resident_mib(process))


def resident_mib(process: ManagedProcess) -> float:
    """0 for one that is not running."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * 4 / 1024


def big_transaction(world: Pipeline, rows: int) -> Scene:
    scene = Scene(f"one transaction of {rows:,} rows")
    with scene.watched(world.processes):
        world.mysql_a.execute(_BIG % rows, database=DATABASE)
        _until_arrived(world, 1, scene.name)
    return scene


def backlog(world: Pipeline, transactions: int) -> Scene:
    scene = Scene(f"a backlog of {transactions:,} transactions")
    world.stop_roles()
    world.mysql_a.execute(_MANY, database=DATABASE)
    world.mysql_a.execute("CALL many(%s)", (transactions,), database=DATABASE)
    world.start_roles()
    with scene.watched(world.processes):
        _until_arrived(world, 2, scene.name)
    return scene


def _until_arrived(world: Pipeline, number: int, scene: str) -> None:
    """Write one more row, and return when its key is in stream B: so is everything before it."""
    row = 900_000_000 + number
    world.mysql_a.execute(_LAST % (row, row), database=DATABASE)
    key = f'"tracker_web:{row}"'
    _wait(lambda: _is_in(world.redis_b, key), lambda: f"{scene}: {_entries(world.redis_b)} entries in B")


def _wait(is_done: Callable[[], bool], describe: Callable[[], str]) -> None:
    began_s = said_s = time.monotonic()
    while not is_done():
        now_s = time.monotonic()
        if now_s - began_s > SCENE_MAX_S:
            raise TimeoutError(describe())
        if now_s - said_s > SAID_EVERY_S:
            said_s = now_s
            print(describe(), file=sys.stderr, flush=True)
        time.sleep(EVERY_S)


def _entries(redis: RedisServer) -> int:
    with redis.client() as client:
        return int(client.xlen("{stampline}:stream"))


def _is_in(redis: RedisServer, text: str) -> bool:
    """Whether one of the newest entries says this."""
    with redis.client() as client:
        newest = client.xrevrange("{stampline}:stream", count=100)
    return any(text.encode() in fields[b"b"] for _, fields in newest)


def plot(scenes: list[Scene], path: Path) -> None:
    require("matplotlib").use("Agg")
    figure, axes = require("matplotlib.pyplot").subplots(1, len(scenes), figsize=(12, 4), sharey=True, squeeze=False)
    for scene, axis in zip(scenes, axes[0], strict=True):
        for name, sizes in sorted(scene.sizes_mib.items()):
            axis.plot(scene.times_s[: len(sizes)], sizes, label=name)
        axis.set(title=scene.name, xlabel="seconds", ylim=(0, None))
        axis.legend()
    axes[0][0].set_ylabel("resident memory, MiB")
    figure.tight_layout()
    figure.savefig(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the big transaction (default {ROWS:,})")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help=f"small transactions (default {BACKLOG:,})")
    parser.add_argument("--limit-mib", type=int, default=LIMIT_MIB, help=f"(default {LIMIT_MIB})")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write the curves as PNG (needs matplotlib)")
    arguments = parser.parse_args()
    with process_group() as (_, folder), Pipeline(folder, 0.0) as world:
        world.prepare()
        idle = {name: resident_mib(process) for name, process in world.processes.items() if name != "wan"}
        print("idle: " + _sizes(idle), flush=True)
        scenes = []
        for run, size in ((backlog, arguments.backlog), (big_transaction, arguments.rows)):
            scenes.append(run(world, size))
            print(f"{scenes[-1].name}, {scenes[-1].times_s[-1]:.0f} s, most: {_sizes(scenes[-1].most_mib)}", flush=True)
    if arguments.plot:
        plot(scenes, arguments.plot)
    most = max(size for scene in scenes for size in scene.most_mib.values())
    is_flat = most <= arguments.limit_mib
    print(f"{'flat' if is_flat else 'NOT FLAT'}: at most {most:.0f} MiB, {arguments.limit_mib} allowed")
    return int(not is_flat)


def _sizes(sizes: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {size:.0f} MiB" for name, size in sorted(sizes.items()))


if __name__ == "__main__":
    raise SystemExit(main())
