"""What MariaDB and MySQL have in common for the simulation: connections, statements, accounts.

Every account has the same well-known password: these servers listen on 127.0.0.1 and hold nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql
import pymysql.cursors
from pymysql.constants import CR, ER

from deploy.simulation.certificates import Certificate
from deploy.simulation.server import Server

PASSWORD = "stampline-simulation"  # noqa: S105  private loopback servers only
SQL_FOLDER = Path(__file__).resolve().parent.parent / "mysql"
CONNECT_TIMEOUT_S = 5
NOT_YET = {ER.CON_COUNT_ERROR, CR.CR_CONN_HOST_ERROR, CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR}

Args = Sequence[Any] | dict[str, Any] | None
Row = dict[str, Any]


class SqlServer(Server):
    """Statements run as root, each in a connection of its own: a restarted server is simply asked again."""

    password = PASSWORD
    certificate: Certificate | None = None
    """With one, the server takes no connection without TLS."""

    def url(self, user: str = "root", database: str = "") -> str:
        return f"mysql://{user}:{self.password}@{self.address}/{database}"

    def connect(self, user: str = "root", **options: Any) -> "pymysql.Connection[Any]":
        """Open a connection with autocommit and rows as dicts; `options` go to pymysql."""
        settings = {
            "host": self.host,
            "port": self.port,
            "user": user,
            "password": self.password,
            "autocommit": True,
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "cursorclass": pymysql.cursors.DictCursor,
            **self._tls(),
        }
        return pymysql.connect(**{**settings, **options})

    def _tls(self) -> dict[str, Any]:
        if self.certificate is None:
            return {}
        files = {"ssl_cert": str(self.certificate.cert), "ssl_key": str(self.certificate.key)}
        return {"ssl_ca": str(self.certificate.ca), "ssl_verify_identity": True, **files}

    def execute(self, sql: str, args: Args = None, *, database: str | None = None) -> int:
        """Run one statement; return the number of rows it touched."""
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            return int(cursor.execute(sql, args))

    def query(self, sql: str, args: Args = None, *, database: str | None = None) -> list[Row]:
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def scalar(self, sql: str, args: Args = None, *, database: str | None = None) -> Any:
        """Return the first column of the first row, None when there is no row."""
        rows = self.query(sql, args, database=database)
        return next(iter(rows[0].values())) if rows else None

    def run_script(self, script: str, *, database: str | None = None) -> None:
        """Run statements in one connection; a statement ends with a semicolon at the end of its line."""
        with self.connect(database=database) as connection, connection.cursor() as cursor:
            for statement in statements(script):
                cursor.execute(statement)

    def create_database(self, name: str) -> None:
        """Create the database with the reference services' table."""
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        self.run_script((SQL_FOLDER / "tracker_web.sql").read_text(), database=name)

    def _is_ready(self) -> bool:
        try:
            self.connect().close()
        except pymysql.err.OperationalError as error:
            if error.args[0] not in NOT_YET:
                raise
            return False
        return True


def statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in ("\n".join(lines) + "\n").split(";\n") if part.strip()]
