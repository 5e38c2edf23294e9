"""An anchor: a server is believed only when it still has the last transaction that was read, and none in its place."""

import pytest

import replicator.source.anchor as source_anchor
from replicator.binlog.events import BinlogEvent, Committed, GroupBegan, HeartbeatReceived, QueryRan
from replicator.errors import PositionLostError
from replicator.position import Flavor, PositionFormatError, parse
from replicator.source.anchor import Anchor, Trail
from replicator.source.progress import Progress, Replay
from replicator.source.stats import SourceStats
from replicator.source.transaction import Assembler, Transaction
from replicator.tables import TableSpec, WatchedTables
from versioning.keys import KeyTemplate

TABLES = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"),)),))
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
MARIADB, MYSQL, FILE = Flavor.MARIADB, Flavor.MYSQL, Flavor.FILE


def assembler(progress: Progress) -> Assembler:
    return Assembler(
        progress,
        TABLES,
        {},
        end="b.000001/4",
        trail=Trail(progress.resume_from),
        keys_max=100,
        stats=SourceStats(),
        now_ms=lambda: 10**12,
    )


def group(gtid: str, changed_ms: int = 7_000) -> list[BinlogEvent]:
    return [GroupBegan(gtid, is_open=True), Committed(9_000, "b.000001/900", changed_ms)]


def fed(made: Assembler, *events: BinlogEvent) -> Transaction | None:
    transaction = None
    for event in events:
        transaction = made.feed(event)
    return transaction


def known_behind(transaction: Transaction) -> Progress:
    assert transaction.anchor is not None
    return Progress(transaction.position, None, (transaction.anchor,))


def after(*gtids: str, start: str = "") -> Progress:
    """What is known behind these transactions."""
    made = assembler(Progress(parse(start, MARIADB)))
    transaction = None
    for gtid in gtids:
        transaction = fed(made, *group(gtid))
    assert transaction is not None
    return known_behind(transaction)


def resumed(progress: Progress) -> Assembler:
    """A new connection, from the text of the checkpoint."""
    made = assembler(Progress.decode(progress.encode(), MARIADB))
    assert not made.is_between
    return made


@pytest.mark.parametrize(
    ("flavor", "start", "gtid", "text"),
    [
        (MARIADB, "", "0-1-1", "0-1-1 last=0-1-1~@7000"),
        (MARIADB, "0-1-4", "0-2-5", "0-2-5 last=0-2-5~0-1-4@7000"),
        (MARIADB, "0-1-4,3-1-9", "3-2-10", "0-1-4,3-2-10 last=3-2-10~3-1-9@7000"),
        (MYSQL, f"{UUID}:1-4", f"{UUID}:5", f"{UUID}:1-5 last={UUID}:5~@7000"),
        (FILE, "1:b.000001/500", "b.000001/900", "1:b.000001/900 last=b.000001/900~b.000001/500@7000"),
    ],
)
def test_a_connection_begins_before_the_last_transaction(flavor: Flavor, start: str, gtid: str, text: str) -> None:
    made = assembler(Progress(parse(start, flavor)))
    transaction = fed(made, *group(gtid))
    assert transaction is not None
    progress = known_behind(transaction)
    assert progress.encode() == text
    assert Progress.decode(text, flavor) == progress
    assert str(progress.resume_from) == start


def test_a_replay_is_kept_behind_the_anchor() -> None:
    progress = Progress(parse("0-1-5", MARIADB), Replay(1, 2), (Anchor("0-1-5", "0-1-4", 7_000),))
    assert Progress.decode(progress.encode(), MARIADB) == progress


@pytest.mark.parametrize("text", ["0-1-5 last=0-1-5", "0-1-5 last=0-1-5~0-1-4@x", "0-1-5 more"])
def test_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(PositionFormatError):
        Progress.decode(text, MARIADB)


def test_nothing_is_claimed_until_the_last_transaction_has_come_again() -> None:
    made = resumed(after("0-1-1", "0-1-2"))
    fed(made, *group("0-1-2"))
    assert made.is_between


def test_the_time_of_a_transaction_without_rows_is_that_of_its_end() -> None:
    ddl: list[BinlogEvent] = [GroupBegan("0-1-1", is_open=False), QueryRan("CREATE TABLE t (a INT)", 4_000, "b.1/5")]
    made = assembler(Progress(parse("", MARIADB)))
    fed(made, *ddl)
    assert made.anchor == Anchor("0-1-1", "", 4_000)


def test_the_same_number_with_other_rows_is_a_lost_position() -> None:
    made = resumed(after("0-1-1", "0-1-2"))
    with pytest.raises(PositionLostError, match="another transaction 0-1-2"):
        fed(made, *group("0-1-2", changed_ms=8_000))


def test_another_servers_transaction_in_its_place_is_a_lost_position() -> None:
    made = resumed(after("0-1-1", "0-1-2"))
    with pytest.raises(PositionLostError, match="0-2-2 in the place of transaction 0-1-2"):
        fed(made, *group("0-2-2"))


def test_the_end_of_the_binlog_before_it_is_a_lost_position() -> None:
    made = resumed(after("0-1-1", "0-1-2"))
    with pytest.raises(PositionLostError, match="ends without transaction 0-1-2"):
        fed(made, HeartbeatReceived(9_000))


def test_a_heartbeat_of_mysql_may_come_before_it() -> None:
    progress = Progress(parse(f"{UUID}:1-5", MYSQL), None, (Anchor(f"{UUID}:5", "", 7_000),))
    made = assembler(progress)
    fed(made, HeartbeatReceived(9_000))
    assert not made.is_between


def test_other_domains_may_come_before_it() -> None:
    made = resumed(after("0-1-1", "3-1-1", "0-1-2"))
    fed(made, *group("3-1-2"), *group("0-1-2"))
    assert str(made.position) == "0-1-2,3-1-2"
    assert made.is_between


def test_a_sequence_number_that_goes_back_is_still_a_new_transaction() -> None:
    made = assembler(Progress(parse("0-1-5", MARIADB)))
    transaction = fed(made, *group("0-2-4"))
    assert transaction is not None
    assert transaction.is_out_of_order
    assert str(transaction.position) == "0-1-5"


def test_each_of_several_last_transactions_has_to_come_again() -> None:
    text = "0-2-2,1-1-2 last=0-2-2~0-1-1@7000 last=1-1-2~1-1-1@7000"
    progress = Progress.decode(text, MARIADB)
    assert progress.encode() == text
    assert str(progress.resume_from) == "0-1-1,1-1-1"
    made = resumed(progress)
    fed(made, *group("0-2-2"))
    assert not made.is_between
    fed(made, *group("1-1-2"))
    assert made.is_between


def test_one_of_several_that_is_another_is_a_lost_position() -> None:
    made = resumed(Progress.decode("0-2-2,1-1-2 last=0-2-2~0-1-1@7000 last=1-1-2~1-1-1@7000", MARIADB))
    fed(made, *group("0-2-2"))
    with pytest.raises(PositionLostError, match="1-2-2 in the place of transaction 1-1-2"):
        fed(made, *group("1-2-2"))


@pytest.mark.parametrize(
    ("end", "text", "may_be"),
    [
        ("0-2-9", "0-1-5,1-1-2 last=0-1-5~0-1-4@7000", True),  # rebuilt, and 1 not written since
        ("0-2-9", "0-1-5,1-1-2 last=1-1-2~1-1-1@7000", False),
        ("0-2-4,1-1-2", "0-1-5,1-1-2 last=0-1-5~0-1-4@7000", False),
        ("0-2-9", "0-1-5,1-1-2", False),
        ("0-2-9,1-1-2", "0-1-5,1-1-2", True),
    ],
)
def test_a_server_may_have_what_does_not_end_behind_its_binlog(end: str, text: str, *, may_be: bool) -> None:
    assert Progress.decode(text, MARIADB).may_be_of(parse(end, MARIADB)) is may_be


@pytest.mark.parametrize(
    ("begins", "series", "other"),
    [
        ("0-1-50", "0-1-", "0-2-"),
        (f"{UUID}:1-50", f"{UUID}:", UUID.replace("3", "4") + ":"),
        ("1:b.000001/50", "b.000001/", "b.000002/"),
    ],
)
def test_a_trail_misses_what_was_not_read_up_to_here(begins: str, series: str, other: str) -> None:
    flavor = MARIADB if series[1] == "-" else MYSQL if ":" in series else FILE
    trail, here = Trail(parse(begins, flavor)), parse(begins, flavor)
    for number in (*range(95, 103), 200):
        trail.add(f"{series}{number}", 7_000)
    trail.add(f"{series}103", 8_000)
    for number in range(51, 300):
        here = here.after(f"{series}{number}")

    def missed(gtid: str, changed_ms: int = 7_000) -> str:
        return trail.missed(parse(begins, flavor), [Anchor(gtid, "", changed_ms)], here)

    assert not any(missed(f"{series}{number}") for number in (95, 99, 100, 102, 200, 300))
    assert not missed(f"{series}103", 8_000)
    assert all(missed(f"{series}{number}") for number in (94, 103, 150, 201))
    assert bool(missed(f"{other}99")) is (flavor is MARIADB)  # elsewhere it is yet to come


def test_of_mariadb_the_last_transaction_of_each_domain_counts() -> None:
    trail = Trail(parse("0-1-5,1-1-5", MARIADB))
    trail.add("1-1-6", 7_000)
    trail.add("0-2-6", 7_000)

    def missed(theirs: str, ours: str) -> str:
        return trail.missed(parse(theirs, MARIADB), (), parse(ours, MARIADB))

    assert missed("0-1-6,1-1-6", "0-2-6,1-1-6") == "0-1-6"
    assert not missed("0-1-6,1-1-6", "0-1-5,1-1-6")
    assert not missed("0-2-6,1-1-5", "0-2-6,1-1-6")


def test_a_trail_misses_nothing_where_it_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_anchor, "RUNS_MAX", 3)
    start = parse(f"{UUID}:1", MYSQL)
    trail, here = Trail(start), parse(f"{UUID}:1-8", MYSQL)
    for number in range(1, 9):
        trail.add(f"{UUID}:{number}", number * 1_000)

    def missed(number: int, changed_ms: int) -> bool:
        return bool(trail.missed(start, [Anchor(f"{UUID}:{number}", "", changed_ms)], here))

    assert not missed(5, 9_000)
    assert missed(6, 9_000)
    assert not missed(8, 8_000)


def test_a_trail_forgets_what_was_read_first_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a lost history's checkpoint counts as read, however new it is."""
    monkeypatch.setattr(source_anchor, "RUNS_MAX", 4)
    trail = Trail(parse("0-1-1", MARIADB))
    theirs = here = parse("0-1-1", MARIADB)
    for number in range(2, 20):
        theirs, here = here, parse(f"0-1-{number}", MARIADB)
        trail.add(str(here), 7_000 if number % 2 else number * 1_000)  # A session may have set the time once for all.
        assert trail.missed(theirs, [Anchor(str(theirs), "", 9_000)], here) == str(theirs)
    assert not trail.missed(here, [Anchor("0-1-15", "", 9_000)], here)
    trail.add("0-1-21", 21_000)
    assert trail.missed(parse("0-1-20", MARIADB), (), parse("0-2-21", MARIADB)) == "0-1-20"
    assert sum(map(len, trail._runs.values())) == 4
