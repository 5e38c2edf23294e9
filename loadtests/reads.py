"""One read of a ToC, as the load generator saw it: one line of text, written by Locust, judged by the conductor.

Staleness is judged afterwards, because only the writer knows when a version was superseded.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from deploy.simulation.staleness import Bounds, History

TRACKER, PLAN, TENANT = "tracker", "plan", "tenant"
ROW = "row"
"""One more row of a list that was read: its staleness counts, and it is no request of its own."""

ABSENT = -2
"""The version of an answer that says there is no such row."""

FAILED = -1
NO_TIER = "-"
PLAN_ROW = 1_000_000_000
"""Plans are rows of the history above all trackers."""

_VERSION = re.compile(rb'"id":(\d+),.*?"version":(\d+)')


class Reading(NamedTuple):
    kind: str
    row: int
    version: int
    due_s: float
    """When the request was to be sent."""
    sent_s: float
    answered_s: float
    tier: str
    toc: str
    verdict: str = NO_TIER

    @property
    def is_answered(self) -> bool:
        return self.version != FAILED

    @property
    def is_request(self) -> bool:
        return self.kind != ROW

    @property
    def latency_ms(self) -> float:
        return (self.answered_s - self.due_s) * 1000


def versions_in(body: bytes) -> list[tuple[int, int]]:
    """Return (id, version) of each row of an answer, without parsing all of it."""
    return [(int(row), int(version)) for row, version in _VERSION.findall(body)]


def to_line(reading: Reading) -> str:
    return (
        f"{reading.kind} {reading.row} {reading.version} {reading.due_s:.6f} {reading.sent_s:.6f}"
        f" {reading.answered_s:.6f} {reading.tier} {reading.toc} {reading.verdict}\n"
    )


def from_line(line: str) -> Reading:
    kind, row, version, due, sent, answered, *words = line.split()
    return Reading(kind, int(row), int(version), float(due), float(sent), float(answered), *words)


def load(files: Iterable[Path]) -> Iterator[Reading]:
    """Read what was recorded; a last line cut short by the end of its process is left out."""
    for file in files:
        with file.open(encoding="ascii") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield from_line(line)


def judge(history: History, reading: Reading) -> Bounds:
    """Say how stale the answer was. "There is none" is taken for the newest moment at which that was true."""
    version = reading.version
    if version == ABSENT:
        newest = history.version(reading.row)
        begun_s = history.begun_s(reading.row, newest + 1)
        version = newest + 1 if begun_s is not None and begun_s <= reading.answered_s else newest
        version -= version % 2 == 0
    return history.judge(reading.row, version, reading.sent_s, reading.answered_s)
