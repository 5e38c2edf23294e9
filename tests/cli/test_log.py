"""The programs' logs: what the library says by standard logging has a name and fields there too."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from versioning.backends.base import UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.cli import log
from versioning.client.follower import Follower
from versioning.index import Index


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("stampline")
    before = root.handlers[:], root.level, ours.level, structlog.get_config()
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.configure(**before[3])


async def test_a_follower_says_its_events_by_name_with_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    follower = Follower(MemoryStream(lambda: 1), Index())
    follower._report(UnavailableError("Redis b:1 is not available"))
    follower._note_well()
    lost, connected = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (lost["event"], lost["level"], lost["error"]) == (
        "follower_link_lost",
        "warning",
        "Redis b:1 is not available",
    )
    assert (connected["event"], connected["level"], connected["reconnects"]) == ("follower_connected", "info", 0)


def test_other_libraries_say_their_warnings_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    logging.getLogger("other").info("nothing")
    logging.getLogger("other").warning("look %s", "here")
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["event"] == "look here"


def test_a_line_that_cannot_be_written_is_lost_and_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", buffering=1, encoding="utf-8")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr("sys.stderr", full)
    log.configure()
    for number in range(1000):  # more than any buffer holds
        structlog.get_logger().warning("target_lost", number=number)
        logging.getLogger("other").warning("look here")
    with pytest.raises(OSError, match="No space left"):
        full.close()
