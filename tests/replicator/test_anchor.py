"""An anchor: a server is believed only when it still has the last transaction that was read, and none in its place."""

import pytest

from replicator.binlog.events import BinlogEvent, Committed, GroupBegan, HeartbeatReceived, QueryRan
from replicator.errors import PositionLostError
from replicator.position import Flavor, PositionFormatError, parse
from replicator.source.anchor import Anchor
from replicator.source.progress import Progress, Replay
from replicator.source.stats import SourceStats
from replicator.source.transaction import Assembler, Transaction
from replicator.tables import TableSpec, WatchedTables
from versioning.keys import KeyTemplate

TABLES = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"),)),))
UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
MARIADB, MYSQL, FILE = Flavor.MARIADB, Flavor.MYSQL, Flavor.FILE


def assembler(progress: Progress) -> Assembler:
    return Assembler(progress, TABLES, {}, keys_max=100, stats=SourceStats(), now_ms=lambda: 10**12)


def group(gtid: str, changed_ms: int = 7_000) -> list[BinlogEvent]:
    return [GroupBegan(gtid, is_open=True), Committed(9_000, "b.000001/900", changed_ms)]


def fed(made: Assembler, *events: BinlogEvent) -> Transaction | None:
    transaction = None
    for event in events:
        transaction = made.feed(event)
    return transaction


def after(*gtids: str, start: str = "") -> Progress:
    """What is known behind these transactions."""
    made = assembler(Progress(parse(start, MARIADB)))
    transaction = None
    for gtid in gtids:
        transaction = fed(made, *group(gtid))
    assert transaction is not None
    return Progress(transaction.position, None, transaction.anchor)


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
    progress = Progress(transaction.position, None, transaction.anchor)
    assert progress.encode() == text
    assert Progress.decode(text, flavor) == progress
    assert str(progress.resume_from) == start


def test_a_replay_is_kept_behind_the_anchor() -> None:
    progress = Progress(parse("0-1-5", MARIADB), Replay(1, 2), Anchor("0-1-5", "0-1-4", 7_000))
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
    progress = Progress(parse(f"{UUID}:1-5", MYSQL), None, Anchor(f"{UUID}:5", "", 7_000))
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


@pytest.mark.parametrize(
    ("one", "other", "is_contradiction"),
    [
        (("0-1-5", 7_000), ("0-1-5", 7_000), False),
        (("0-1-5", 7_000), ("0-2-5", 7_000), True),
        (("0-1-5", 7_000), ("0-1-5", 8_000), True),
        (("0-1-5", 7_000), ("1-1-5", 8_000), False),
        (("0-1-5", 7_000), ("0-1-6", 8_000), False),
        ((f"{UUID}:5", 7_000), (f"{UUID}:5", 8_000), True),
        ((f"{UUID}:5", 7_000), (f"{UUID}:6", 8_000), False),
        (("b.000001/900", 7_000), ("b.000001/900", 8_000), True),
    ],
)
def test_anchors_in_the_same_place_are_of_one_history_or_of_two(
    one: tuple[str, int], other: tuple[str, int], *, is_contradiction: bool
) -> None:
    first, second = Anchor(one[0], "", one[1]), Anchor(other[0], "", other[1])
    assert first.contradicts(second) is second.contradicts(first) is is_contradiction
