"""When a GTID counts as applied."""

import pytest

from replicator.mirror.gate import names


@pytest.mark.parametrize(
    ("answer", "gtid"),
    [
        ("0-1-15", "0-1-15"),
        ("0-1-15", "0-1-3"),
        ("0-2-16", "0-1-15"),
        ("0-1-15,1-1-7", "1-1-7"),
        ("0-1-15,1-1-7", "0-1-15,1-1-2"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7", "3E11FA47-71CA-11E1-9E33-C80AA9429562:5"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7", "3e11fa47-71ca-11e1-9e33-c80aa9429562:2-7"),
        ("binlog.000003/400", "binlog.000003/400"),
        ("binlog.000010/4", "binlog.000009/900"),
        ("binlog.000003/400", "1:binlog.000003/17"),
    ],
)
def test_a_position_that_includes_it_says_so(answer: str, gtid: str) -> None:
    assert names(answer, gtid)


@pytest.mark.parametrize(
    ("answer", "gtid"),
    [
        ("", "0-1-1"),
        ("0-1-15", "0-1-16"),
        ("0-1-15", "1-1-2"),
        ("0-1-15", "0-1-15,1-1-2"),
        ("0-1-15", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5"),
        ("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-4:6-9", "3e11fa47-71ca-11e1-9e33-c80aa9429562:5"),
        ("binlog.000003/400", "binlog.000003/401"),
        ("binlog.000003/400", "0-1-15"),
        ("0-1-15", "nonsense"),
    ],
)
def test_anything_else_is_not_applied(answer: str, gtid: str) -> None:
    assert not names(answer, gtid)
