"""What the doctor knows of one MySQL or MariaDB, and of the watched tables on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from replicator.binlog.plan import ForeignKey
from replicator.doctor.findings import Subject
from replicator.mysql import applies_for_others, is_on
from replicator.server_version import ServerVersion
from replicator.tables import TableName
from versioning.backends.tls_dates import CertificateDates


@dataclass(frozen=True, slots=True)
class MySqlFacts:
    role: str
    """``source``, ``gate <name>``, ``toc`` or ``audit``."""
    address: str
    account: str = ""
    """Who we are there, quoted for a statement: ``'stampline_source'@'%'``."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Global variables, names in lower case; those the server does not know are absent."""
    grants: tuple[str, ...] = ()
    """Lines of SHOW GRANTS."""
    binlog_filters: tuple[str, ...] | None = ()
    """As ``binlog_do_db=shop``; None: we may not see them."""
    replication: tuple[Mapping[str, Any], ...] | None = ()
    """Rows of the replica status, empty on a server that follows nobody; None: we may not see them."""
    clock_offset_ms: int = 0
    """How far its clock is ahead of ours."""
    clock_error_ms: int = 0
    is_tls: bool = True
    """Our own connection."""
    is_verified: bool = True
    certificate: CertificateDates | None = None
    """The server's."""

    @property
    def subject(self) -> Subject:
        return Subject(f"{self.role} {self.address}")

    @property
    def version(self) -> ServerVersion:
        return ServerVersion.of(self.variables)

    @property
    def is_mariadb(self) -> bool:
        return self.version.is_mariadb

    @property
    def server_id(self) -> int:
        return int(self.variables.get("server_id", "0"))

    @property
    def identity(self) -> str:
        """The same for one server under two names."""
        return self.variables.get("server_uuid") or self.variables.get("server_uid") or self.address

    def is_same_server(self, other: "MySqlFacts") -> bool:
        """Servers of one topology have ids of their own; old ones tell nothing better."""
        names = {"server_uuid", "server_uid"} & self.variables.keys() & other.variables.keys()
        if names:
            return all(self.variables[name] == other.variables[name] for name in names)
        return self.address == other.address or self.server_id == other.server_id

    def variable(self, name: str, default: str = "") -> str:
        """Return a value in lower case, ``default`` where the server does not know the name."""
        return self.variables.get(name, default).lower()

    def is_on(self, name: str) -> bool:
        return is_on(self.variable(name))

    @property
    def applies_for_others(self) -> bool:
        return applies_for_others(self.variables, is_replica=bool(self.replication))


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    name: str
    data_type: str
    """As information_schema has it, in lower case; ``json`` for MariaDB's JSON too."""
    column_type: str = ""
    """The whole type, for a statement."""
    charset: str | None = None
    collation: str | None = None
    is_virtual: bool = False


@dataclass(frozen=True, slots=True)
class TableFacts:
    name: TableName
    columns: tuple[ColumnFacts, ...] = ()
    """Empty: not there, or not to be read by us."""
    has_primary_key: bool = True
    shows_constraints: bool = True
    engine: str = "InnoDB"
    spelling: TableName | None = None
    """The server's own, which the binlog has; None: not known."""


@dataclass(frozen=True, slots=True)
class SchemaFacts:
    tables: tuple[TableFacts, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    """Those that act by themselves, of the watched tables and of their parents."""
    unseen_tables: tuple[TableName, ...] = ()
    """Those, and tables that such keys reach from, whose foreign keys we may not all see."""
