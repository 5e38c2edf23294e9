"""Who may listen, and who may do more than its work? Warnings: it all runs, until somebody makes use of that.

What does not leave this machine needs neither TLS nor accounts.
"""

import ipaddress
import time
from collections.abc import Iterable
from typing import Final

from replicator.doctor.findings import Findings, Subject
from replicator.doctor.grant_checks import GRANT, privileges
from replicator.doctor.mysql_facts import MySqlFacts
from replicator.doctor.own_certificates import OwnCertificate
from versioning.backends.redis_facts import RedisFacts
from versioning.backends.tls_dates import CertificateDates

HARMLESS: Final = frozenset({
    "USAGE", "SELECT", "REFERENCES", "SHOW VIEW", "SHOW DATABASES", "REPLICATION SLAVE", "REPLICATION CLIENT",
    "BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR",
})  # fmt: skip
"""Whoever has only these changes nothing."""

EXPIRY_S: Final = 21 * 86_400
"""A certificate with less than this left, and less than a fifth of its life, should have been renewed by now."""

_ANONYMOUS: Final = "default"


def is_local(address: str) -> bool:
    """Whether ``host:port``, or the first of several, is this machine."""
    host = address.partition(",")[0].rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def redis_access(subject: Subject, facts: RedisFacts) -> Findings:
    fix = "replace its files, then CONFIG SET tls-cert-file ... tls-key-file ..."
    yield from expiry(subject, facts.certificate, fix)
    if not facts.is_tls and not is_local(facts.address):
        fix = "give it a certificate, write rediss:// for redis:// in its url, and ssl_ca beside it"
        yield subject.warning("tls", "passwords, keys and values cross the network in clear text", fix)
    if facts.is_tls and not facts.is_verified:
        fix = "take ssl_cert_reqs and ssl_check_hostname out of its url, and write ssl_ca"
        yield subject.warning("tls_unverified", "its certificate is not verified: anybody may answer for it", fix)
    if facts.may_administer and not (facts.user == _ANONYMOUS and is_local(facts.address)):
        what = f"account {facts.user} may do everything here, far more than its work"
        fix = "load deploy/redis/users-*.acl (redis-cli ACL LOAD), and name the role's own account in its url"
        yield subject.warning("acl", what, fix)


def mysql_access(facts: MySqlFacts) -> Findings:
    yield from mysql_transport(facts)
    for on, role, more in _superfluous(facts.grants):
        given = role or facts.account
        what = f"{facts.account} may {', '.join(more)} on {on}, and needs none of it"
        if "ALL PRIVILEGES" in more:
            fix = f"REVOKE ALL PRIVILEGES, GRANT OPTION FROM {given}; then its grants of deploy/mysql/grants.sql"
        else:
            fix = f"REVOKE {', '.join(more)} ON {on} FROM {given};"
        yield facts.subject.warning("grant_broad", what, fix)


def own_certificate(own: OwnCertificate) -> Findings:
    """Of one that is in the settings: it need not have been shown to anybody yet."""
    subject, fix = Subject(f"certificate {own.path}"), "replace it and its key: the next connection uses them"
    if own.problem:
        yield subject.error("tls_expiry", own.problem, fix)
    yield from expiry(subject, own.dates, fix)


def expiry(subject: Subject, dates: CertificateDates | None, fix: str) -> Findings:
    if dates is not None and dates.left_s < min(EXPIRY_S, dates.life_s // 5):
        end = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(dates.ends_s))
        if dates.left_s <= 0:
            yield subject.error("tls_expiry", f"its certificate has ended at {end}", fix)
        else:
            yield subject.warning("tls_expiry", f"its certificate ends at {end}, in {_span(dates.left_s)}", fix)


def _span(seconds: int) -> str:
    return f"{seconds // 86_400} days" if seconds >= 2 * 86_400 else f"{seconds // 3_600} hours"


def mysql_transport(facts: MySqlFacts) -> Findings:
    fix = "replace its files, then FLUSH SSL; on MySQL: ALTER INSTANCE RELOAD TLS;"
    yield from expiry(facts.subject, facts.certificate, fix)
    yield from _mysql_tls(facts)


def _mysql_tls(facts: MySqlFacts) -> Findings:
    if is_local(facts.address):
        return
    if not facts.is_tls:
        fix = "set ssl_cert and ssl_key in its my.cnf, and write ssl_ca into its section here"
        yield facts.subject.warning("tls", "rows and statements cross the network in clear text", fix)
    elif not facts.is_verified:
        what = "its certificate is not verified: anybody may answer for it"
        yield facts.subject.warning(
            "tls_unverified", what, "write ssl_ca = <the CA of its certificate> into its section"
        )


def _superfluous(grants: Iterable[str]) -> Iterable[tuple[str, str, list[str]]]:
    """Yield on what, by which role (empty: by none), and the rights."""
    for line in grants:
        found = GRANT.match(line)
        if found is None:
            continue
        more = sorted(privileges(found["what"]) - HARMLESS)
        if "WITH GRANT OPTION" in line.upper():
            more.append("GRANT OPTION")
        if more:
            yield f"{found['database']}.{found['table']}", "" if found["at"] else found["whom"], more
