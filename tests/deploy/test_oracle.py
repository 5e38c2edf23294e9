"""The oracle reads what mariadb-binlog prints, and tells a lost key, a late one and a wrong one apart."""

from deploy.simulation.oracle import Change, Column, Stamps, _Reading, compare
from versioning.keys import KeyTemplate

COLUMNS = {"shop.item": [Column("id", True), Column("code", False)]}
TEMPLATES = {"shop.item": [KeyTemplate.parse("item:{id}"), KeyTemplate.parse("code:{code}")]}


def gtid(number: int) -> str:
    return f"#261123 16:17:04 server id 1  end_log_pos 832 CRC32 0xadf89ac3 \tGTID 0-1-{number} trans\n"


def inserted(number: int, code: str, table: str = "item") -> str:
    return f"### INSERT INTO `shop`.`{table}`\n### SET\n###   @1={number}\n###   @2={code}\n# at 5\n"


def read(text: str) -> list[str]:
    return [f"{change.sequence} {change.what}" for change in _Reading(COLUMNS, TEMPLATES).of(text.splitlines())]


def test_an_update_names_the_keys_before_and_after_it() -> None:
    rows = "### UPDATE `shop`.`item`\n### WHERE\n###   @1=1\n###   @2='it's'\n### SET\n###   @2=NULL\n"
    assert read(gtid(4) + rows + "COMMIT/*!*/;") == ["4 item:1", "4 code:it%27s", "4 item:1", "4 code:%N"]


def test_a_column_that_is_left_out_names_the_namespace() -> None:
    rows = "### DELETE FROM `shop`.`item`\n### WHERE\n###   @1=-1 (18446744073709551615)\n"
    assert read(gtid(4) + rows + "COMMIT") == ["4 item:18446744073709551615", "4 code:"]


def test_what_has_no_commit_and_other_tables_do_not_count() -> None:
    lost_in_a_crash = gtid(4) + inserted(1, "'a'")
    assert read(lost_in_a_crash + gtid(5) + inserted(2, "'b'", "other") + "COMMIT") == []


def test_rows_of_an_xa_transaction_count_from_its_commit() -> None:
    xid = "X'78',X'',1"
    prepared = gtid(4) + f"XA START {xid}/*!*/;\n" + inserted(1, "'a'") + f"XA END {xid}\nXA PREPARE {xid}\n"
    between = gtid(5) + inserted(2, "'b'") + "COMMIT\n"
    assert read(prepared + between + gtid(6) + f"XA COMMIT {xid}") == ["5 item:2", "5 code:b", "6 item:1", "6 code:a"]
    assert read(prepared + gtid(6) + f"XA ROLLBACK {xid}") == []


def stamps(*found: Change) -> Stamps:
    made = Stamps()
    for stamp in found:
        made.add(stamp)
    return made


def test_a_later_stamp_or_generation_covers_and_an_earlier_one_does_not() -> None:
    required = [Change(0, 5, "item:1"), Change(0, 5, "code:a"), Change(0, 5, "item:2"), Change(7, 5, "item:3")]
    found = compare(required, stamps(Change(0, 6, "item:1"), Change(0, 5, "code:"), Change(0, 4, "item:2")))
    assert found.lost == (Change(0, 5, "item:2"), Change(7, 5, "item:3"))
    assert found.late == 2
    assert found.foreign == (Change(0, 4, "item:2"),)
