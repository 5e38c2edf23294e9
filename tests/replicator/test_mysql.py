"""The border to MySQL: what its driver raises becomes ours, and says what to do."""

import pymysql.err
import pytest

from replicator.errors import MySqlUnavailableError
from replicator.mysql import MySqlAddress, translated
from versioning.backends.base import IS_IT_UP


@pytest.mark.parametrize(
    ("raised", "hint"),
    [
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'a'"), IS_IT_UP),
        (pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"), IS_IT_UP),
        (ConnectionResetError("reset"), IS_IT_UP),
        (pymysql.err.OperationalError(1040, "Too many connections"), ""),
        (pymysql.err.ProgrammingError(1146, "Table 'shop.a' doesn't exist"), ""),
        (pymysql.err.OperationalError(3024, "maximum statement execution time exceeded"), ""),
    ],
    ids=str,
)
def test_who_was_not_reached_is_asked_for_and_who_answered_is_not(raised: Exception, hint: str) -> None:
    where = "MySQL a:3306 is not available: "
    with pytest.raises(MySqlUnavailableError, match=where) as caught, translated(MySqlAddress("a")):
        raise raised
    assert caught.value.hint == hint
