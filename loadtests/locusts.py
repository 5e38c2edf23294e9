"""Locust as a process of the conductor: a plateau of reads against both ToCs, every read recorded."""

import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.simulation.configs import TOKEN
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.processes import ManagedProcess
from loadtests.profile import PLANS, Profile
from loadtests.worlds import TOCS, LoadWorld

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
ARRIVALS_PER_USER = 20.0
GATE_ARRIVALS_PER_USER = 5.0
OTHER_USERS = 3
"""A writer, one that looks up versions, one that bumps: they come first, however few users there are."""

SECONDS_MAX = 3_600
"""The conductor ends it; this does when the conductor cannot."""

RUNNING_S = 30.0
GATE_P99_MS = 100.0
"""Of the issue: less than 100 ms of latency added; whole answers stay below it."""


def start(world: LoadWorld, profile: Profile, tocs: Sequence[str], record: Path, name: str) -> ManagedProcess:
    """Start reading; return when the first reads are recorded."""
    record.mkdir(parents=True, exist_ok=True)
    users = max(round(profile.reads_per_s / ARRIVALS_PER_USER), 1)
    command = [
        *command_line(world, profile, tocs),
        *("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{SECONDS_MAX}s"),
        *("--arrivals", str(profile.reads_per_s / users), "--record", str(record), "--bound-s", "0"),
        "TocReader",
    ]
    process = world.start_process(name, command)
    process.wait_until(lambda: any(file.stat().st_size for file in record.iterdir()), RUNNING_S)
    return process


def command_line(world: LoadWorld, profile: Profile, tocs: Sequence[str]) -> list[str]:
    urls = ",".join(f"http://{LOOPBACK}:{world.http_ports[name]}" for name in tocs)
    return [
        *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"),
        *("--toc", urls, "--trackers", str(profile.trackers), "--tenants", str(profile.tenants)),
        *("--plans", str(PLANS)),
    ]


def start_gate(world: LoadWorld, profile: Profile) -> ManagedProcess:
    """Start Locust as a person would: all users, a spike, its own verdict in the exit code."""
    users = OTHER_USERS + max(round(profile.reads_per_s / 2 / GATE_ARRIVALS_PER_USER), 1)
    ports = world.http_ports
    command = [
        *command_line(world, profile, TOCS),
        *("--tob", f"http://{LOOPBACK}:{ports['tob']}", "--service", f"http://{LOOPBACK}:{ports['service-1']}"),
        *("--token", TOKEN, "--shape", "spike", "--users", str(users), "--run-time", f"{profile.gate_s}s"),
        *("--arrivals", str(GATE_ARRIVALS_PER_USER), "--bound-s", str(profile.limits.promise_s)),
        *("--p99-ms", str(GATE_P99_MS)),
    ]
    return world.start_process("locust-gate", command)
