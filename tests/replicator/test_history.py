"""What a binlog can be believed to have: not what a server has applied for another one and kept out of it."""

from typing import Any

import pytest

from replicator.position import MariaDbPosition
from replicator.source.history import hides_applied


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
