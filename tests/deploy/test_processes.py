"""Nothing that was started outlives its owner."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.simulation.ports import FIRST_PORT, LAST_PORT, free_port
from deploy.simulation.processes import ManagedProcess, ProcessError, ProcessGroup, die_with
from tests.eventually import until

SOON_S = 20.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ManagedProcess]]:
    with ProcessGroup() as group:

        def start_process(*command: str) -> ManagedProcess:
            process = group.add(ManagedProcess(command[0], command, tmp_path / "process.log"))
            process.start()
            return process

        yield start_process


Start = Callable[..., ManagedProcess]


def is_alive(pid: int) -> bool:
    """A zombie is dead: it only waits for its parent, which here may be the init process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_process_runs_until_it_is_stopped(start: Start) -> None:
    process = start("sleep", "600")
    assert process.is_running
    assert process.exit_code is None
    process.stop()
    assert not process.is_running
    assert process.exit_code == -signal.SIGTERM


def test_a_stubborn_process_is_killed_after_the_deadline(start: Start) -> None:
    process = start(sys.executable, "-c", STUBBORN)
    process.wait_until(lambda: "up" in process.log_tail(), SOON_S)
    process.stop(deadline_s=0.1)
    assert process.exit_code == -signal.SIGKILL


def test_a_paused_process_can_be_stopped(start: Start) -> None:
    process = start("sleep", "600")
    process.pause()
    process.stop()
    assert not process.is_running


def test_a_restarted_process_is_another_one(start: Start) -> None:
    process = start("sleep", "600")
    pid = process.pid
    process.restart()
    assert process.is_running
    assert process.pid != pid


def test_its_children_end_with_it(start: Start) -> None:
    process = start("sh", "-c", "sleep 600 & echo $!; wait")
    process.wait_until(lambda: process.log_tail().isdigit(), SOON_S)
    process.kill()
    until(lambda: not is_alive(int(process.log_tail())), "the child ends")


def test_a_process_that_ends_too_soon_is_named_with_its_log(start: Start) -> None:
    process = start("sh", "-c", "echo out of cheese; exit 3")
    with pytest.raises(ProcessError, match=r"(?s)sh ended with code 3.*out of cheese"):
        process.wait_until(lambda: False, SOON_S)


def test_a_process_is_not_started_twice(start: Start) -> None:
    with pytest.raises(ProcessError, match="already running"):
        start("sleep", "600").start()


def test_a_group_stops_its_members_in_reverse_order_even_when_one_fails() -> None:
    stopped: list[str] = []

    class Member:
        def __init__(self, name: str) -> None:
            self.name = name

        def stop(self) -> None:
            stopped.append(self.name)
            if self.name == "second":
                raise ProcessError("does not want to")

    def leave_the_block() -> None:
        with ProcessGroup() as group:
            for name in ("first", "second", "third"):
                group.add(Member(name))

    with pytest.raises(ExceptionGroup, match="did not stop cleanly"):
        leave_the_block()
    assert stopped == ["third", "second", "first"]


OWNER = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits SIGINT ignored
from deploy.simulation.processes import ManagedProcess, ProcessGroup
with ProcessGroup() as group:
    child = group.add(ManagedProcess("child", ["sleep", "600"], Path(sys.argv[1])))
    child.start()
    print(child.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_end_when_their_owner_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path / "child.log")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as owner:
        assert owner.stdout
        child = int(owner.stdout.readline())
        assert is_alive(child)
        owner.send_signal(number)
        owner.wait(30)
    until(lambda: not is_alive(child), "the child ends")


def test_a_child_whose_owner_ended_before_it_asked_to_die_with_it_does_not_begin() -> None:
    somebody_else = os.getppid()
    result = subprocess.run([*die_with(somebody_else), "echo", "begun"], stdout=subprocess.PIPE, check=False)
    assert result.returncode != 0
    assert result.stdout == b""


def test_ports_are_handed_out_once_below_the_ephemeral_range() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)
