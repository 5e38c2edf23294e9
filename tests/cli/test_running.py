"""The end of a role as a process of its own: by signal, by time, by force."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from versioning.cli.duration import parse_duration_s

DEADLINE_S = 60.0

SCRIPT = """
import asyncio, sys, time
from versioning.cli import log, running

async def ends(stop):
    say("begun"); await stop.wait(); say("flushed")

async def hangs(stop):
    say("begun"); await stop.wait(); say("stopping"); time.sleep(600)

def say(word):
    print(word, flush=True)

log.configure()
running.STOP_MAX_S = float(sys.argv[2])
options = dict(for_s=0.05) if "for" in sys.argv else {}
if "reload" in sys.argv:
    options["on_reload"] = lambda: say("reloaded")
running.run_role(globals()[sys.argv[1]], **options)
"""


class Process:
    def __init__(self, *arguments: str, **environment: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )

    def says(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def close(self) -> None:
        self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def start() -> Iterator[type[Process]]:
    made: list[Process] = []

    def run(*arguments: str, **environment: str) -> Process:
        made.append(Process(*arguments, **environment))
        assert made[-1].says() == "begun"
        return made[-1]

    yield run  # type: ignore[misc]
    for process in made:
        process.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_lets_the_role_end_by_itself(start: type[Process], number: signal.Signals) -> None:
    process = start("ends", "60")
    process.popen.send_signal(number)
    assert process.says() == "flushed"
    assert process.popen.wait(DEADLINE_S) == 0


def test_a_second_signal_ends_it_at_once_though_the_loop_hangs(start: type[Process]) -> None:
    process = start("hangs", "60")
    process.popen.send_signal(signal.SIGTERM)
    assert process.says() == "stopping"
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(DEADLINE_S) == -signal.SIGTERM


def test_a_role_that_does_not_end_is_ended(start: type[Process]) -> None:
    process = start("hangs", "0.2")
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(DEADLINE_S) == 1


def test_after_its_time_a_role_ends_with_0(start: type[Process]) -> None:
    process = start("ends", "60", "for")
    assert process.says() == "flushed"
    assert process.popen.wait(DEADLINE_S) == 0


def test_its_supervisor_hears_of_its_begin_and_of_its_end(start: type[Process], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(DEADLINE_S)
        process = start("ends", "60", NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="30000000")
        assert [supervisor.recv(4096) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1\nSTATUS=ready"]
        process.popen.send_signal(signal.SIGTERM)
        while supervisor.recv(4096) != b"STOPPING=1":
            pass


def test_sighup_reloads_and_the_role_goes_on(start: type[Process]) -> None:
    process = start("ends", "60", "reload")
    for _ in range(2):
        process.popen.send_signal(signal.SIGHUP)
        assert process.says() == "reloaded"
    process.popen.send_signal(signal.SIGTERM)
    assert process.says() == "flushed"


@pytest.mark.parametrize(
    ("text", "seconds"), [("55", 55), ("55s", 55), ("500ms", 0.5), ("5m", 300), ("1.5h", 5_400), (" 2s ", 2)]
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5", "5d", "1e3", "5 minutes", "inf"])
def test_what_is_no_duration_is_bad_use(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 55"):
        parse_duration_s(text)
