"""What is asked of a stream and of a server before a source begins."""

from typing import Any, cast

import pymysql
import pytest

from replicator.errors import MySqlUnavailableError, OtherWriterError, PreflightError, SourceError
from replicator.mysql import MySqlClient, ServerFacts, translated
from replicator.position import Flavor, parse
from replicator.source.preflight import check_server, check_writers
from versioning.backends.mysql_address import MySqlAddress
from versioning.checkpoint import Checkpoint
from versioning.limits import MAX_LAG_MS

NOW_MS = 1_700_000_000_000
FACTS = ServerFacts(Flavor.MYSQL, 1, True, parse("", Flavor.MYSQL), {"log_bin": "ON"})
PARSE_ERROR = pymysql.err.ProgrammingError(1064, "You have an error in your SQL syntax")


class Client:
    """Answers "SHOW MASTER STATUS" with this error, and its new words with a filter."""

    def __init__(self, error: Exception) -> None:
        self.address = MySqlAddress("mysql.a")
        self.error = error
        self.asked: list[str] = []

    def query_dicts(self, sql: str) -> list[dict[str, Any]]:
        self.asked.append(sql)
        if sql == "SHOW MASTER STATUS":
            with translated(self.address):
                raise self.error
        return [{"File": "binlog.000001", "Position": 4, "Binlog_Do_DB": "shop", "Binlog_Ignore_DB": ""}]

    def check(self) -> None:
        check_server(cast("MySqlClient", self), FACTS)


def test_a_server_that_does_not_know_the_old_words_is_asked_in_the_new_ones() -> None:
    with pytest.raises(PreflightError, match="binlog_do_db=shop"):
        Client(PARSE_ERROR).check()


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (pymysql.err.OperationalError(2013, "Lost connection"), MySqlUnavailableError),
        (pymysql.err.OperationalError(1227, "Access denied; you need BINLOG MONITOR"), SourceError),
        (TypeError("a bug"), TypeError),
    ],
    ids=["lost", "denied", "bug"],
)
def test_another_failure_is_not_asked_over_in_other_words(error: Exception, raised: type[Exception]) -> None:
    client = Client(error)
    with pytest.raises(raised):
        client.check()
    assert client.asked == ["SHOW MASTER STATUS"]


def checkpoint(age_ms: int) -> Checkpoint:
    return Checkpoint("0-1-1", NOW_MS - age_ms, "n")


@pytest.mark.parametrize("writer", ["source:b", "mirror:a"])
def test_a_stream_is_left_to_another_writer(writer: str) -> None:
    with pytest.raises(OtherWriterError, match=rf"{writer} writes to this stream.*source:a"):
        check_writers({writer: checkpoint(MAX_LAG_MS)}, "source:a", NOW_MS)


def test_our_own_checkpoint_and_one_of_a_source_that_is_gone_are_no_other_writer() -> None:
    check_writers({"source:a": checkpoint(0), "source:old": checkpoint(MAX_LAG_MS + 1)}, "source:a", NOW_MS)
