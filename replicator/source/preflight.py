"""Checks before a source starts. Each refusal is one line that names the fix; nothing here changes anything."""

from collections.abc import Container, Mapping

from replicator.binlog.columns import BYTE_TYPES, CHARSETS, KEY_TYPES, is_compressed
from replicator.binlog.foreign_keys import ForeignKeys
from replicator.binlog.schema import Column, Schema
from replicator.errors import OtherWriterError, PreflightError
from replicator.mysql import (
    MySqlClient,
    ServerFacts,
    binlog_filters,
    hides_applied_changes,
    replica_status,
    server_facts,
)
from replicator.tables import TableName, TableSpec, WatchedTables
from versioning.backends.mysql_address import MySqlAddress
from versioning.checkpoint import Checkpoint
from versioning.keys import KeyTemplate
from versioning.limits import MAX_LAG_MS


def check_mysql(address: MySqlAddress, tables: WatchedTables) -> None:
    """Raises PreflightError or SourceError: ONE line that names the fix."""
    client = MySqlClient(address)
    try:
        check_server(client, server_facts(client))
        check_tables(client, tables)
    finally:
        client.close()


def check_server(client: MySqlClient, facts: ServerFacts) -> None:
    """Raises PreflightError when this server's binlog cannot feed a source."""
    where = f"MySQL {client.address}"
    if facts.variables.get("log_bin", "OFF").upper() not in {"ON", "1"}:
        raise PreflightError(f"{where} writes no binlog", hint="set log_bin in my.cnf and restart it")
    binlog_format = facts.variables.get("binlog_format", "ROW").upper()  # newer servers know no other
    if binlog_format != "ROW":
        raise PreflightError(f"{where} has binlog_format={binlog_format}", hint="set binlog_format=ROW in my.cnf")
    if facts.variables.get("mysql56_temporal_format", "ON").upper() == "OFF":
        raise PreflightError(
            f"{where} writes old temporal columns", hint="set mysql56_temporal_format=ON and rebuild the tables"
        )
    _check_filters(client, where)
    hiding = hides_applied_changes(facts.variables, is_replica=bool(replica_status(client)))
    if hiding:
        raise PreflightError(
            f"{where} keeps what it applies for its primary or cluster out of its binlog",
            hint=f"set {hiding}=ON in my.cnf and restart it, or read the primary",
        )


def check_tables(client: MySqlClient, tables: WatchedTables) -> None:
    """Raises PreflightError at the first watched table or template that does not fit."""
    schema = Schema(client)
    for spec in tables.specs:
        columns = {column.name: column for column in schema.columns(spec.name)}
        if not columns:
            hint = "create it, correct the [[table]] setting, or GRANT SELECT on it"
            raise PreflightError(f"table {spec.name} does not exist or may not be read", hint=hint)
        _check_spelling(schema, spec)
        if not schema.has_primary_key(spec.name):
            raise PreflightError(f"table {spec.name} has no primary key", hint="add one with ALTER TABLE")
        if not schema.shows_constraints(spec.name):
            raise _unseen(client, spec.name)
        for template in spec.templates:
            for name in template.columns:
                _check_column(schema, spec, name, columns, template)
    for table in ForeignKeys(client).unseen(tables):
        raise _unseen(client, table)


def _unseen(client: MySqlClient, table: TableName) -> PreflightError:
    hint = f"GRANT REFERENCES ON `{table.database}`.* TO {client.address.user}: it is the least that shows them"
    return PreflightError(f"the foreign keys of {table} cannot be seen", hint=hint)


def check_writers(checkpoints: Mapping[str, Checkpoint], writer: str, now_ms: int) -> None:
    """Raises OtherWriterError while a mirror, or a source of another name, writes to the stream."""
    for name in other_writers(checkpoints, {writer}, now_ms):
        raise OtherWriterError(
            f"{name} writes to this stream, and its heartbeats would vouch for the keys of {writer} too",
            hint="one source.name for all sources of one MySQL; for another MySQL another stream.name",
        )


def other_writers(checkpoints: Mapping[str, Checkpoint], ours: Container[str], now_ms: int) -> list[str]:
    """Return the writers of a stream that are not ours and were heard of while followers would still vouch."""
    return [name for name, found in checkpoints.items() if name not in ours and now_ms - found.read_ms <= MAX_LAG_MS]


def _check_filters(client: MySqlClient, where: str) -> None:
    for found in binlog_filters(client):
        raise PreflightError(f"{where} leaves databases out of its binlog: {found}", hint="remove it from my.cnf")


def _check_spelling(schema: Schema, spec: TableSpec) -> None:
    """With lower_case_table_names any spelling is found, and the binlog names the table by the server's own."""
    found = schema.spelling(spec.name)
    if found not in {None, spec.name}:
        raise PreflightError(f"table {spec.name} has another name in the binlog", hint=f"it is spelled {found}")


def _check_column(
    schema: Schema, spec: TableSpec, name: str, columns: dict[str, Column], template: KeyTemplate
) -> None:
    what = f"key template {template.text!r}: column {name} of {spec.name}"
    column = columns.get(name)
    if column is None:
        near = next((other for other in columns if other.lower() == name.lower()), None)
        hint = f"it is spelled {near}" if near else f"it has {', '.join(sorted(columns))}"
        raise PreflightError(f"{what} does not exist", hint=hint)
    kind = schema.key_type(spec.name, column)
    if kind not in KEY_TYPES:
        raise PreflightError(f"{what} has type {kind}", hint="use a column of a plain type in the key")
    if is_compressed(column.column_type):
        raise PreflightError(f"{what} is COMPRESSED", hint="MODIFY it with ALTER TABLE, or use another one in the key")
    if kind in BYTE_TYPES and template.has_filter(name):
        raise PreflightError(f"{what} has type {kind}, which takes no filter", hint=f"write {{{name}}}")
    if column.charset is not None and column.charset not in CHARSETS:
        raise PreflightError(f"{what} has character set {column.charset}", hint="convert the column to utf8mb4")
