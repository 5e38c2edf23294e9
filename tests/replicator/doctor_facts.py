"""Facts of servers that nothing is wrong with, for tests of the doctor to spoil one at a time."""

from dataclasses import replace
from typing import Any

from replicator.doctor.findings import Finding, Findings
from replicator.doctor.mysql_facts import ColumnFacts, MySqlFacts, SchemaFacts, TableFacts
from replicator.doctor.redis_checks import StreamFacts
from replicator.tables import TableName, TableSpec, WatchedTables
from versioning import stamp as stamps
from versioning.backends.base import StreamState
from versioning.backends.redis_facts import RedisFacts
from versioning.checkpoint import Checkpoint
from versioning.entries import Entry, Heartbeat
from versioning.keys import KeyTemplate

NOW_MS = 1_800_000_000_000
WINDOW_MS = 2_100_000
ITEM = TableName("shop", "item")

MARIADB = {
    "version": "10.11.6-MariaDB-log",
    "server_id": "1",
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_checksum": "CRC32",
    "log_bin_compress": "OFF",
    "binlog_expire_logs_seconds": "259200",
    "gtid_strict_mode": "ON",
    "mysql56_temporal_format": "ON",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "read_only": "OFF",
    "log_slave_updates": "ON",
    "time_zone": "SYSTEM",
    "system_time_zone": "UTC",
}
MYSQL = {
    "version": "8.4.3",
    "server_id": "1",
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_checksum": "CRC32",
    "binlog_transaction_compression": "OFF",
    "binlog_row_value_options": "",
    "binlog_expire_logs_seconds": "2592000",
    "binlog_expire_logs_auto_purge": "ON",
    "gtid_mode": "ON",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "read_only": "OFF",
    "log_replica_updates": "ON",
    "time_zone": "+00:00",
}
GRANTS = (
    "GRANT REPLICATION SLAVE, BINLOG MONITOR, SLAVE MONITOR ON *.* TO `stampline_source`@`%`",
    "GRANT SELECT, REFERENCES ON `shop`.* TO `stampline_source`@`%`",
)
RUNNING = {
    "Slave_IO_Running": "Yes",
    "Slave_SQL_Running": "Yes",
    "Seconds_Behind_Master": 0,
    "SQL_Delay": 0,
    "Using_Gtid": "Slave_Pos",
    "Replicate_Ignore_DB": "",
}

PRIMARY = MySqlFacts("source", "a:3306", account="'stampline_source'@'%'", variables=MARIADB, grants=GRANTS)
PRIMARY_MYSQL = replace(PRIMARY, variables=MYSQL)
REPLICA = MySqlFacts(
    "gate b1",
    "b:3306",
    account="'stampline_gate'@'%'",
    variables=MARIADB | {"server_id": "2", "read_only": "ON"},
    replication=(RUNNING,),
)

TABLES = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"),)),))
TABLE = TableFacts(ITEM, (ColumnFacts("id", "bigint", "bigint(20) unsigned"),))
SCHEMA = SchemaFacts((TABLE,))

REDIS = RedisFacts("r:6379", "7.0.15", "master", "noeviction", 0, 1_000_000, True, False, 0, True, 0, 1)


def entry(ms: int, nonce: str, previous: str) -> Entry:
    return Entry(stamps.make(ms), nonce, previous, Heartbeat(ms))


def stream(**changes: Any) -> StreamFacts:
    """A stream of more than one window, its source a second behind."""
    checkpoints = {"source:mysql-a": Checkpoint("0-1-9", NOW_MS - 1_000, "n9")}
    facts = StreamFacts(
        role="stream",
        address="r:6379",
        servers=(REDIS,),
        state=StreamState(stamps.make(NOW_MS), "n9", stamps.ZERO, "d1", checkpoints),
        oldest=entry(NOW_MS - WINDOW_MS - 60_000, "n1", "n0"),
        newest=entry(NOW_MS, "n9", "n8"),
        now_ms=NOW_MS,
        window_ms=WINDOW_MS,
        writers=("source:mysql-a",),
        digest="d1",
    )
    return replace(facts, **changes)


def with_variables(facts: MySqlFacts, **variables: str) -> MySqlFacts:
    return replace(facts, variables={**facts.variables, **variables})


def replicating(**status: Any) -> MySqlFacts:
    return replace(REPLICA, replication=(RUNNING | status,))


def the_one(findings: Findings) -> Finding:
    found = list(findings)
    assert len(found) == 1, found
    return found[0]


def case_id(value: object) -> str:
    """Name a case by what is expected, not by its facts."""
    return value if isinstance(value, str) else ""
