"""Do the watched tables fit their key templates? (hazards of keys, foreign keys and collations)"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from replicator.binlog.columns import BYTE_TYPES, CHARSETS, DATA_TYPES, KEY_TYPES, is_compressed
from replicator.binlog.plan import ForeignKey, make_plans
from replicator.doctor.findings import Finding, Findings, Subject
from replicator.doctor.grant_checks import may
from replicator.doctor.mysql_facts import ColumnFacts, MySqlFacts, SchemaFacts, TableFacts
from replicator.tables import TableName, TableSpec, WatchedTables
from versioning.keys import KeyTemplate

_TOLD: Final = frozenset({
    "json", "vector", "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
    "geometrycollection", "geomcollection",
}).union(KEY_TYPES, *DATA_TYPES.values())  # fmt: skip
"""Types that are told from the events alone, or with what information_schema says."""

_UTC: Final = frozenset({"+00:00", "utc", "etc/utc"})


def check_tables(server: MySqlFacts, schema: SchemaFacts, tables: WatchedTables) -> Findings:
    for facts in schema.tables:
        spec = tables.by_name[facts.name]
        subject = Subject(f"table {facts.name}")
        if not facts.columns:
            yield from _absent(subject, facts.name, server)
            continue
        yield from spelling(subject, facts)
        yield from untold_types(subject, facts, server)
        yield from primary_key(subject, facts)
        yield from constraints(subject, facts, server)
        yield from engine(subject, facts)
        yield from virtual_columns(subject, facts, spec, server)
        yield from _columns(subject, facts, spec)
    for table in schema.unseen_tables:
        yield _unseen(Subject(f"table {table}"), table, server)
    yield from cascades(schema.foreign_keys, tables)


def check_time_zones(servers: Iterable[MySqlFacts], schema: SchemaFacts, tables: WatchedTables) -> Findings:
    """Keys write a TIMESTAMP in UTC; sessions of loaders must see it so. ``servers``: those that loads read from."""
    stamped = [
        f"{facts.name}.{column.name}"
        for facts in schema.tables
        for column in facts.columns
        if column.data_type == "timestamp" and column.name in tables.by_name[facts.name].columns
    ]
    for server in servers:
        zone = _zone(server)
        if stamped and zone not in _UTC:
            what = (
                f"sessions are in time zone {zone or 'unknown'}, and keys are made from TIMESTAMP {', '.join(stamped)}"
            )
            fix = "SET GLOBAL time_zone = '+00:00'; or SET time_zone = '+00:00'; in every session that makes keys of it"
            yield server.subject.warning("time_zone", what, fix)


def _zone(server: MySqlFacts) -> str:
    zone = server.variable("time_zone", "system")
    return server.variable("system_time_zone") if zone == "system" else zone


def _absent(subject: Subject, name: TableName, server: MySqlFacts) -> Findings:
    if may(server.grants, "SELECT", name):
        fix = f"CREATE TABLE `{name.database}`.`{name.table}` (...); or correct its [[table]] section"
        yield subject.error("table", f"it does not exist on {server.address}", fix)
    else:
        fix = f"GRANT SELECT, REFERENCES ON `{name.database}`.* TO {server.account};"
        yield subject.error("grant_select", f"it does not exist on {server.address}, or may not be read", fix)


def spelling(subject: Subject, facts: TableFacts) -> Findings:
    """With lower_case_table_names any spelling is found, and the binlog names the table by the server's own."""
    if facts.spelling not in {None, facts.name}:
        what = f"the binlog names it {facts.spelling}: none of its changes is ever stamped"
        yield subject.error("table_spelling", what, f'write name = "{facts.spelling}" in its [[table]] section')


def untold_types(subject: Subject, facts: TableFacts, server: MySqlFacts) -> Findings:
    strange = [f"{column.name} {column.data_type}" for column in facts.columns if column.data_type not in _TOLD]
    if strange and server.variable("binlog_row_metadata", "full") != "full":
        what = f"no row of it can be decoded without full metadata, for {', '.join(strange)}: each change ages out all"
        fix = "SET GLOBAL binlog_row_metadata = 'FULL'; and binlog_row_metadata = FULL in my.cnf"
        yield subject.error("table_undecodable", what, fix)


def primary_key(subject: Subject, facts: TableFacts) -> Findings:
    if not facts.has_primary_key:
        has_id = any(column.name == "id" for column in facts.columns)
        added = "PRIMARY KEY (id)" if has_id else "COLUMN id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY"
        fix = f"ALTER TABLE {_quoted(facts.name)} ADD {added};"
        yield subject.error("primary_key", "it has no primary key: replicas apply its changes by scanning it", fix)


def constraints(subject: Subject, facts: TableFacts, server: MySqlFacts) -> Findings:
    # A primary key is a constraint: where there is one and none is seen, the grant is missing.
    if facts.has_primary_key and not facts.shows_constraints:
        yield _unseen(subject, facts.name, server)


def _unseen(subject: Subject, name: TableName, server: MySqlFacts) -> Finding:
    fix = f"GRANT REFERENCES ON `{name.database}`.* TO {server.account};"
    return subject.error("grant_references", "its foreign keys cannot be seen", fix)


def engine(subject: Subject, facts: TableFacts) -> Findings:
    if facts.engine.lower() != "innodb":
        what = f"engine {facts.engine} has no transactions: a crash may leave rows that no binlog event names"
        yield subject.warning("engine", what, f"ALTER TABLE {_quoted(facts.name)} ENGINE = InnoDB;")


def virtual_columns(subject: Subject, facts: TableFacts, spec: TableSpec, server: MySqlFacts) -> Findings:
    """Rows that lack such a column (MINIMAL images) are applied without it, and it is logged as it was before them."""
    names = [column.name for column in facts.columns if column.is_virtual and column.name in spec.columns]
    if names and server.applies_for_others:
        what = (
            f"{', '.join(names)} of its key templates is VIRTUAL, and the source reads what {server.address} applies "
            "for others: each of these changes ages out the whole namespace"
        )
        redefined = ", ".join(f"DROP COLUMN `{name}`, ADD COLUMN `{name}` ... STORED" for name in names)
        fix = f"ALTER TABLE {_quoted(facts.name)} {redefined}; or let the source read the primary"
        yield subject.warning("virtual_column", what, fix)


def _columns(subject: Subject, facts: TableFacts, spec: TableSpec) -> Findings:
    known = {column.name: column for column in facts.columns}
    for template in spec.templates:
        for name in template.columns:
            column = known.get(name)
            if column is None:
                yield from _no_column(subject, template, name, known)
                continue
            for check in COLUMN_CHECKS:
                yield from check(subject, facts.name, template, column)


def _no_column(subject: Subject, template: KeyTemplate, name: str, known: Iterable[str]) -> Findings:
    near = next((other for other in known if other.lower() == name.lower()), None)
    fix = f"write {{{near}}} in the template" if near else f"use one of {', '.join(sorted(known))}"
    yield subject.error("column", f"key template {template.text} names column {name}, which it lacks", fix)


def column_type(subject: Subject, table: TableName, template: KeyTemplate, column: ColumnFacts) -> Findings:
    what = f"column {column.name} of key template {template.text} has type {column.data_type}"
    if is_compressed(column.column_type):
        fix = f"ALTER TABLE {_quoted(table)} MODIFY `{column.name}` without COMPRESSED; or take another into the key"
        yield subject.error("column_type", f"{what} COMPRESSED", fix)
    elif column.data_type not in KEY_TYPES:
        yield subject.error("column_type", what, "take a column of a number, text, binary or time type into the key")


def column_filter(subject: Subject, table: TableName, template: KeyTemplate, column: ColumnFacts) -> Findings:
    del table
    if column.data_type in BYTE_TYPES and template.has_filter(column.name):
        what = f"column {column.name} of key template {template.text} has type {column.data_type}: bytes have no case"
        yield subject.error("column_filter", what, f"write {{{column.name}}} in the template")


def column_charset(subject: Subject, table: TableName, template: KeyTemplate, column: ColumnFacts) -> Findings:
    if column.charset is not None and column.charset not in CHARSETS:
        what = f"column {column.name} of key template {template.text} has character set {column.charset}"
        fix = f"ALTER TABLE {_quoted(table)} MODIFY `{column.name}` {column.column_type} CHARACTER SET utf8mb4 ...;"
        yield subject.error("column_charset", what, fix)


def column_spellings(subject: Subject, table: TableName, template: KeyTemplate, column: ColumnFacts) -> Findings:
    """Spellings that MySQL takes for one value and that make two keys: what is loaded by one is never stamped."""
    collation = (column.collation or "").lower()
    if collation.endswith("_ci") and _differ(template, column.name, "a", "A"):
        fix = f"write {_with_filter(template, column.name, 'lower')} in the template"
        yield subject.warning("collation_case", _two_keys(template, column, "upper and lower case"), fix)
    if _ignores_padding(collation, column) and _differ(template, column.name, "a", "a "):
        fix = f"write {_with_filter(template, column.name, 'trim')} in the template"
        yield subject.warning("collation_padding", _two_keys(template, column, "spellings with spaces at the end"), fix)
    accents = _accents(collation, column)
    if accents and _differ(template, column.name, "e\u0301", "\u00e9"):
        fix = (
            f"ALTER TABLE {_quoted(table)} MODIFY `{column.name}` {column.column_type} CHARACTER SET utf8mb4 "
            "COLLATE utf8mb4_bin ...; (with its NULL, DEFAULT and COMMENT, which are lost otherwise), "
            "or let the loader refuse a row whose value is not the key's"
        )
        yield subject.warning("collation_accents", _two_keys(template, column, accents), fix)


def cascades(foreign_keys: Iterable[ForeignKey], tables: WatchedTables) -> Findings:
    keys = tuple(foreign_keys)
    plans = make_plans(tables, keys)
    for key in keys:
        plan = plans.get(key.child)
        reached = frozenset[str]() if plan is None else plan.namespaces.union(*(c.namespaces for c in plan.cascades))
        if reached:
            actions = " and ".join(
                word for word, acts in (("DELETE", key.acts_on_delete), ("UPDATE", key.acts_on_update)) if acts
            )
            what = (
                f"constraint {key.name} changes its rows on {actions} of {key.parent} without a binlog event: "
                f"each ages out all of {', '.join(sorted(reached))}"
            )
            fix = (
                f"ALTER TABLE {_quoted(key.child)} DROP FOREIGN KEY `{key.name}`; and add it again with "
                "ON DELETE RESTRICT ON UPDATE RESTRICT, the application changing the children itself"
            )
            yield Subject(f"table {key.child}").warning("cascade", what, fix)


def _two_keys(template: KeyTemplate, column: ColumnFacts, spellings: str) -> str:
    return f"{spellings} of {column.name} are one value under {column.collation} and two keys of {template.text}"


def _differ(template: KeyTemplate, column: str, one: str, other: str) -> bool:
    values: dict[str, object] = dict.fromkeys(template.columns, "")
    return template.render(values | {column: one}) != template.render(values | {column: other})


def _with_filter(template: KeyTemplate, column: str, name: str) -> str:
    found = re.search(rf"\{{(\s*{re.escape(column)}\b[^{{}}]*)\}}", template.text)
    inner = found[1].strip() if found else column
    return f"{{{inner}|{name}}}"


def _ignores_padding(collation: str, column: ColumnFacts) -> bool:
    # _0900_ is MySQL's, nopad MariaDB's word for what counts every space.
    is_padded = collation not in {"", "binary"} and "nopad" not in collation and "_0900_" not in collation
    return is_padded and column.data_type in {"char", "varchar", "tinytext", "text", "mediumtext", "longtext"}


def _accents(collation: str, column: ColumnFacts) -> str:
    """Which spellings of them are one value; none for an empty text."""
    if column.charset in {None, "ascii", "binary"} or column.data_type in {"enum", "set"} or collation.endswith("_bin"):
        return ""
    if "_as_" in collation:  # the newer rules of Unicode: a letter and its accent are the letter that has it
        return "spellings of an accent as one character and as two"
    return "" if not collation or collation.endswith("_cs") else "spellings with and without accents"


def _quoted(name: TableName) -> str:
    return f"`{name.database}`.`{name.table}`"


ColumnCheck = Callable[[Subject, TableName, KeyTemplate, ColumnFacts], Findings]
COLUMN_CHECKS: Final[tuple[ColumnCheck, ...]] = (
    column_type, column_filter, column_charset, column_spellings,
)  # fmt: skip
