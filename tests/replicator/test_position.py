"""Positions in the three notations: what they include, and how they grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.position import Flavor, MySqlPosition, PositionFormatError, parse
from replicator.source.anchor import BinlogFile
from replicator.source.progress import Progress, Replay

UUID = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
OTHER = "4e11fa47-71ca-11e1-9e33-c80aa9429562"
MARIADB, MYSQL, FILE = Flavor.MARIADB, Flavor.MYSQL, Flavor.FILE


@pytest.mark.parametrize(
    ("flavor", "text", "canonical"),
    [
        (MARIADB, "", ""),
        (MARIADB, "1-2-3, 0-1-15", "0-1-15,1-2-3"),
        (MYSQL, "", ""),
        (MYSQL, f"{UUID.upper()}:1-3:5:4", f"{UUID}:1-5"),
        (MYSQL, f"{OTHER}:7,{UUID}:1-2:9-10", f"{UUID}:1-2:9-10,{OTHER}:7"),
        (FILE, "12:mysql-bin.000003/4567", "12:mysql-bin.000003/4567"),
    ],
)
def test_a_position_is_written_in_one_way(flavor: Flavor, text: str, canonical: str) -> None:
    assert str(parse(text, flavor)) == canonical
    assert parse(canonical, flavor) == parse(text, flavor)


@pytest.mark.parametrize(
    ("flavor", "text"),
    [
        (MARIADB, "0-1"), (MARIADB, f"{UUID}:1"), (MARIADB, "0-1-x"), (MYSQL, "0-1-15"), (MYSQL, UUID),
        (MYSQL, f"{UUID}:0"), (MYSQL, f"{UUID}:5-3"), (MYSQL, f"{UUID}:tag:1-3"), (FILE, "mysql-bin.000003/4567"),
        (FILE, "1:mysql-bin/4"), (FILE, ""),
    ],
)  # fmt: skip
def test_text_of_another_notation_is_refused(flavor: Flavor, text: str) -> None:
    with pytest.raises(PositionFormatError):
        parse(text, flavor)


@pytest.mark.parametrize(
    ("flavor", "position", "gtid", "is_included"),
    [
        (MARIADB, "0-1-15", "0-1-15", True),
        (MARIADB, "0-1-15", "0-9-14", True),
        (MARIADB, "0-1-15", "0-1-16", False),
        (MARIADB, "0-1-15", "1-1-1", False),
        (MYSQL, f"{UUID}:1-5:8", f"{UUID}:8", True),
        (MYSQL, f"{UUID}:1-5:8", f"{UUID}:7", False),
        (MYSQL, f"{UUID}:1-5", f"{OTHER}:1", False),
        (FILE, "1:b.000009/500", "b.000009/500", True),
        (FILE, "1:b.000009/500", "b.000010/4", False),
        (FILE, "1:b.1000000/4", "b.999999/700", True),
    ],
)
def test_a_position_includes_what_has_surely_been_read(
    flavor: Flavor, position: str, gtid: str, *, is_included: bool
) -> None:
    assert parse(position, flavor).includes(gtid) is is_included


@pytest.mark.parametrize(
    ("flavor", "position", "gtid", "after"),
    [
        (MARIADB, "", "0-1-1", "0-1-1"),
        (MARIADB, "0-1-15", "0-2-16", "0-2-16"),
        (MARIADB, "0-1-15,2-1-1", "1-1-4", "0-1-15,1-1-4,2-1-1"),
        (MYSQL, "", f"{UUID}:1", f"{UUID}:1"),
        (MYSQL, f"{UUID}:1-5", f"{UUID}:6", f"{UUID}:1-6"),
        (MYSQL, f"{UUID}:1-5:7-8", f"{UUID}:6", f"{UUID}:1-8"),
        (MYSQL, f"{UUID}:1-5", f"{OTHER}:9", f"{UUID}:1-5,{OTHER}:9"),
        (FILE, "1:b.000009/500", "b.000010/120", "1:b.000010/120"),
    ],
)
def test_a_position_grows_by_one_transaction(flavor: Flavor, position: str, gtid: str, after: str) -> None:
    grown = parse(position, flavor).after(gtid)
    assert str(grown) == after
    assert grown.includes(gtid)
    assert grown.covers(parse(position, flavor))
    assert not parse(position, flavor).covers(grown)


gtids = st.sets(st.builds("{}:{}".format, st.sampled_from([UUID, OTHER]), st.integers(1, 12)))


@given(gtids, gtids, st.builds("{}:{}".format, st.sampled_from([UUID, OTHER]), st.integers(1, 13)))
def test_a_gtid_set_is_a_set(one: set[str], other: set[str], gtid: str) -> None:
    position = parse(",".join(one), MYSQL)
    assert position.covers(parse(",".join(other), MYSQL)) is (other <= one)
    assert position.includes(gtid) is (gtid in one)
    assert position.after(gtid) == parse(",".join(one | {gtid}), MYSQL)


def test_a_gtid_set_of_many_servers_grows_without_being_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failover may leave one, and there are thousands of transactions a second."""
    position = parse(f"{UUID}:1-5:7-8,{OTHER}:1-3", MYSQL)
    monkeypatch.setattr(MySqlPosition, "parse", None)
    assert str(position.after(f"{UUID}:9")) == f"{UUID}:1-5:7-9,{OTHER}:1-3"
    assert str(position.after(f"{OTHER}:4")) == f"{UUID}:1-5:7-8,{OTHER}:1-4"


@pytest.mark.parametrize(
    ("flavor", "position", "gtid"),
    [
        (MARIADB, "0-1-15,1-1-4", "0-1-14"),
        (MYSQL, f"{UUID}:1-5:7", f"{UUID}:4"),
        (FILE, "1:b.000009/500", "b.000009/400"),
        (FILE, "1:b.000009/500", "b.000008/900"),
    ],
)
def test_a_position_is_not_set_back_by_what_it_includes(flavor: Flavor, position: str, gtid: str) -> None:
    assert str(parse(position, flavor).after(gtid)) == position


def test_positions_of_other_servers_cover_nothing() -> None:
    assert not parse("1:b.000009/500", FILE).covers(parse("2:b.000001/4", FILE))
    assert not parse("0-1-15", MARIADB).covers(parse(f"{UUID}:1", MYSQL))
    assert not parse("0-1-15", MARIADB).covers(parse("0-1-3,1-1-1", MARIADB))


@pytest.mark.parametrize("replay", [None, Replay(1000, 2000)])
@pytest.mark.parametrize("file", [None, BinlogFile(1, "bin.000001", 1_700_000_000_000), BinlogFile(2, "b @.1", 1)])
@pytest.mark.parametrize("position", ["", "0-1-15"])
def test_a_checkpoint_tells_the_position_and_whether_a_replay_is_owed(
    position: str, file: BinlogFile | None, replay: Replay | None
) -> None:
    progress = Progress(parse(position, MARIADB), replay, file=file)
    assert Progress.decode(progress.encode(), MARIADB) == progress
    with pytest.raises(PositionFormatError):
        Progress.decode(progress.encode() + " more", MARIADB)
