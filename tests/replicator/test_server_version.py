"""What a server says of itself, and what it is."""

import pytest

from replicator.position import Flavor
from replicator.server_version import ServerVersion


@pytest.mark.parametrize(
    ("variables", "flavor", "number", "has_new_words"),
    [
        ({"version": "10.11.6-MariaDB-log", "gtid_strict_mode": "OFF"}, Flavor.MARIADB, (10, 11), False),
        ({"version": "11.8.2-MariaDB"}, Flavor.MARIADB, (11, 8), False),
        ({"version": "10.6.22-shop-1", "gtid_strict_mode": "OFF"}, Flavor.MARIADB, (10, 6), False),
        ({"version": "8.4.3", "gtid_mode": "ON"}, Flavor.MYSQL, (8, 4), True),
        ({"version": "8.0.36-0ubuntu0.22.04.1", "gtid_mode": "ON"}, Flavor.MYSQL, (8, 0), False),
        ({"version": "9.1.0", "gtid_mode": "OFF_PERMISSIVE"}, Flavor.FILE, (9, 1), True),
        ({"version": "5.5.62"}, Flavor.FILE, (5, 5), False),
        ({"version": "unknown"}, Flavor.FILE, (0, 0), False),
    ],
)
def test_a_server_is_what_its_variables_say(
    variables: dict[str, str],
    flavor: Flavor,
    number: tuple[int, int],
    has_new_words: bool,  # noqa: FBT001
) -> None:
    found = ServerVersion.of(variables)
    assert (found, found.has_new_words) == (ServerVersion(flavor, number), has_new_words)
