"""The doctor's checks of MySQL servers, from facts alone."""

from dataclasses import replace

import pytest

from replicator.doctor.binlog_checks import Retention, check_binlog
from replicator.doctor.findings import Severity
from replicator.doctor.grant_checks import gate_may_ask, may, source_may_read
from replicator.doctor.mysql_facts import MySqlFacts
from replicator.doctor.replica_checks import GateContext, check_gate
from replicator.tables import TableName
from tests.replicator.doctor_facts import (
    GRANTS,
    MYSQL,
    PRIMARY,
    PRIMARY_MYSQL,
    REPLICA,
    RUNNING,
    case_id,
    replicating,
    the_one,
    with_variables,
)

WANTED = Retention(window_s=2100, outage_s=86_400)
CONTEXT = GateContext(limit_ms=10_000, max_lag_ms=15_000, source_id=1)
ERROR, WARNING = Severity.ERROR, Severity.WARNING


@pytest.mark.parametrize(
    "facts",
    [
        PRIMARY,
        PRIMARY_MYSQL,
        with_variables(PRIMARY, log_slave_updates="OFF", wsrep_on="OFF"),
        replace(with_variables(PRIMARY, wsrep_on="ON"), replication=(RUNNING,)),
    ],
    ids=["mariadb", "mysql", "lone", "galera"],
)
def test_a_proper_primary_has_no_findings(facts: MySqlFacts) -> None:
    assert list(check_binlog(facts, WANTED)) == []
    assert list(source_may_read(facts)) == []


@pytest.mark.parametrize(
    ("facts", "check", "severity", "fix"),
    [
        (with_variables(PRIMARY, log_bin="OFF"), "log_bin", ERROR, "log_bin = binlog"),
        (with_variables(PRIMARY, binlog_format="MIXED"), "binlog_format", ERROR, "SET GLOBAL binlog_format = 'ROW';"),
        (with_variables(PRIMARY, mysql56_temporal_format="OFF"), "mysql56_temporal_format", ERROR, "'ON';"),
        (with_variables(PRIMARY, binlog_row_image="NOBLOB"), "binlog_row_image", WARNING, "'FULL';"),
        (with_variables(PRIMARY, binlog_row_metadata="MINIMAL"), "binlog_row_metadata", WARNING, "'FULL';"),
        (with_variables(PRIMARY, binlog_checksum="NONE"), "binlog_checksum", WARNING, "'CRC32';"),
        (with_variables(PRIMARY, log_bin_compress="ON"), "log_bin_compress", WARNING, "'OFF';"),
        (with_variables(PRIMARY, sync_binlog="100"), "sync_binlog", WARNING, "SET GLOBAL sync_binlog = 1;"),
        (
            with_variables(PRIMARY, innodb_flush_log_at_trx_commit="2"),
            "innodb_flush_log_at_trx_commit",
            WARNING,
            "= 1;",
        ),
        (with_variables(PRIMARY, gtid_strict_mode="OFF"), "gtid_strict_mode", WARNING, "gtid_strict_mode = 'ON';"),
        (with_variables(PRIMARY, max_binlog_total_size="4096"), "binlog_total_size", WARNING, "= 0;"),
        (
            with_variables(PRIMARY_MYSQL, binlog_transaction_compression="ON"),
            "binlog_transaction_compression",
            WARNING,
            "SET GLOBAL binlog_transaction_compression = 'OFF';",
        ),
        (
            with_variables(PRIMARY_MYSQL, binlog_row_value_options="PARTIAL_JSON"),
            "binlog_row_value_options",
            WARNING,
            "SET GLOBAL binlog_row_value_options = '';",
        ),
        (with_variables(PRIMARY_MYSQL, gtid_mode="OFF"), "gtid_mode", WARNING, "enforce_gtid_consistency = ON"),
        (replace(PRIMARY, binlog_filters=("binlog_do_db=shop",)), "binlog_filters", ERROR, "take binlog_do_db out"),
        (
            replace(with_variables(PRIMARY, log_slave_updates="OFF"), replication=(RUNNING,)),
            "log_slave_updates",
            ERROR,
            "log_slave_updates = ON",
        ),
        (
            with_variables(PRIMARY, log_slave_updates="OFF", wsrep_on="ON"),
            "log_slave_updates",
            ERROR,
            "write log_slave_updates = ON into my.cnf",
        ),
    ],
    ids=case_id,
)
def test_a_binlog_unfit_for_a_source_is_named_with_its_fix(
    facts: MySqlFacts, check: str, severity: Severity, fix: str
) -> None:
    found = the_one(check_binlog(facts, WANTED))
    assert (found.check, found.severity, found.subject) == (check, severity, "source a:3306")
    assert fix in found.fix


@pytest.mark.parametrize(
    ("variables", "severity", "fix"),
    [
        ({"binlog_expire_logs_seconds": "1800"}, ERROR, "binlog_expire_logs_seconds = 172800"),
        ({"binlog_expire_logs_seconds": "2100"}, WARNING, "binlog_expire_logs_seconds = 172800"),
    ],
)
def test_binlogs_that_end_too_soon_are_named(variables: dict[str, str], severity: Severity, fix: str) -> None:
    found = the_one(check_binlog(with_variables(PRIMARY, **variables), WANTED))
    assert (found.check, found.severity) == ("binlog_retention", severity)
    assert fix in found.fix


def test_an_old_server_counts_days() -> None:
    variables = {name: value for name, value in PRIMARY.variables.items() if name != "binlog_expire_logs_seconds"}
    old = replace(PRIMARY, variables=variables | {"expire_logs_days": "1"})
    assert "expire_logs_days = 2" in the_one(check_binlog(old, WANTED)).fix


@pytest.mark.parametrize("changes", [{"binlog_expire_logs_seconds": "0"}, {"binlog_expire_logs_auto_purge": "OFF"}])
def test_binlogs_that_are_kept_for_ever_are_kept_long_enough(changes: dict[str, str]) -> None:
    facts = with_variables(PRIMARY_MYSQL, **({"binlog_expire_logs_seconds": "60"} | changes))
    assert list(check_binlog(facts, WANTED)) == []


def test_a_source_without_its_rights_is_told_the_grants() -> None:
    poor = replace(PRIMARY, grants=GRANTS[1:], binlog_filters=None)
    assert [finding.fix for finding in source_may_read(poor)] == [
        "GRANT REPLICATION SLAVE ON *.* TO 'stampline_source'@'%';",
        "GRANT REPLICATION CLIENT ON *.* TO 'stampline_source'@'%';",
    ]


@pytest.mark.parametrize(
    ("line", "privilege", "table", "is_given"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", "SELECT", "item", True),
        ("GRANT SELECT, REFERENCES ON `shop`.* TO `u`@`%`", "REFERENCES", "item", True),
        ("GRANT SELECT ON `sh%`.* TO `u`@`%`", "SELECT", "item", True),
        ("GRANT SELECT ON `sho\\_`.* TO `u`@`%`", "SELECT", "item", False),
        ("GRANT SELECT ON `shop`.`item` TO `u`@`%`", "SELECT", "item", True),
        ("GRANT SELECT ON `shop`.`item` TO `u`@`%`", "SELECT", "other", False),
        ("GRANT SELECT (id, name), UPDATE (name) ON `shop`.`item` TO `u`@`%`", "SELECT", "item", True),
        ("GRANT SELECT ON `shop`.* TO `u`@`%`", "REPLICATION SLAVE", None, False),
        ("GRANT USAGE ON *.* TO `u`@`%`", "SELECT", "item", False),
        ("GRANT SELECT ON `shop`.`an ``item` TO 'u'@'10.0.0.%'", "SELECT", "an `item", True),
        ("GRANT `reader` TO `u`@`%`", "SELECT", "item", False),
    ],
)
def test_grants_are_read_as_the_server_means_them(
    line: str,
    privilege: str,
    table: str | None,
    is_given: bool,  # noqa: FBT001
) -> None:
    assert may([line], privilege, TableName("shop", table) if table else None) is is_given


def test_a_proper_replica_has_no_findings() -> None:
    assert list(check_gate(REPLICA, CONTEXT)) == []
    assert list(gate_may_ask(REPLICA)) == []


@pytest.mark.parametrize(
    ("facts", "check", "severity", "fix"),
    [
        (replicating(Slave_SQL_Running="No", Last_SQL_Error="dup"), "replication_stopped", ERROR, "START SLAVE;"),
        (replicating(Seconds_Behind_Master=60), "replica_lag", WARNING, "SHOW PROCESSLIST;"),
        (replicating(SQL_Delay=3600), "replica_delay", ERROR, "CHANGE MASTER TO MASTER_DELAY = 0;"),
        (replicating(Replicate_Do_DB="shop"), "replica_filter", ERROR, "SET GLOBAL replicate_do_db = '';"),
        (replicating(Replicate_Wild_Ignore_Table="tmp.%"), "replica_filter", ERROR, "replicate_wild_ignore_table = ''"),
        (
            replicating(Replicate_Rewrite_DB="shop->old"),
            "replica_filter",
            ERROR,
            "SET GLOBAL replicate_rewrite_db = '';",
        ),
        (replicating(Replicate_Ignore_Domain_Ids="0, 7"), "replica_filter", ERROR, "MASTER TO IGNORE_DOMAIN_IDS = ();"),
        (
            with_variables(REPLICA, replicate_events_marked_for_skip="FILTER_ON_SLAVE"),
            "replica_filter",
            ERROR,
            "SET GLOBAL replicate_events_marked_for_skip = 'REPLICATE';",
        ),
        (with_variables(REPLICA, slave_skip_errors="1032,1062"), "replica_errors", ERROR, "take slave_skip_errors out"),
        (
            with_variables(REPLICA, slave_exec_mode="IDEMPOTENT"),
            "replica_errors",
            WARNING,
            "SET GLOBAL slave_exec_mode = 'STRICT';",
        ),
        (replicating(Using_Gtid="No"), "replica_gtid", WARNING, "MASTER_USE_GTID = slave_pos;"),
        (with_variables(REPLICA, read_only="OFF"), "read_only", WARNING, "SET GLOBAL read_only = ON;"),
        (with_variables(REPLICA, gtid_strict_mode="OFF"), "gtid_strict_mode", WARNING, "gtid_strict_mode = 'ON';"),
        (replace(REPLICA, replication=()), "replication", ERROR, "START SLAVE;"),
    ],
    ids=case_id,
)
def test_a_replica_that_keeps_the_gate_shut_is_named_with_its_fix(
    facts: MySqlFacts, check: str, severity: Severity, fix: str
) -> None:
    found = the_one(check_gate(facts, CONTEXT))
    assert (found.check, found.severity, found.subject) == (check, severity, "gate b1 b:3306")
    assert fix in found.fix


def test_a_replica_that_cannot_connect_is_not_mended_by_a_start() -> None:
    status = {"Slave_IO_Running": "Connecting", "Last_IO_Error": "error connecting to primary"}
    found = the_one(check_gate(replicating(**status), CONTEXT))
    assert (found.check, found.severity) == ("replication_stopped", ERROR)
    assert found.what == "it does not reach its primary, and tries again: error connecting to primary"
    assert found.fix.startswith("start its primary, or where that has moved: STOP SLAVE; CHANGE MASTER TO MASTER_HOST")


def test_a_stopped_replica_shows_its_own_error() -> None:
    found = the_one(check_gate(replicating(Slave_SQL_Running="No", Last_SQL_Error="duplicate key"), CONTEXT))
    assert "(SQL thread): duplicate key" in found.what
    assert found.fix == "mend what it says, or rebuild it; then START SLAVE;"


def test_a_replica_that_was_stopped_and_is_written_may_be_a_primary_by_now() -> None:
    """To start it again, or to make it read-only, would undo a failover."""
    status = {"Slave_IO_Running": "No", "Slave_SQL_Running": "No"}
    stopped = replicating(**status)
    assert the_one(check_gate(stopped, CONTEXT)).fix == "START SLAVE;"
    found = the_one(check_gate(with_variables(stopped, read_only="OFF"), CONTEXT))
    assert found.fix == "where it is a primary now: RESET SLAVE ALL; else START SLAVE;"
    assert "it takes writes" in found.what
    named = with_variables(replicating(**status, Connection_name="from_a"), read_only="OFF")
    assert "RESET SLAVE 'from_a' ALL;" in the_one(check_gate(named, CONTEXT)).fix


def test_mysql_8_4_is_spoken_to_in_its_own_words() -> None:
    status = {"Replica_IO_Running": "No", "Replica_SQL_Running": "Yes", "Seconds_Behind_Source": None}
    facts = replace(REPLICA, variables=MYSQL | {"read_only": "ON"}, replication=(status,))
    assert the_one(check_gate(facts, CONTEXT)).fix == "START REPLICA;"
    status = {"Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes", "Replicate_Ignore_Server_Ids": "3"}
    fix = the_one(check_gate(replace(facts, replication=(status,)), CONTEXT)).fix
    assert "CHANGE REPLICATION SOURCE TO IGNORE_SERVER_IDS = ();" in fix


def test_a_replica_of_mysql_that_passes_over_errors_is_named_under_the_new_names() -> None:
    status = {"Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes"}
    told = MYSQL | {"read_only": "ON", "replica_skip_errors": "OFF", "replica_exec_mode": "IDEMPOTENT"}
    facts = replace(REPLICA, variables=told, replication=(status,))
    assert the_one(check_gate(facts, CONTEXT)).fix.startswith("SET GLOBAL replica_exec_mode = 'STRICT';")


def test_a_channel_of_mysql_is_named_in_every_statement() -> None:
    status = {"Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes", "SQL_Delay": 3600, "Channel_Name": "from_a"}
    newer = replace(REPLICA, variables=MYSQL | {"read_only": "ON"}, replication=(status,))
    older = with_variables(newer, version="8.0.36")
    at = "FOR CHANNEL 'from_a';"
    assert [the_one(check_gate(facts, CONTEXT)).fix for facts in (newer, older)] == [
        f"STOP REPLICA {at} CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 0 {at} START REPLICA {at}",
        f"STOP SLAVE {at} CHANGE MASTER TO MASTER_DELAY = 0 {at} START SLAVE {at}",
    ]


def test_the_primary_itself_may_be_listed_unless_semi_sync_hides_its_commits() -> None:
    primary = replace(PRIMARY, role="gate a")
    assert list(check_gate(primary, CONTEXT)) == []
    waiting = {"rpl_semi_sync_master_enabled": "ON", "rpl_semi_sync_master_wait_point": "AFTER_SYNC"}
    assert the_one(check_gate(with_variables(primary, **waiting), CONTEXT)).check == "semi_sync"


def test_a_lone_server_is_only_doubted_where_the_source_is_not_known() -> None:
    found = the_one(check_gate(replace(REPLICA, replication=()), GateContext(10_000, 15_000)))
    assert found.severity is WARNING


def test_a_gate_without_its_right_is_told_the_grant() -> None:
    fixes = [the_one(gate_may_ask(replace(facts, replication=None))).fix for facts in (REPLICA, PRIMARY_MYSQL)]
    assert fixes == [
        "GRANT SLAVE MONITOR ON *.* TO 'stampline_gate'@'%';",
        "GRANT REPLICATION CLIENT ON *.* TO 'stampline_source'@'%';",
    ]
