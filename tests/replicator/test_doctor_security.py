"""The doctor's checks of links and rights: silent on this machine, and where all is as deploy/ has it."""

from dataclasses import replace

import pytest

from replicator.doctor.findings import Severity, Subject
from replicator.doctor.own_certificates import OwnCertificate
from replicator.doctor.security_checks import is_local, mysql_access, own_certificate, redis_access
from tests.replicator.doctor_facts import PRIMARY, REDIS, REPLICA
from versioning.backends.tls_dates import CertificateDates

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


DAY_S = 86_400


@pytest.mark.parametrize(
    ("life_days", "left_s", "said"),
    [
        (365, 22 * DAY_S, ""),
        (365, 20 * DAY_S, "ends at 1971-01-01 00:00 UTC, in 20 days"),
        (90, 19 * DAY_S, ""),
        (90, 17 * DAY_S, "in 17 days"),
        (1, 6 * 3_600, ""),
        (1, 4 * 3_600, "in 4 hours"),
    ],
)
def test_a_certificate_that_nobody_renews_is_named_before_it_ends(life_days: int, left_s: int, said: str) -> None:
    end_s = 365 * DAY_S
    dates = CertificateDates(end_s - life_days * DAY_S, end_s, end_s - left_s)
    for found, fix in (
        (redis_access(Subject("stream"), replace(REDIS, certificate=dates)), "CONFIG SET tls-cert-file"),
        (mysql_access(replace(PRIMARY, certificate=dates)), "FLUSH SSL"),
        (own_certificate(OwnCertificate("a.pem", dates)), "the next connection"),
    ):
        lines = [(one.check, one.severity, said in one.what, fix in one.fix) for one in found]
        assert lines == [("tls_expiry", Severity.WARNING, True, True)] * bool(said)


def test_one_of_a_server_that_is_not_verified_and_has_ended_is_an_error() -> None:
    dates = CertificateDates(0, 90 * DAY_S, 93 * DAY_S)
    (found,) = mysql_access(replace(PRIMARY, certificate=dates))
    assert (found.check, found.severity) == ("tls_expiry", Severity.ERROR)
    assert found.what == "its certificate has ended at 1970-04-01 00:00 UTC"


def test_one_of_ours_that_has_ended_is_an_error() -> None:
    (found,) = own_certificate(OwnCertificate("a.pem", None, "a.pem: certificate has expired"))
    assert (found.check, found.severity) == ("tls_expiry", Severity.ERROR)


@pytest.mark.parametrize(
    ("grant", "fix"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION", "REVOKE ALL PRIVILEGES, GRANT OPTION"),
        ("GRANT SELECT, INSERT (id), UPDATE ON `shop`.* TO 'me and you'@'%'", "REVOKE INSERT, UPDATE ON `shop`.*"),
        ("GRANT SELECT ON `shop`.* TO `me`@`%` WITH GRANT OPTION", "REVOKE GRANT OPTION ON `shop`.*"),
        ("GRANT SUPER ON *.* TO `me`@`%`", "REVOKE SUPER ON *.*"),
        ("GRANT INSERT ON `my shop`.`an ``item` TO `me`@`%`", "REVOKE INSERT ON `my shop`.`an ``item`"),
    ],
)
def test_rights_beyond_the_work_are_named_with_the_statement(grant: str, fix: str) -> None:
    gate = replace(
        REPLICA, account="'me'@'%'", grants=("GRANT USAGE ON *.* TO `me`@`%`", grant, "GRANT `r` TO `me`@`%`")
    )
    (found,) = mysql_access(gate)
    assert found.check == "grant_broad"
    assert found.fix.startswith(f"{fix} FROM 'me'@'%';")


def test_a_right_that_a_role_gives_is_taken_from_the_role() -> None:
    grants = ("GRANT `reader` TO `me`@`%`", "GRANT SELECT, INSERT ON *.* TO `all readers`")
    (found,) = mysql_access(replace(REPLICA, account="'me'@'%'", grants=grants))
    assert found.fix == "REVOKE INSERT ON *.* FROM `all readers`;"
