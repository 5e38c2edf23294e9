"""Where a MySQL is, and as whom to log in there: for all who ask one."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class MySqlAddress:
    """A server and who to be on it, with its secrets read."""

    host: str
    port: int = 3306
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    ssl_ca: str | None = None
    """Path of the CA to verify the server by; None: TLS as the server offers it."""
    ssl_cert: str | None = None
    ssl_key: str | None = None
    ssl_disabled: bool = False

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def login(self) -> dict[str, Any]:
        """Return arguments of ``pymysql.connect``: where, as whom and by which TLS. A new dict each time."""
        arguments: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password.encode(),  # Of text the driver would make Latin-1.
        }
        if self.ssl_disabled:
            arguments["ssl_disabled"] = True
        if self.ssl_ca is not None:
            arguments |= {"ssl_ca": self.ssl_ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
        if self.ssl_cert is not None:
            arguments |= {"ssl_cert": self.ssl_cert, "ssl_key": self.ssl_key}
        return arguments
