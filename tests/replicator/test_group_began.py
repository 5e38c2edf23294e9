"""What a GTID event of MariaDB tells, whatever stands between its head and its second flags."""

import struct
from typing import Any, cast

import pytest

from replicator.binlog.decoder import EventDecoder
from replicator.binlog.events import GroupBegan
from replicator.binlog.kinds import MARIADB_GTID
from replicator.binlog.wire import CHECKSUM_BYTES

STANDALONE, GROUP_COMMIT, PREPARED_XA = 1, 2, 64
MULTI_ENGINE, START_ALTER, COMMIT_ALTER = 1, 2, 4
COMMIT_ID = struct.pack("<Q", (1 << 64) - 1)
XID = struct.pack("<IBB", 1, 3, 2) + b"abcde"


@pytest.mark.parametrize(
    ("flags", "behind", "begins_alter"),
    [
        (STANDALONE, b"\0" * 6, False),
        (STANDALONE, b"", False),
        (STANDALONE, bytes([START_ALTER]) + b"\0" * 5, True),
        (STANDALONE, bytes([COMMIT_ALTER]) + struct.pack("<Q", 7), False),
        (STANDALONE | GROUP_COMMIT, COMMIT_ID, False),
        (STANDALONE | GROUP_COMMIT, COMMIT_ID + bytes([START_ALTER | MULTI_ENGINE, 2]), True),
        (PREPARED_XA, XID, False),
        (PREPARED_XA | GROUP_COMMIT, COMMIT_ID + XID + bytes([START_ALTER]), True),
    ],
)
def test_an_alter_that_only_begins_is_told_apart(flags: int, behind: bytes, *, begins_alter: bool) -> None:
    body = struct.pack("<QIB", 5, 3, flags) + behind + b"\xff" * CHECKSUM_BYTES
    decoder = EventDecoder(cast("Any", None), drained_ms=lambda: 0)
    packet = struct.pack("<xIBIIIH", 1, MARIADB_GTID, 9, 19 + len(body), 900, 0) + body
    assert decoder.decode(packet) == GroupBegan("3-9-5", not flags & STANDALONE, begins_alter)
