"""What a driver's error means for a source: another position, another try, or a person."""

import pymysql
import pytest

from replicator.errors import (
    MySqlAuthenticationError,
    MySqlUnavailableError,
    PositionLostError,
    SourceError,
    UnsupportedEventError,
)
from replicator.mysql import translated
from versioning.backends.mysql_address import MySqlAddress

LOST = [
    "Could not find first log file name in binary log index file",
    "Error: connecting slave requested to start from GTID 0-1-9, which is not in the master's binlog",
    "Could not find GTID state requested by slave in any binlog files.",
    "The binlog on the master is missing the GTID 0-1-9 requested by the slave, and GTID strict mode is enabled.",
    "Client requested master to start replication from impossible position",
    "Client requested master to start replication from position > file size",
    "The slave is connecting using MASTER_AUTO_POSITION = 1, but the master has purged binary logs",
    "Cannot replicate because the source purged required binary logs.",
    "Slave has more GTIDs than the master has, using the master's SERVER_UUID.",
    "bogus data in log event; the first event 'b.000001' at 4",
    "binlog truncated in the middle of event; consider out of disk space on master",
]
PASSING = [
    "Slave can not handle replication events with the checksum that master is configured to log",
    "A slave with the same server_uuid/server_id as this slave has connected to the master",
    "memory allocation failed reading log event",
]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *((text, PositionLostError) for text in LOST),
        *((text, MySqlUnavailableError) for text in PASSING),
        ("log event entry exceeded max_allowed_packet", UnsupportedEventError),
    ],
)
def test_a_refused_dump_is_a_lost_position_only_where_it_says_so(text: str, kind: type[SourceError]) -> None:
    with pytest.raises(kind), translated(MySqlAddress("a")):
        raise pymysql.err.OperationalError(1236, text)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (1820, "You must SET PASSWORD before executing this statement"),
        (1862, "Your password has expired. To log in you must change it using a client that"),
        (2059, "Authentication plugin 'b'dialog'' not configured"),
        (4150, "User is blocked because of too many credential errors; unblock with 'ALTER USER / FLUSH PRIVILEGES'"),
    ],
)
def test_a_login_that_only_a_person_can_mend_is_refused(code: int, text: str) -> None:
    with pytest.raises(MySqlAuthenticationError, match="refused"), translated(MySqlAddress("a")):
        raise pymysql.err.OperationalError(code, text)


@pytest.mark.parametrize(
    ("what", "file", "damaged"),
    [
        ("binlog truncated in the middle of event; consider out of disk space on master", "b.000007", "b.000007"),
        ("bogus data in log event", "/var/log/mysql/b.000002", "b.000002"),
        ("Could not find first log file name in binary log index file", "b.000001", ""),
    ],
)
def test_a_file_that_cannot_be_read_to_its_end_is_told(what: str, file: str, damaged: str) -> None:
    text = f"{what}; the first event '.' at 4, the last event read from '{file}' at 9, the last byte read from"
    with pytest.raises(PositionLostError) as raised, translated(MySqlAddress("a")):
        raise pymysql.err.OperationalError(1236, text)
    assert raised.value.damaged_file == damaged
