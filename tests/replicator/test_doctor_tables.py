"""The doctor's checks of watched tables, from facts alone."""

from dataclasses import replace

import pytest

from replicator.binlog.plan import ForeignKey
from replicator.doctor.findings import Finding, Severity
from replicator.doctor.mysql_facts import ColumnFacts, MySqlFacts, SchemaFacts, TableFacts
from replicator.doctor.table_checks import check_tables, check_time_zones
from replicator.tables import TableName, TableSpec, WatchedTables
from tests.replicator.doctor_facts import GRANTS, ITEM, PRIMARY, REPLICA, SCHEMA, TABLE, TABLES, case_id, with_variables
from versioning.keys import KeyTemplate

ERROR, WARNING = Severity.ERROR, Severity.WARNING


def examine(table: TableFacts, template: str = "item:{id}") -> list[Finding]:
    tables = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse(template),)),))
    return list(check_tables(PRIMARY, SchemaFacts((table,)), tables))


def text_column(collation: str | None, data_type: str = "varchar", charset: str | None = "utf8mb4") -> TableFacts:
    column = ColumnFacts("code", data_type, f"{data_type}(32)", charset, collation)
    return replace(TABLE, columns=(*TABLE.columns, column))


def test_a_proper_table_has_no_findings() -> None:
    assert list(check_tables(PRIMARY, SCHEMA, TABLES)) == []


@pytest.mark.parametrize(
    ("table", "check", "severity", "fix"),
    [
        (TableFacts(ITEM), "table", ERROR, "CREATE TABLE `shop`.`item`"),
        (replace(TABLE, spelling=TableName("shop", "Item")), "table_spelling", ERROR, 'write name = "shop.Item"'),
        (replace(TABLE, has_primary_key=False), "primary_key", ERROR, "ADD PRIMARY KEY (id);"),
        (replace(TABLE, shows_constraints=False), "grant_references", ERROR, "GRANT REFERENCES ON `shop`.* TO 'stamp"),
        (replace(TABLE, engine="MyISAM"), "engine", WARNING, "ALTER TABLE `shop`.`item` ENGINE = InnoDB;"),
        (replace(TABLE, columns=(ColumnFacts("ID", "int"),)), "column", ERROR, "write {ID} in the template"),
        (replace(TABLE, columns=(ColumnFacts("uid", "int"),)), "column", ERROR, "use one of uid"),
        (replace(TABLE, columns=(ColumnFacts("id", "json"),)), "column_type", ERROR, "take a column of"),
        (replace(TABLE, columns=(ColumnFacts("id", "varchar", "varchar(9) /*M!100301 COMPRESSED*/"),)), "column_type",
         ERROR, "MODIFY `id` without COMPRESSED"),
        (replace(TABLE, columns=(ColumnFacts("id", "char", "char(8)", "swe7", "swe7_bin"),)), "column_charset", ERROR,
         "MODIFY `id` char(8) CHARACTER SET utf8mb4"),
    ],
    ids=case_id,
)  # fmt: skip
def test_a_table_that_does_not_fit_is_named_with_its_fix(
    table: TableFacts, check: str, severity: Severity, fix: str
) -> None:
    found = next(finding for finding in examine(table) if finding.check == check)
    assert (found.severity, found.subject) == (severity, "table shop.item")
    assert fix in found.fix


@pytest.mark.parametrize(
    ("server", "is_virtual", "checks"),
    [
        (PRIMARY, True, []),
        (REPLICA, False, []),
        (REPLICA, True, ["virtual_column"]),
        (with_variables(PRIMARY, wsrep_on="ON"), True, ["virtual_column"]),
    ],
)
def test_a_virtual_column_that_is_read_where_it_was_applied_is_named(
    server: MySqlFacts, checks: list[str], *, is_virtual: bool
) -> None:
    table = replace(TABLE, columns=(replace(TABLE.columns[0], is_virtual=is_virtual),))
    found = list(check_tables(replace(server, grants=GRANTS), SchemaFacts((table,)), TABLES))
    assert [finding.check for finding in found] == checks
    assert all("DROP COLUMN `id`, ADD COLUMN `id` ... STORED" in finding.fix for finding in found)


def test_a_type_that_only_full_metadata_tells_is_named() -> None:
    table = replace(SCHEMA, tables=(replace(TABLE, columns=(*TABLE.columns, ColumnFacts("doc", "xmltype"))),))
    assert list(check_tables(PRIMARY, table, TABLES)) == []
    (found,) = check_tables(with_variables(PRIMARY, binlog_row_metadata="NO_LOG"), table, TABLES)
    assert (found.check, found.severity) == ("table_undecodable", ERROR)
    assert "doc xmltype" in found.what


def test_a_table_that_may_not_be_read_is_told_the_grant() -> None:
    blind = replace(PRIMARY, grants=GRANTS[:1])
    (found,) = check_tables(blind, SchemaFacts((TableFacts(ITEM),)), TABLES)
    assert found.fix == "GRANT SELECT, REFERENCES ON `shop`.* TO 'stampline_source'@'%';"


@pytest.mark.parametrize(
    ("collation", "data_type", "charset", "template", "checks"),
    [
        ("utf8mb4_general_ci", "varchar", "utf8mb4", "{code}", {"case", "padding", "accents"}),
        ("utf8mb4_general_ci", "varchar", "utf8mb4", "{code|lower|trim}", {"accents"}),
        ("utf8mb4_0900_as_ci", "varchar", "utf8mb4", "{code}", {"case", "accents"}),
        ("utf8mb4_uca1400_as_cs", "varchar", "utf8mb4", "{code|trim}", {"accents"}),
        ("latin1_general_cs", "varchar", "latin1", "{code|trim}", set()),
        ("utf8mb4_0900_ai_ci", "varchar", "utf8mb4", "{code|upper}", {"accents"}),
        ("utf8mb4_bin", "text", "utf8mb4", "{code}", {"padding"}),
        ("utf8mb4_nopad_bin", "varchar", "utf8mb4", "{code}", set()),
        ("utf8mb4_0900_bin", "varchar", "utf8mb4", "{code}", set()),
        ("ascii_general_ci", "char", "ascii", "{code|lower}", {"padding"}),
        ("ascii_general_ci", "enum", "ascii", "{code}", {"case"}),
        (None, "varbinary", None, "{code}", set()),
        ("utf8mb4_general_ci", "varchar", "utf8mb4", "{id}", set()),
    ],
    ids=case_id,
)
def test_a_key_needs_what_the_collation_ignores(
    collation: str | None, data_type: str, charset: str | None, template: str, checks: set[str]
) -> None:
    found = examine(text_column(collation, data_type, charset), f"item:{template}")
    assert {finding.check.removeprefix("collation_") for finding in found} == checks
    assert all(finding.severity is WARNING for finding in found)


def test_a_column_that_is_modified_keeps_what_else_it_has() -> None:
    (found,) = examine(text_column("utf8mb4_0900_ai_ci"), "item:{code|upper}")
    assert "COLLATE utf8mb4_bin ...; (with its NULL, DEFAULT and COMMENT" in found.fix


@pytest.mark.parametrize("data_type", ["bit", "binary", "varbinary", "blob"])
def test_bytes_take_no_filter(data_type: str) -> None:
    table = text_column(None, data_type, charset=None)
    (found,) = examine(table, "item:{id}:{code|lower}")
    assert (found.check, found.severity, found.fix) == ("column_filter", ERROR, "write {code} in the template")
    assert examine(table, "item:{id|lower}:{code}") == []


def test_the_fix_of_a_template_keeps_its_filters() -> None:
    (found,) = examine(text_column("ascii_general_ci", charset="ascii"), "item:{id}:{code|lower}")
    assert found.fix == "write {code|lower|trim} in the template"


def shelf_key(child: str, parent: str, name: str, *, acts_on_update: bool = False) -> ForeignKey:
    return ForeignKey(name, TableName("shop", child), TableName("shop", parent), ("id",), True, acts_on_update)


def test_a_cascade_is_named_with_its_constraint_and_what_it_ages_out() -> None:
    schema = replace(SCHEMA, foreign_keys=(shelf_key("item", "shelf", "on_shelf", acts_on_update=True),))
    (found,) = check_tables(PRIMARY, schema, TABLES)
    assert (found.check, found.subject) == ("cascade", "table shop.item")
    assert "on_shelf changes its rows on DELETE and UPDATE of shop.shelf" in found.what
    assert found.what.endswith("each ages out all of item")
    assert "DROP FOREIGN KEY `on_shelf`" in found.fix


def test_a_parent_whose_foreign_keys_are_not_seen_is_told_the_grant() -> None:
    schema = replace(SCHEMA, unseen_tables=(TableName("common", "room"),))
    (found,) = check_tables(PRIMARY, schema, TABLES)
    assert (found.check, found.severity, found.subject) == ("grant_references", ERROR, "table common.room")
    assert found.fix == "GRANT REFERENCES ON `common`.* TO 'stampline_source'@'%';"


def test_every_step_of_a_cascade_is_named_and_one_beside_it_is_not() -> None:
    keys = (shelf_key("item", "shelf", "one"), shelf_key("shelf", "room", "two"), shelf_key("lamp", "room", "three"))
    found = check_tables(PRIMARY, replace(SCHEMA, foreign_keys=keys), TABLES)
    assert [finding.what.split()[1] for finding in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("variables", "is_utc"),
    [
        ({"time_zone": "SYSTEM", "system_time_zone": "UTC"}, True),
        ({"time_zone": "+00:00"}, True),
        ({"time_zone": "SYSTEM", "system_time_zone": "CET"}, False),
        ({"time_zone": "Europe/Berlin"}, False),
    ],
)
def test_loads_of_a_timestamp_key_belong_in_utc(variables: dict[str, str], is_utc: bool) -> None:  # noqa: FBT001
    tables = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{seen}"),)),))
    schema = SchemaFacts((replace(TABLE, columns=(ColumnFacts("seen", "timestamp"),)),))
    found = list(check_time_zones([with_variables(REPLICA, **variables)], schema, tables))
    assert [finding.check for finding in found] == ([] if is_utc else ["time_zone"])
    assert all("SET time_zone = '+00:00';" in finding.fix for finding in found)
