"""What systemd is told, read from a real socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from versioning.cli.notify import Notifier
from versioning.client.pulse import Pulse

DEADLINE_S = 20.0


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Supervisor:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._end.bind(str(path))
        self._end.setblocking(False)
        self.heard: list[str] = []

    def close(self) -> None:
        self._end.close()

    async def next(self) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            return (await asyncio.get_running_loop().sock_recv(self._end, 4096)).decode().splitlines()


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "notify")
    yield made
    made.close()


def environment(supervisor: Supervisor, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(supervisor.path), **more}


async def test_ready_is_said_when_the_loop_first_turns_then_the_watchdog_is_fed(supervisor: Supervisor) -> None:
    notifier = Notifier.from_environment(environment(supervisor, WATCHDOG_USEC="30000", WATCHDOG_PID=str(os.getpid())))
    pulse = Pulse()
    task = asyncio.create_task(notifier.run(pulse, lambda: "behind:\n3 s"))
    await asyncio.sleep(0)
    assert not task.done()
    pulse.beat()
    assert await supervisor.next() == ["READY=1"]
    for _ in range(2):
        assert await supervisor.next() == ["WATCHDOG=1", "STATUS=behind: 3 s"]
    notifier.say("STOPPING=1")
    task.cancel()
    while (said := await supervisor.next()) != ["STOPPING=1"]:
        assert said[0] == "WATCHDOG=1"


async def test_a_loop_that_does_not_turn_starves_the_watchdog(supervisor: Supervisor) -> None:
    notifier = Notifier.from_environment(environment(supervisor, WATCHDOG_USEC="30000"))
    clock = Clock()
    pulse = Pulse(age_max_s=1, clock_s=clock)
    pulse.beat()
    clock.now_s += 2
    task = asyncio.create_task(notifier.run(pulse, lambda: None))
    assert await supervisor.next() == ["READY=1"]
    assert await supervisor.next() == ["STATUS=the working loop has not turned for 2 s"]
    task.cancel()


async def test_a_watchdog_of_another_process_is_not_ours(supervisor: Supervisor) -> None:
    notifier = Notifier.from_environment(environment(supervisor, WATCHDOG_USEC="30000", WATCHDOG_PID="1"))
    pulse = Pulse()
    pulse.beat()
    task = asyncio.create_task(notifier.run(pulse, lambda: None))
    assert [await supervisor.next() for _ in range(2)] == [["READY=1"], ["STATUS=ready"]]
    task.cancel()


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here"])
def test_where_nobody_listens_nothing_happens(address: str) -> None:
    Notifier(address).say("READY=1")


def test_the_abstract_namespace_is_meant_by_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        name = f"stampline-test-{os.getpid()}"
        end.bind(f"\0{name}")
        Notifier(f"@{name}").say("READY=1", "STATUS=ready")
        assert end.recv(100) == b"READY=1\nSTATUS=ready"
