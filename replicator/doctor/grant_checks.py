"""May each role do what it must? Privileges as SHOW GRANTS prints them, roles included."""

import re
from collections.abc import Iterable
from typing import Final

from replicator.doctor.findings import Findings
from replicator.doctor.mysql_facts import MySqlFacts
from replicator.tables import TableName

_NAME: Final = r"`(?:[^`]|``)+`|\"[^\"]+\"|[^\s.`\"]+"
_WHOM: Final = r"`(?:[^`]|``)*`|'(?:[^']|'')*'|[^\s@]+"
GRANT: Final = re.compile(
    rf"GRANT (?P<what>.+?) ON (?:TABLE )?(?P<database>{_NAME})\.(?P<table>{_NAME}) TO (?P<whom>{_WHOM})(?P<at>@)?",
    re.IGNORECASE,
)
"""What a role has, MariaDB shows beside the account's own: it has no host."""
_COLUMNS: Final = re.compile(r"\([^)]*\)")
_ALL: Final = "ALL PRIVILEGES"


def may(grants: Iterable[str], privilege: str, on: TableName | None = None) -> bool:
    """Whether some grant gives the privilege globally or, with ``on``, for that table."""
    for line in grants:
        found = GRANT.match(line)
        if found is None or not _covers(_bare(found["database"]), _bare(found["table"]), on):
            continue
        if privileges(found["what"]) & {privilege, _ALL}:
            return True
    return False


def source_may_read(facts: MySqlFacts) -> Findings:
    if not may(facts.grants, "REPLICATION SLAVE"):
        fix = f"GRANT REPLICATION SLAVE ON *.* TO {facts.account};"
        yield facts.subject.error("grant_replication", f"{facts.account} may not read the binlog", fix)
    if facts.binlog_filters is None:
        fix = f"GRANT REPLICATION CLIENT ON *.* TO {facts.account};"
        yield facts.subject.error("grant_client", f"{facts.account} may not ask for the binlog's end", fix)


def gate_may_ask(facts: MySqlFacts) -> Findings:
    if facts.replication is None:
        needed = "SLAVE MONITOR" if facts.is_mariadb else "REPLICATION CLIENT"
        fix = f"GRANT {needed} ON *.* TO {facts.account};"
        yield facts.subject.error("grant_monitor", f"{facts.account} may not ask what has been applied", fix)


def privileges(what: str) -> set[str]:
    """Return the names in ``SELECT (id), INSERT``, without columns."""
    return {name.strip().upper() for name in _COLUMNS.sub("", what).split(",")}


def _covers(database: str, table: str, on: TableName | None) -> bool:
    if database == "*":
        return True
    return on is not None and _like(database, on.database) and table in {"*", on.table}


def _like(pattern: str, text: str) -> bool:
    """A database in a grant is a pattern of SQL's LIKE; ``_`` and ``%`` may be escaped."""
    parts = re.findall(r"\\.|.", pattern)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, text) is not None


def _bare(name: str) -> str:
    return name.strip('`"').replace("``", "`")
