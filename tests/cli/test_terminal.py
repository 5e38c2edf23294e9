"""The program as a process: a pipe that is closed, Ctrl-C, a terminal; never a traceback."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_service import served

STAMPLINE = str(Path(sys.executable).parent / "stampline")
DEADLINE_S = 60.0
SITE = b'{"state": "ok", "headline": "All is well.", "flow": {"lag_ms": 400}}'


@pytest.fixture
def url() -> Iterator[str]:
    with served(200, SITE) as url:
        yield url


def start(*arguments: str, stdout: int = subprocess.PIPE, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    # A job in the background inherits SIGINT ignored, and would hand it on.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen([STAMPLINE, *arguments], stdout=stdout, stderr=stderr, text=True)
    finally:
        signal.signal(signal.SIGINT, inherited)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str | None]:
    """Its exit code, and what it said on stderr."""
    _, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, err


@pytest.mark.parametrize("arguments", [["config", "check"], ["config", "--help"]], ids=" ".join)
def test_a_reader_that_goes_away_is_no_failure(arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(*arguments, stdout=write_end)
    os.close(write_end)
    assert ended(process) == (0, "")


def test_without_an_output_it_still_does_its_work() -> None:
    process = subprocess.Popen(
        ["sh", "-c", f"exec {STAMPLINE} config check >&- 2>&-"], stderr=subprocess.PIPE, text=True
    )
    assert ended(process) == (0, "")


def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        code, err = ended(start("config", "check", stdout=full.fileno()))
    assert (code, err) == (1, "stampline: cannot write the output: No space left on device\n")


def test_a_character_that_the_output_cannot_hold_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "日本.toml"
    file.touch()
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "STAMPLINE_CONFIG": str(file)}
    done = subprocess.run([STAMPLINE, "config", "check"], check=True, env=environment, capture_output=True)
    assert done.stdout.endswith(rb"\u65e5\u672c.toml" + b"\n")


def test_what_a_person_must_mend_is_told_by_the_code_where_the_line_has_nowhere_to_go() -> None:
    with Path("/dev/full").open("w") as full:
        process = start("mirror", stderr=full.fileno())
    assert ended(process) == (2, None)


def test_watching_goes_on_until_its_reader_goes_away(url: str) -> None:
    process = start("status", "--url", url, "--watch", "--every", "1ms")
    assert process.stdout is not None
    frames = 0
    while frames < 2:
        frames += "All is well." in process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert ended(process) == (0, "")


def test_ctrl_c_ends_a_watch_quietly_and_a_service_that_goes_away_does_not(url: str) -> None:
    with served(200, SITE) as going:
        process = start("status", "--url", going, "--watch", "--json", "--every", "1ms")
        assert process.stdout is not None
        assert process.stdout.readline().strip() == SITE.decode()
    while "did not answer" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    assert ended(process) == (130, "")


def test_on_a_terminal_a_watch_has_the_screen_and_gives_it_back(url: str) -> None:
    owner, terminal = pty.openpty()
    process = start("status", "--url", url, "--watch", "--every", "1ms", stdout=terminal)
    os.close(terminal)
    seen = b""
    while b"All is well." not in seen:
        seen += os.read(owner, 4096)
    process.send_signal(signal.SIGINT)
    while b"\x1b[?1049l" not in seen:
        seen += os.read(owner, 4096)
    os.close(owner)
    assert ended(process)[0] == 130
    assert b"\x1b[?1049h" in seen
