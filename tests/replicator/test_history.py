"""What a binlog can be believed to have: not what a server has applied for another one and kept out of it."""

from typing import Any

import pytest

from replicator.mysql import ServerFacts
from replicator.position import Flavor, MariaDbPosition, MySqlPosition
from replicator.source.history import hides_applied, hides_purged

U, V, OWN = (f"{digit}e11fa47-71ca-11e1-9e33-c80aa9429562" for digit in "345")
NOW_S = 1_700_000_000


class Client:
    """A MariaDB that says these two variables."""

    def __init__(self, applied: str, logged: str) -> None:
        self.answer = (applied, logged)

    def query(self, _sql: str) -> list[tuple[str, str]]:
        return [self.answer]


@pytest.mark.parametrize(
    ("applied", "logged", "position", "is_hiding"),
    [
        ("", "", "", False),  # never a replica
        ("0-1-6", "0-1-6", "0-1-2", False),
        ("0-1-6", "0-1-6,0-2-9", "0-1-2", False),
        ("0-1-6", "0-2-8", "", True),  # log_slave_updates was off
        ("0-1-6", "", "", True),
        ("0-1-6", "0-1-4,0-2-8", "0-1-2", True),  # it was on until 0-1-4
        ("0-1-6", "0-2-90", "0-2-70", False),  # promoted long before this position
        ("0-1-6,1-1-3", "0-1-6,0-2-90", "0-2-70", True),
    ],
)
def test_a_server_hides_what_it_applied_and_did_not_log(
    applied: str, logged: str, position: str, *, is_hiding: bool
) -> None:
    client: Any = Client(applied, logged)
    assert hides_applied(client, MariaDbPosition.parse(position)) is is_hiding


class MySql:
    """What a MySQL says of its binlog: `previous` has the GTIDs that were logged before each file."""

    def __init__(self, purged: str, uptime_s: int, **previous: str) -> None:
        self.purged, self.uptime_s, self.previous = purged, uptime_s, previous

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        match sql.split("'"):
            case ["SELECT @@GLOBAL.gtid_purged"]:
                return [(self.purged.replace(",", ",\n"),)]
            case ["SELECT UNIX_TIMESTAMP()"]:
                return [(NOW_S,)]
            case ["SHOW GLOBAL STATUS LIKE ", _, _]:
                return [("Uptime", str(self.uptime_s))]
            case [_, file, _]:
                return [
                    (file, 4, "Format_desc", 1, 126, ""),
                    (file, 126, "Previous_gtids", 1, 197, self.previous[file]),
                ]
        raise AssertionError(sql)


@pytest.mark.parametrize(
    ("purged", "oldest", "chosen", "is_hiding"),
    [
        ("", "", f"{OWN}:1-9", False),
        (f"{OWN}:1-9", f"{OWN}:1-9", f"{OWN}:1-20", False),  # files were purged
        (f"{U}:1-9", "", "", True),  # log_slave_updates was off
        (f"{U}:1-9,{OWN}:1-5", f"{OWN}:1-5", f"{OWN}:1-20", True),
        (f"{U}:1-9", "", f"{U}:10-12", False),  # it was made from a copy, long before
        (f"{U}:1-9,{V}:1-7", "", f"{U}:10-12", True),  # V may have written before, or since
        (f"{U}:1-9", f"{U}:1-4", f"{U}:1-6", True),  # log_slave_updates was on until 6
    ],
)
def test_a_mysql_hides_what_it_counts_as_purged_and_never_logged(
    purged: str, oldest: str, chosen: str, *, is_hiding: bool
) -> None:
    def hides(log_slave_updates: str, began_s: int, uptime_s: int = 5_000) -> bool:
        client: Any = MySql(purged, uptime_s, f1=oldest, f2=chosen)
        facts = ServerFacts(Flavor.MYSQL, 1, True, MySqlPosition(), {"log_slave_updates": log_slave_updates})
        return hides_purged(client, facts, "f1", "f2", began_s * 1000)

    assert hides("OFF", began_s=NOW_S - 1_000) is is_hiding
    assert hides("ON", began_s=NOW_S - 9_000) is is_hiding  # it may have been off before the server was started
    assert not hides("ON", began_s=NOW_S - 5_000)
