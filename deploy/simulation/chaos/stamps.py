"""I3 after a fault: every commit of the writers has a stamp of the same or a later position in stream B.

Positions are the GTIDs that MySQL told the writers. A gap above the commit covers it, too: it says that nothing below
is known. Read past our own library, from the raw stream.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import redis

from deploy.simulation.chaos.writers import Commit

STREAM = "{stampline}:stream"
CLOCK_SLACK_MS = 1_000


@dataclass(frozen=True)
class Raw:
    """One entry of the stream."""

    ms: int
    kind: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Coverage:
    commits: int
    lost: int
    """Covered by neither a stamp nor a gap."""
    by_gap: int
    duplicates: int
    """Stamps beyond the first of a key at one position: what replays and settled entries cost."""


def read_stream(client: "redis.Redis", since_ms: int) -> list[Raw]:
    items: Any = client.xrange(STREAM, min=f"{max(since_ms, 0)}-0")
    return [Raw(int(id_.split(b"-")[0]), fields[b"t"].decode(), json.loads(fields[b"b"])) for id_, fields in items]


def coverage(commits: Iterable[Commit], entries: Iterable[Raw]) -> Coverage:
    stamped: dict[str, Counter[int]] = defaultdict(Counter)
    aged_out, gap_ms = 0, 0
    for entry in entries:
        if entry.kind == "change":
            for key in entry.body["keys"]:
                stamped[key][sequence(entry.body.get("gtid", ""))] += 1
        elif entry.kind == "generation" and "tracker_web" in entry.body["namespaces"]:
            aged_out = max(aged_out, sequence(entry.body.get("gtid", "")))
        elif entry.kind == "gap":
            gap_ms = max(gap_ms, entry.ms)
    lost = by_gap = count = 0
    for commit in commits:
        count += 1
        position = sequence(commit.gtid)
        if position <= max(aged_out, *stamped[f"tracker_web:{commit.row}"], 0):
            continue
        is_below_gap = commit.sent_ms + CLOCK_SLACK_MS < gap_ms
        by_gap += is_below_gap
        lost += not is_below_gap
    duplicates = sum(times - 1 for positions in stamped.values() for times in positions.values())
    return Coverage(count, lost, by_gap, duplicates)


def sequence(gtid: str) -> int:
    """Return the sequence number of a MariaDB GTID of one domain; 0 of none."""
    return int(gtid.rpartition("-")[2]) if gtid else 0
