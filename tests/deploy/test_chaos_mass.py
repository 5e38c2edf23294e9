"""Reads by the hundred million: what is kept of them says the same as all of them."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from deploy.simulation.chaos import clocks
from deploy.simulation.chaos.mass import judge, parse
from deploy.simulation.chaos.observer import Observer
from deploy.simulation.chaos.tally import Seen, Tally
from deploy.simulation.staleness import Audit

ROOT = Path(__file__).parents[2]


def observer_of(commits_s: list[float]) -> Observer:
    observer = Observer()
    for version, moment in enumerate(commits_s):
        observer.commits.begin(1, moment)
        observer.commits.commit(1, version, moment + 0.1)
        observer.see({1: version}, moment + 0.2, moment + 0.3)
    return observer


def test_the_last_read_of_a_version_stands_for_all_of_them(tmp_path) -> None:
    chance = random.Random(7)
    observer = observer_of([float(moment) for moment in range(0, 100, 10)])
    handed_on: list[Seen] = []
    tally, all_of_them = Tally(handed_on.append), Audit(bound_s=15)
    for step in range(2_000):
        now_s = step / 20
        version = max(observer.commits.version(1) * step // 2_000 - chance.choice([0, 0, 0, 1, 2]), 0)
        tally.take([(1, version)], now_s, now_s + 0.01)
        all_of_them.take(observer.judge(1, version, now_s, now_s + 0.01)[1])
    tally.close()
    log = tmp_path / "reader.log"
    lines = [json.dumps([seen.row, seen.version, seen.reads, seen.sent_s, seen.answered_s]) for seen in handed_on]
    log.write_text("\n".join(["a line of some log", *lines]))
    said = judge([log], observer, 15)
    assert (said.reads, said.certain_max_s, said.worst_max_s) == (
        all_of_them.reads,
        all_of_them.certain_max_s,
        all_of_them.worst_max_s,
    )
    assert said.violations > 0
    assert len(lines) < all_of_them.reads


def test_memory_does_not_grow_with_the_reads() -> None:
    tally = Tally(lambda _: None)
    for step in range(10_000):
        tally.take([(row, step // 100) for row in (1, 2)], step, step)
    assert len(tally._seen) == 2


def test_a_hundred_million_reads_are_the_default() -> None:
    assert parse([]).reads == 10**8


def test_a_process_has_its_own_wall_clock_and_true_monotonic_time(tmp_path) -> None:
    file = tmp_path / "toc-1.clock"
    environment = {**os.environ, **clocks.environment(file, ROOT)}
    clocks.set_offset(file, -60)
    script = "import time; print(time.time(), time.time_ns(), time.monotonic())"
    before_s, before_monotonic_s = time.time(), time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    told_s, told_ns, told_monotonic_s = (float(part) for part in done.stdout.split())
    assert before_s - 60 <= told_s <= time.time() - 60
    assert told_s <= told_ns / 1e9 <= time.time() - 60
    assert before_monotonic_s <= told_monotonic_s <= time.monotonic()
