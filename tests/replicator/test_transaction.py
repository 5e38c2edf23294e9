"""The assembler: nothing leaves before its commit, and what leaves is everything the transaction concerns."""

from collections.abc import Iterator

import pytest

from replicator.binlog.events import (
    BinlogEvent,
    Committed,
    FileBegan,
    GroupBegan,
    QueryRan,
    RowImage,
    RowKind,
    RowsChanged,
    RowsUndecodableError,
    XaPrepared,
)
from replicator.binlog.plan import ForeignKey, make_plans
from replicator.position import Flavor, parse
from replicator.source import transaction as transactions
from replicator.source.anchor import Trail
from replicator.source.progress import Progress
from replicator.source.stats import SourceStats
from replicator.source.transaction import XA_MAX, Assembler, Transaction
from replicator.tables import TableName, TableSpec, WatchedTables
from versioning.errors import ConfigError
from versioning.keys import KeyTemplate
from versioning.limits import CLOCK_ERROR_MS

NOW_MS = 10_000

ITEM, PARENT, GRANDPARENT = TableName("shop", "item"), TableName("shop", "parent"), TableName("shop", "grandparent")
TABLES = WatchedTables(
    (
        TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"), KeyTemplate.parse("code:{code}"))),
        TableSpec("other", "user", (KeyTemplate.parse("user:{id}"),)),
    )
)
FOREIGN_KEYS = [
    ForeignKey("f1", ITEM, PARENT, ("id",), acts_on_delete=True, acts_on_update=True),
    ForeignKey("f2", PARENT, GRANDPARENT, ("id",), acts_on_delete=True, acts_on_update=False),
]


def assembler(
    keys_max: int = 100, position: str = "0-1-1", flavor: Flavor = Flavor.MARIADB, end: str = "b.000001/4"
) -> Assembler:
    """``end``: of the binlog as the connection begins."""
    plans = make_plans(TABLES, FOREIGN_KEYS)
    progress, stats = Progress(parse(position, flavor)), SourceStats()
    return Assembler(
        progress,
        TABLES,
        plans,
        end=end,
        trail=Trail(progress.position),
        keys_max=keys_max,
        stats=stats,
        now_ms=lambda: NOW_MS,
    )


def began(number: int = 2, *, is_open: bool = True) -> GroupBegan:
    return GroupBegan(f"0-1-{number}", is_open)


def committed() -> Committed:
    return Committed(1_000, "b.000001/900")


def query(sql: str) -> QueryRan:
    return QueryRan(sql, 1_000, "b.000001/900")


def inserted(*ids: int, table: TableName = ITEM) -> RowsChanged:
    images = (RowImage(None, {"id": number, "code": f"c{number}"}) for number in ids)
    return RowsChanged(table, RowKind.INSERT, images)


def updated(before: dict[str, object], after: dict[str, object], table: TableName = ITEM) -> RowsChanged:
    return RowsChanged(table, RowKind.UPDATE, iter([RowImage(before, after)]))


def deleted(*ids: int, table: TableName = ITEM) -> RowsChanged:
    return RowsChanged(table, RowKind.DELETE, iter([RowImage({"id": i, "code": f"c{i}"}, None) for i in ids]))


def fed(made: Assembler, *events: BinlogEvent) -> Transaction:
    """The transaction that the LAST event completes; none before it may."""
    *head, last = events
    assert [made.feed(event) for event in head] == [None] * len(head)
    transaction = made.feed(last)
    assert transaction is not None
    return transaction


def aged(transaction: Transaction) -> set[str]:
    return {namespace for _, namespaces in transaction.generations for namespace in namespaces}


def test_a_transaction_leaves_whole_at_its_commit_each_key_once() -> None:
    made = assembler()
    transaction = fed(made, began(), inserted(1), inserted(1, 2), committed())
    assert transaction.keys == ("item:1", "code:c1", "item:2", "code:c2")
    assert transaction.gtid == "0-1-2"
    assert str(transaction.position) == str(made.position) == "0-1-2"
    assert transaction.committed_ms == 1_000


def test_a_group_without_an_implied_begin_ends_with_its_statement() -> None:
    transaction = fed(assembler(), began(is_open=False), query("TRUNCATE item"))
    assert aged(transaction) == {"item", "code"}


def test_mysql_rows_between_begin_and_a_commit_statement_leave_together() -> None:
    uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
    made = assembler(position=f"{uuid}:1-4", flavor=Flavor.MYSQL)
    transaction = fed(made, GroupBegan(f"{uuid}:5", is_open=False), query("BEGIN"), inserted(1), query("COMMIT"))
    assert transaction.keys == ("item:1", "code:c1")
    assert str(transaction.position) == f"{uuid}:1-5"


def test_without_gtids_a_transaction_is_named_by_its_end() -> None:
    made = assembler(position="1:b.000001/4", flavor=Flavor.FILE)
    transaction = fed(made, query("BEGIN"), inserted(1), committed())
    assert transaction.gtid == "b.000001/900"
    assert str(made.position) == "1:b.000001/900"


def test_keys_of_both_images_count_and_absent_columns_did_not_change() -> None:
    transaction = fed(assembler(), began(), updated({"id": 1, "code": "a"}, {"code": "b"}), committed())
    assert transaction.keys == ("item:1", "code:a", "code:b")


def test_a_key_that_cannot_be_derived_ages_out_its_namespace_only() -> None:
    made = assembler()
    transaction = fed(made, began(), updated({"id": 1}, {"name": "x"}), committed())
    assert transaction.keys == ("item:1",)
    assert aged(transaction) == {"code"}


def test_rows_that_cannot_be_decoded_age_out_the_tables_namespaces() -> None:
    def broken() -> Iterator[RowImage]:
        yield RowImage(None, {"id": 1, "code": "a"})
        raise RowsUndecodableError("no such column")

    transaction = fed(assembler(), began(), RowsChanged(ITEM, RowKind.INSERT, broken()), committed())
    assert aged(transaction) == {"item", "code"}


def test_above_the_limit_rows_are_not_even_decoded_but_their_namespaces_count() -> None:
    made = assembler(keys_max=3)
    never = RowsChanged(TableName("other", "user"), RowKind.INSERT, iter([]))
    transaction = fed(made, began(), inserted(1, 2, 3, 4), never, inserted(5), committed())
    assert transaction.keys == ()
    assert aged(transaction) == {"item", "code", "user"}


def test_an_open_transaction_is_dropped_when_the_server_begins_a_new_file() -> None:
    made = assembler()
    assert made.feed(began()) is None
    assert made.feed(inserted(1)) is None
    assert not made.is_between
    assert made.feed(FileBegan()) is None
    assert made.is_between
    assert fed(made, began(3), inserted(2), committed()).keys == ("item:2", "code:c2")


def test_a_rollback_in_the_binlog_is_stamped_as_some_of_it_could_not_be_undone() -> None:
    assert fed(assembler(), began(), inserted(1), query("ROLLBACK")).keys == ("item:1", "code:c1")


def test_xa_rows_leave_at_the_xa_commit_under_its_own_position() -> None:
    made = assembler()
    prepared = fed(made, began(2), inserted(1), XaPrepared("78,,1", is_one_phase=False, time_ms=1, end="b.000001/1"))
    assert prepared.is_empty
    between = fed(made, began(3), inserted(9), committed())
    assert between.keys == ("item:9", "code:c9")
    transaction = fed(made, began(4, is_open=False), query("XA COMMIT X'78',X'',1"))
    assert transaction.keys == ("item:1", "code:c1")
    assert transaction.gtid == "0-1-4"


def test_xa_rows_that_are_rolled_back_leave_nothing() -> None:
    made = assembler()
    fed(made, began(2), inserted(1), XaPrepared("78,,1", is_one_phase=False, time_ms=1, end="b.000001/1"))
    assert fed(made, began(3, is_open=False), query("XA ROLLBACK X'78',X'',1")).is_empty


def test_a_one_phase_xa_commit_leaves_at_once() -> None:
    transaction = fed(assembler(), began(), inserted(1), XaPrepared("78,,1", is_one_phase=True, time_ms=1, end="b.0/1"))
    assert transaction.keys == ("item:1", "code:c1")


@pytest.mark.parametrize("prepared", [0, XA_MAX + 1])
def test_the_commit_of_an_unknown_or_forgotten_xa_ages_out_everything(prepared: int) -> None:
    made = assembler()
    for number in range(prepared):
        fed(made, began(2 + number), XaPrepared(f"{number:04x},,1", is_one_phase=False, time_ms=1, end="b.000001/1"))
    transaction = fed(made, began(9_000, is_open=False), query("XA COMMIT X'0000',X'',1"))
    assert aged(transaction) == {"item", "code", "user"}


def test_prepared_xa_transactions_are_forgotten_when_they_hold_too_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "XA_KEYS_MAX", 3)
    made = assembler()
    for number in (1, 2):
        prepared = XaPrepared(f"0{number},,1", is_one_phase=False, time_ms=1, end="b.000001/1")
        fed(made, began(1 + number), inserted(number), prepared)
    assert fed(made, began(5, is_open=False), query("XA COMMIT X'02',X'',1")).keys == ("item:2", "code:c2")
    assert aged(fed(made, began(6, is_open=False), query("XA COMMIT X'01',X'',1"))) == {"item", "code", "user"}


@pytest.mark.parametrize(
    ("sql", "namespaces"),
    [
        ("ALTER TABLE shop.item ADD c INT", {"item", "code"}),
        ("RENAME TABLE x TO item", {"item", "code"}),
        ("DROP DATABASE other", {"user"}),
        ("UPDATE elsewhere SET a = 1", {"item", "code", "user"}),
        ("CREATE TABLE unrelated (id INT)", set()),
        ("GRANT ALL ON *.* TO x", set()),
    ],
)
def test_a_statement_ages_out_what_it_may_concern(sql: str, namespaces: set[str]) -> None:
    assert aged(fed(assembler(), began(is_open=False), query(sql))) == namespaces


def test_ddl_in_a_character_set_that_is_not_known_concerns_everything() -> None:
    ddl = query("CREATE TABLE unrelated (id INT)")._replace(charset=None)
    assert aged(fed(assembler(), began(is_open=False), ddl)) == {"item", "code", "user"}


def test_statement_dml_inside_a_transaction_waits_for_its_commit() -> None:
    assert aged(fed(assembler(), began(), query("UPDATE item SET a = 1"), committed())) == {"item", "code", "user"}


def test_a_parents_delete_reaches_children_over_any_number_of_foreign_keys() -> None:
    assert aged(fed(assembler(), began(), deleted(1, table=GRANDPARENT), committed())) == {"item", "code"}


@pytest.mark.parametrize(
    ("before", "after", "namespaces"),
    [({"id": 1}, {"id": 2}, {"item", "code"}), ({"id": 1}, {"id": 1}, set()), ({"id": 1}, {}, set())],
)
def test_a_parents_update_reaches_children_when_the_referenced_column_changed(
    before: dict[str, object], after: dict[str, object], namespaces: set[str]
) -> None:
    assert aged(fed(assembler(), began(), updated(before, after, table=PARENT), committed())) == namespaces


@pytest.mark.parametrize(
    ("sql", "may_change"),
    [
        ("ALTER TABLE parent DROP COLUMN x", True),
        ("CREATE TABLE y (a INT REFERENCES z (id))", True),
        ("CREATE TABLE y (a INT)", False),
        ("DROP DATABASE other", True),
        ("CREATE DATABASE x", False),
        ("SOMETHING NEW", True),
    ],
)
def test_ddl_that_may_change_foreign_keys_is_told_apart(sql: str, *, may_change: bool) -> None:
    made = assembler()
    fed(made, began(is_open=False), query(sql))
    assert made.saw_ddl is not None
    assert made.saw_ddl.may_change_plans(made.plans) is may_change


def test_dml_in_statement_format_changes_no_foreign_keys() -> None:
    made = assembler()
    assert aged(fed(made, began(is_open=False), query("UPDATE elsewhere SET a = 1"))) == {"item", "code", "user"}
    assert made.saw_ddl is None


def test_an_alter_that_begins_concerns_nothing_until_it_has_ended() -> None:
    made, alter = assembler(), query("ALTER TABLE item ADD COLUMN x INT")
    assert aged(fed(made, began(2, is_open=False)._replace(begins_alter=True), alter)) == set()
    assert made.saw_ddl is None
    assert aged(fed(made, began(3, is_open=False), alter)) == {"item", "code"}
    assert made.saw_ddl is not None


@pytest.mark.parametrize(
    ("sql", "namespaces"),
    [
        ("ALTER TABLE room DROP FOREIGN KEY f", {"item", "code", "user"}),
        ("RENAME TABLE old TO parent", {"item", "code", "user"}),
        ("DROP DATABASE shop", {"item", "code", "user"}),
        ("DROP DATABASE other", {"user"}),
        ("ALTER TABLE item ADD COLUMN x INT", {"item", "code"}),
        ("CREATE TABLE y (a INT)", set()),
    ],
)
def test_a_statement_that_may_have_cut_a_cascade_before_the_plans_were_made_concerns_everything(
    sql: str, namespaces: set[str]
) -> None:
    """Of what was deleted before it, the plans no longer tell where that reached."""
    made = assembler()
    made.plans_made_ms = query(sql).time_ms - CLOCK_ERROR_MS
    assert aged(fed(made, began(is_open=False), query(sql))) == namespaces


def test_a_younger_statement_about_foreign_keys_concerns_what_it_names() -> None:
    made = assembler()
    made.plans_made_ms = query("").time_ms - CLOCK_ERROR_MS - 1
    assert aged(fed(made, began(is_open=False), query("ALTER TABLE room DROP FOREIGN KEY f"))) == set()


def test_of_the_backlog_no_statement_is_younger_whatever_its_session_says() -> None:
    cutting = query("ALTER TABLE room DROP FOREIGN KEY f")
    for end, concerned in [(cutting.end, {"item", "code", "user"}), ("b.000001/4", set())]:
        made = assembler(end=end)
        made.plans_made_ms = cutting.time_ms - CLOCK_ERROR_MS - 1
        assert aged(fed(made, began(2, is_open=False), cutting)) == concerned


@pytest.mark.parametrize("end", ["b.000009/300", "b.000008/900"])
def test_of_the_backlog_no_time_proves_anything_nor_of_what_comes_later(end: str) -> None:
    """Whatever its GTIDs are: numbers that are lower than others of their domain never cover those."""
    made = assembler(end=end)
    ahead = NOW_MS + 60_000
    places = [(ahead, "b.000008/300"), (ahead, end), (2_000, "b.000009/301"), (1_000, "b.000010/4")]
    read = [fed(made, began(2), Committed(time_ms, place)).read_ms for time_ms, place in places]
    assert read == [0, 0, 2_000, 2_000]


def test_tables_configured_twice_or_without_keys_are_refused() -> None:
    spec = TABLES.specs[0]
    for specs in [(spec, spec), (TableSpec("shop", "x", ()),), ()]:
        with pytest.raises(ConfigError):
            WatchedTables(specs)


def test_the_digest_tells_other_templates_from_another_order() -> None:
    first, second = TABLES.specs
    turned = TableSpec(first.database, first.table, first.templates[::-1])
    fewer = TableSpec(first.database, first.table, first.templates[:1])
    assert WatchedTables((second, turned)).digest() == TABLES.digest()
    assert WatchedTables((second, fewer)).digest() != TABLES.digest()
