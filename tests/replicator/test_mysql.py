"""The border to MySQL: what its driver raises becomes ours, and says what to do."""

import socket
import threading
from typing import Any

import pymysql
import pymysql.err
import pytest

from replicator.errors import MySqlAuthenticationError, MySqlUnavailableError, SourceError
from replicator.mysql import REFUSED_S, MySqlClient, translated
from versioning.backends.mysql_address import MySqlAddress
from versioning.backoff import Backoff
from versioning.errors import IS_IT_UP


@pytest.mark.parametrize(
    ("raised", "is_unreached"),
    [
        (pymysql.err.OperationalError(2003, "Can't connect to MySQL server on 'a'"), True),
        (pymysql.err.OperationalError(2013, "Lost connection to MySQL server during query"), True),
        (ConnectionResetError("reset"), True),
        (pymysql.err.OperationalError(1040, "Too many connections"), False),
        (pymysql.err.ProgrammingError(1146, "Table 'shop.a' doesn't exist"), False),
        (pymysql.err.OperationalError(3024, "maximum statement execution time exceeded"), False),
    ],
    ids=str,
)
def test_who_was_not_reached_is_asked_for_and_who_answered_is_not(
    raised: Exception,
    is_unreached: bool,  # noqa: FBT001
) -> None:
    where = "MySQL a:3306 is not available: "
    with pytest.raises(MySqlUnavailableError, match=where) as caught, translated(MySqlAddress("a")):
        raise raised
    assert (caught.value.is_unreached, caught.value.hint) == (is_unreached, IS_IT_UP if is_unreached else "")


@pytest.mark.parametrize(
    ("code", "kind", "logins"), [(1045, MySqlAuthenticationError, 2), (2003, MySqlUnavailableError, 11)]
)
def test_who_is_asked_again_and_again_does_not_make_a_login_of_each_question_once_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, code: int, kind: type[SourceError], logins: int
) -> None:
    tried, now_s = [], [0.0]

    def refuse(**settings: Any) -> None:
        tried.append(settings["user"])
        raise pymysql.err.OperationalError(code, "no")

    monkeypatch.setattr(pymysql, "connect", refuse)
    client = MySqlClient(MySqlAddress("a"), clock_s=lambda: now_s[0])
    for _ in range(10):
        with pytest.raises(kind, match="no"):
            client.query("SELECT 1")
    now_s[0] = REFUSED_S
    with pytest.raises(kind):
        client.query("SELECT 1")
    assert len(tried) == logins
    assert Backoff(lambda: 0.0).denied_s() > REFUSED_S


def test_a_login_for_which_the_driver_lacks_a_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(**_settings: Any) -> None:
        raise RuntimeError("'cryptography' package is required for caching_sha2_password")

    monkeypatch.setattr(pymysql, "connect", lack)
    with pytest.raises(MySqlAuthenticationError, match=r"no login at MySQL a:3306 as .*: 'cryptography' package"):
        MySqlClient(MySqlAddress("a")).query("SELECT 1")


@pytest.mark.parametrize(
    "greeting",
    [b"\x05\x00\x00\x00\x0b\x08\x05\x1a\x00", b"\x00\x00\x00\x00", b"\x0a\x00\x00\x00\x0a\xff\x00" + b"a" * 7],
    ids=["X protocol", "empty", "cut short"],
)
def test_what_greets_as_no_mysql_does_is_not_available(greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(greeting)
                connection.recv(1)

        greeter = threading.Thread(target=greet)
        greeter.start()
        client = MySqlClient(MySqlAddress("127.0.0.1", listening.getsockname()[1], ssl_disabled=True))
        with pytest.raises(MySqlUnavailableError, match="does not greet as a MySQL"):
            client.query("SELECT 1")
        greeter.join()
