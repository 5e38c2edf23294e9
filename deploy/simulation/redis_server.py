"""Redis servers of their own: one, a Sentinel set, a cluster. None evicts, and none writes to disk unless asked to.

With a certificate a server speaks TLS only, and asks its clients for theirs; with users it knows only those.
"""

import shutil
from pathlib import Path
from typing import Any

import redis

from deploy.simulation.certificates import Certificate, write_secret
from deploy.simulation.redis_users import ADMIN, RedisUsers
from deploy.simulation.server import MissingServerError, Server

CONNECT_TIMEOUT_S = 5


class RedisServer(Server):
    """`options` are lines of redis.conf, underscores for dashes; `requirepass` also goes into `url` and `client`."""

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int | None = None,
        *,
        certificate: Certificate | None = None,
        users: RedisUsers | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, folder, port)
        self.certificate = certificate
        self.users = users
        self.options = {
            "bind": self.host,
            "port": self.port,
            "dir": self.folder,
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
            **({} if certificate is None else self._tls_options(certificate)),
            **({} if users is None else {"aclfile": self.folder / "users.acl"}),
            **{option.replace("_", "-"): value for option, value in options.items()},
        }

    def _tls_options(self, certificate: Certificate) -> dict[str, Any]:
        files = {"ca-cert-file": certificate.ca, "cert-file": certificate.cert, "key-file": certificate.key}
        tls = {"port": self.port, "auth-clients": "yes", "replication": "yes", "cluster": "yes", **files}
        return {"port": 0, **{f"tls-{name}": value for name, value in tls.items()}}

    @property
    def password(self) -> str | None:
        return self.options.get("requirepass")

    @property
    def url(self) -> str:
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{self.address}/0"

    def password_file(self, account: str) -> Path:
        """Write the password of an account where only we may read it."""
        assert self.users is not None  # noqa: S101
        return write_secret(self.folder / f"{account}.password", self.users.passwords[account])

    def client(self, **options: Any) -> redis.Redis:
        """Open a client whose replies are bytes; close it (or use it in a with block)."""
        if self.users is not None:
            options = {"username": ADMIN, "password": self.users.passwords[ADMIN], **options}
        return redis.Redis(**{"host": self.host, "port": self.port, "password": self.password, **self.tls(), **options})

    def tls(self) -> dict[str, Any]:
        """Return how redis-py talks TLS with this server, {} where it does not."""
        if self.certificate is None:
            return {}
        ca, cert, key = str(self.certificate.ca), str(self.certificate.cert), str(self.certificate.key)
        return {"ssl": True, "ssl_ca_certs": ca, "ssl_certfile": cert, "ssl_keyfile": key}

    def flush(self) -> None:
        """Forget every key and script."""
        with self.client() as client:
            client.flushall()
            client.script_flush()

    def _prepare(self) -> None:
        lines = [f"{option} {value}" for option, value in self.options.items() if value is not None]
        self._config_path.write_text("\n".join([*lines, ""]))
        if self.users is not None:
            (self.folder / "users.acl").write_text(self.users.aclfile())

    def _command(self) -> list[str | Path]:
        return [_binary(), self._config_path]

    def _is_ready(self) -> bool:
        try:
            with self.client(socket_timeout=CONNECT_TIMEOUT_S) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    @property
    def _config_path(self) -> Path:
        return self.folder / "redis.conf"


def missing() -> str | None:
    """Return why Redis cannot be started here, None when it can."""
    try:
        _binary()
    except MissingServerError as error:
        return str(error)
    return None


def _binary() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise MissingServerError("redis-server is not installed: run deploy/setup.sh, or install redis-server >= 7.0")
    return found
