"""The doctor's checks of links and rights: silent on this machine, and where all is as deploy/ has it."""

from dataclasses import replace

import pytest

from replicator.doctor.findings import Subject
from replicator.doctor.security_checks import is_local, mysql_access, redis_access
from tests.replicator.doctor_facts import PRIMARY, REDIS, REPLICA

OPEN = replace(REDIS, is_tls=False, is_verified=False, user="default", may_administer=True)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:6379", True),
        ("127.3.0.1:6379,10.0.0.1:6379/service", True),
        ("[::1]:6379", True),
        ("localhost:3306", True),
        ("10.0.0.1:6379", False),
        ("redis.a.example:6379", False),
        ("", False),
    ],
)
def test_what_is_this_machine(address: str, expected: bool) -> None:  # noqa: FBT001
    assert is_local(address) is expected


def test_an_open_redis_is_named_where_others_can_reach_it() -> None:
    found = {finding.check: finding for finding in redis_access(Subject("stream r:6379"), OPEN)}
    assert found.keys() == {"tls", "acl"}
    assert "rediss://" in found["tls"].fix
    assert "account default" in found["acl"].what
    assert not list(redis_access(Subject("stream"), replace(OPEN, address="127.0.0.1:6379")))


def test_a_mysql_in_clear_text_or_unverified_is_named_where_others_can_reach_it() -> None:
    assert not list(mysql_access(PRIMARY))
    (clear,) = mysql_access(replace(PRIMARY, is_tls=False, is_verified=False))
    assert (clear.check, "ssl_ca" in clear.fix) == ("tls", True)
    (unverified,) = mysql_access(replace(PRIMARY, is_verified=False))
    assert unverified.check == "tls_unverified"
    assert not list(mysql_access(replace(PRIMARY, address="127.0.0.1:3306", is_tls=False)))


@pytest.mark.parametrize(
    ("grant", "fix"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", "REVOKE ALL PRIVILEGES, GRANT OPTION"),
        ("GRANT SELECT, INSERT (id), UPDATE ON `shop`.* TO `me`@`%`", "REVOKE INSERT, UPDATE ON `shop`.*"),
        ("GRANT SELECT ON `shop`.* TO `me`@`%` WITH GRANT OPTION", "REVOKE GRANT OPTION ON `shop`.*"),
        ("GRANT SUPER ON *.* TO `me`@`%`", "REVOKE SUPER ON *.*"),
    ],
)
def test_rights_beyond_the_work_are_named_with_the_statement(grant: str, fix: str) -> None:
    gate = replace(
        REPLICA, account="'me'@'%'", grants=("GRANT USAGE ON *.* TO `me`@`%`", grant, "GRANT `r` TO `me`@`%`")
    )
    (found,) = mysql_access(gate)
    assert found.check == "grant_broad"
    assert found.fix.startswith(f"{fix} FROM 'me'@'%';")
