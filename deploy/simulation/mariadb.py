"""A MariaDB of its own in a folder of its own, ready in about a second.

An empty data directory is made once per process and copied: installing one takes longer than starting a server. What
makes the servers small and quick (no performance schema, small pools, no fsync) changes nothing that replication shows.
Accounts are made outside the binlog, on each server: a replica that starts empty still has them.
"""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from deploy.simulation.certificates import Certificate
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.server import READY_DEADLINE_S, MissingServerError
from deploy.simulation.sql_server import PASSWORD, SQL_FOLDER, SqlServer

LOG_FILE_SIZE = "16M"  # The same at installation and at start, else the start rewrites it.
APPLY_DEADLINE_S = 30.0
SIMULATION_DATABASES = "shop%"

DEFAULTS: dict[str, Any] = {
    "server_id": 1,
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "binlog_checksum": "CRC32",
    "expire_logs_days": 0,
    "log_slave_updates": "ON",
    "gtid_strict_mode": "ON",
    "slave_net_timeout": 5,  # With a heartbeat every second, a dead link is noticed after five.
    "default_time_zone": "+00:00",
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_general_ci",
    "max_connections": 300,
}
SMALL: dict[str, Any] = {
    "performance_schema": "OFF",
    "innodb_buffer_pool_size": "48M",
    "innodb_log_file_size": LOG_FILE_SIZE,
    "innodb_flush_log_at_trx_commit": 2,
    "innodb_doublewrite": 0,
    "innodb_use_native_aio": 0,
    "innodb_buffer_pool_dump_at_shutdown": 0,
    "innodb_buffer_pool_load_at_startup": 0,
    "innodb_fast_shutdown": 1,
    "sync_binlog": 0,
    "key_buffer_size": "1M",
    "aria_pagecache_buffer_size": "8M",
    "skip_name_resolve": "ON",
}


class MariaDb(SqlServer):
    """`options` override lines of my.cnf; None removes a line."""

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int | None = None,
        *,
        certificate: Certificate | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name, folder, port)
        self.certificate = certificate
        self.options = {**DEFAULTS, **SMALL, **_tls_options(certificate), **options}

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"

    def create_users(self, databases: str = SIMULATION_DATABASES) -> None:
        """Make the accounts of grants.sql on this server only, with this simulation's password."""
        script = (SQL_FOLDER / "grants.sql").read_text()
        script = script.replace("<database>", databases).replace("<password>", PASSWORD)
        if self.certificate is not None:
            script = script.replace(f"IDENTIFIED BY '{PASSWORD}'", f"IDENTIFIED BY '{PASSWORD}' REQUIRE X509")
        self.run_script(f"SET SESSION sql_log_bin = 0;\n{script}")

    def gtid_position(self) -> str:
        """Return the last GTID of each domain that this server has written or applied."""
        return str(self.scalar("SELECT @@global.gtid_current_pos"))

    def wait_applied(self, gtid: str, deadline_s: float = APPLY_DEADLINE_S) -> None:
        """Return when this replica has applied the position; raise when it has not by the deadline."""
        if gtid and self.scalar("SELECT MASTER_GTID_WAIT(%s, %s)", (gtid, deadline_s)) != 0:
            status = self.replication_status()
            errors = [status.get("Last_IO_Error"), status.get("Last_SQL_Error")]
            raise TimeoutError(
                f"{self.name} has not applied {gtid} after {deadline_s:g} s: it is at {self.gtid_position()}, {errors}"
            )

    def catch_up_with(self, primary: "MariaDb", deadline_s: float = APPLY_DEADLINE_S) -> None:
        self.wait_applied(primary.gtid_position(), deadline_s)

    def replicate_from(self, port: int, host: str = LOOPBACK, user: str = "repl", password: str = PASSWORD) -> None:
        """Follow a primary by GTID, from what this server has applied so far (all of it when it is empty)."""
        self.stop_replication()
        self.execute(
            "CHANGE MASTER TO MASTER_HOST = %s, MASTER_PORT = %s, MASTER_USER = %s, MASTER_PASSWORD = %s,"
            f" MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 1{self._replica_tls()}",
            (host, port, user, password),
        )
        self.start_replication()

    def _replica_tls(self) -> str:
        if self.certificate is None:
            return ""
        files = {"CA": self.certificate.ca, "CERT": self.certificate.cert, "KEY": self.certificate.key}
        named = "".join(f", MASTER_SSL_{name} = '{path}'" for name, path in files.items())
        return f", MASTER_SSL = 1, MASTER_SSL_VERIFY_SERVER_CERT = 1{named}"

    def start_replication(self) -> None:
        self.execute("START SLAVE")

    def stop_replication(self) -> None:
        self.execute("STOP SLAVE")

    def replication_status(self) -> dict[str, Any]:
        """Return SHOW SLAVE STATUS, {} on a server that follows nobody."""
        rows = self.query("SHOW SLAVE STATUS")
        return rows[0] if rows else {}

    @property
    def is_replicating(self) -> bool:
        status = self.replication_status()
        return status.get("Slave_IO_Running") == "Yes" and status.get("Slave_SQL_Running") == "Yes"

    def _prepare(self) -> None:
        if not self.data_folder.exists():
            with _template_lock:
                template = _template()
            shutil.copytree(template, self.data_folder)
        self._config_path.write_text(my_cnf({**self.options, **self._own_options()}))

    def _own_options(self) -> dict[str, Any]:
        # The socket's path is relative to the data directory: a unix socket's path holds 107 bytes at most.
        return {
            "datadir": self.data_folder,
            "tmpdir": self.folder,  # A starting server removes other servers' temporary tables from a shared one.
            "port": self.port,
            "bind_address": self.host,
            "socket": "s.sock",
        }

    def _command(self) -> list[str | Path]:
        return [_binary("mariadbd"), f"--defaults-file={self._config_path}", *as_user()]

    @property
    def _config_path(self) -> Path:
        return self.folder / "my.cnf"


def _tls_options(certificate: Certificate | None) -> dict[str, Any]:
    if certificate is None:
        return {}
    files = {"ssl_ca": certificate.ca, "ssl_cert": certificate.cert, "ssl_key": certificate.key}
    return {**files, "require_secure_transport": "ON"}


def missing() -> str | None:
    """Return why MariaDB cannot be started here, None when it can."""
    try:
        _binary("mariadbd")
        _binary("mariadb-install-db")
    except MissingServerError as error:
        return str(error)
    return None


def _binary(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/libexec")
    if found is None:
        raise MissingServerError(f"{name} is not installed: run deploy/setup.sh, or install mariadb-server >= 10.6")
    return found


def as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def my_cnf(options: dict[str, Any]) -> str:
    lines = [f"{name} = {value}" for name, value in options.items() if value is not None]
    return "\n".join(["[mysqld]", *lines, ""])


_template_lock = threading.Lock()


@functools.cache
def _template() -> Path:
    """Install an empty data directory with a root account that may log in over TCP."""
    scratch = tempfile.mkdtemp(prefix="stampline-mariadb-")
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    folder = Path(scratch) / "data"
    small = [f"--innodb-log-file-size={LOG_FILE_SIZE}", "--innodb-use-native-aio=0", *as_user()]
    _run(
        [
            _binary("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={folder}",
            *small,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--force",  # The host's name need not resolve: everything here is 127.0.0.1.
        ],
        scratch,
    )
    _run([_binary("mariadbd"), "--no-defaults", f"--datadir={folder}", *small, "--bootstrap"], scratch, _ROOT_SQL)
    return folder


_ROOT_SQL = f"""
DELETE FROM mysql.global_priv WHERE User = 'root' AND Host <> 'localhost';
FLUSH PRIVILEGES;
CREATE USER 'root'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION;
"""


def _run(command: list[str], scratch: str, script: str = "") -> None:
    done = subprocess.run(
        command,
        input=script,
        env=os.environ | {"TMPDIR": scratch},
        text=True,
        capture_output=True,
        timeout=READY_DEADLINE_S,
        check=False,
    )
    if done.returncode:
        raise MissingServerError(f"{command[0]} failed with code {done.returncode}: {done.stdout}{done.stderr}")
