"""Asks a MySQL or MariaDB for its facts. Reads only; one schema of information_schema at a time.

Only what nobody needs a right for may fail here: a missing grant is a fact, an unreachable server an error.
"""

import time
from typing import Any, Final

from replicator.binlog.foreign_keys import ForeignKeys
from replicator.binlog.schema import Column, Schema
from replicator.doctor.mysql_facts import ColumnFacts, MySqlFacts, SchemaFacts, TableFacts
from replicator.errors import MySqlAuthenticationError
from replicator.mysql import MySqlClient, binlog_filters, replica_status
from replicator.server_version import VERSION_VARIABLES
from replicator.tables import TableSpec, WatchedTables
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.tls_dates import CertificateDates, dates_between

VARIABLES: Final = (
    *VERSION_VARIABLES, "server_id", "server_uuid", "server_uid", "log_bin", "binlog_format", "binlog_row_image",
    "binlog_row_metadata", "binlog_checksum", "log_bin_compress", "binlog_transaction_compression",
    "binlog_row_value_options", "expire_logs_days", "binlog_expire_logs_seconds", "binlog_expire_logs_auto_purge",
    "max_binlog_total_size", "gtid_binlog_pos", "gtid_slave_pos", "gtid_executed",
    "mysql56_temporal_format", "sync_binlog", "innodb_flush_log_at_trx_commit", "read_only", "log_slave_updates",
    "log_replica_updates", "wsrep_on", "time_zone", "system_time_zone", "rpl_semi_sync_master_enabled",
    "rpl_semi_sync_master_wait_point", "slave_skip_errors", "replica_skip_errors", "slave_exec_mode",
    "replica_exec_mode", "replicate_events_marked_for_skip",
)  # fmt: skip

# One schema and no join, as in ``Schema``.
_ENGINE: Final = "SELECT engine FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"


def ask_server(role: str, address: MySqlAddress) -> MySqlFacts:
    """Raises SourceError where the server cannot be asked at all."""
    client = MySqlClient(address)
    try:
        variables = client.variables(*VARIABLES)
        offset_ms, error_ms = _clock(client)
        return MySqlFacts(
            role=role,
            address=str(address),
            account=_account(client),
            variables=variables,
            grants=tuple(str(row[0]) for row in client.query("SHOW GRANTS")),
            binlog_filters=_binlog_filters(client),
            replication=_replication(client),
            clock_offset_ms=offset_ms,
            clock_error_ms=error_ms,
            is_tls=_is_tls(client),
            is_verified=address.ssl_ca is not None,
            certificate=_certificate(client),
        )
    finally:
        client.close()


def ask_schema(address: MySqlAddress, tables: WatchedTables) -> SchemaFacts:
    """Raises SourceError."""
    client = MySqlClient(address)
    try:
        schema = Schema(client)
        facts = tuple(_table(client, schema, spec) for spec in tables.specs)
        keys = ForeignKeys(client)
        return SchemaFacts(facts, tuple(keys.reaching(tables.by_name)), tuple(keys.unseen(tables)))
    finally:
        client.close()


def _account(client: MySqlClient) -> str:
    user, _, host = str(client.query("SELECT CURRENT_USER()")[0][0]).rpartition("@")
    return "'{}'@'{}'".format(*(part.replace("'", "''") for part in (user, host)))


def _clock(client: MySqlClient) -> tuple[int, int]:
    before_ns = time.time_ns()
    # Not UNIX_TIMESTAMP of a local time: that is two moments in the hour that comes twice when summer time ends.
    ((now_us,),) = client.query("SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3))")
    after_ns = time.time_ns()
    offset_ms = now_us // 1000 - (before_ns + after_ns) // 2_000_000
    return offset_ms, (after_ns - before_ns) // 2_000_000 + 1


def _is_tls(client: MySqlClient) -> bool:
    return any(value for _, value in client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))


def _certificate(client: MySqlClient) -> CertificateDates | None:
    names = ("Ssl_server_not_before", "Ssl_server_not_after")
    status = dict(client.query("SHOW SESSION STATUS WHERE Variable_name IN (%s, %s)", names))
    return dates_between(*(status.get(name, "") for name in names))


def _binlog_filters(client: MySqlClient) -> tuple[str, ...] | None:
    try:
        return tuple(binlog_filters(client))
    except MySqlAuthenticationError:
        return None


def _replication(client: MySqlClient) -> tuple[dict[str, Any], ...] | None:
    rows = replica_status(client)
    return None if rows is None else tuple(rows)


def _table(client: MySqlClient, schema: Schema, spec: TableSpec) -> TableFacts:
    columns = tuple(_column(schema, spec, column) for column in schema.columns(spec.name))
    if not columns:
        return TableFacts(spec.name)
    engines = client.query(_ENGINE, spec.name)
    return TableFacts(
        name=spec.name,
        columns=columns,
        has_primary_key=schema.has_primary_key(spec.name),
        shows_constraints=schema.shows_constraints(spec.name),
        engine=str(engines[0][0]) if engines else "",
        spelling=schema.spelling(spec.name),
    )


def _column(schema: Schema, spec: TableSpec, column: Column) -> ColumnFacts:
    kind = schema.key_type(spec.name, column) if column.name in spec.columns else column.data_type
    return ColumnFacts(
        column.name, kind, column.column_type, column.charset, column.collation, is_virtual=column.is_virtual
    )
