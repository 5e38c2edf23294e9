"""A gate on MariaDB or MySQL: one connection, one thread of its own, one blocking wait at a time.

What is asked, by the notation of the GTID that is waited for:

- MariaDB GTIDs, a replica: ``MASTER_GTID_WAIT`` and ``gtid_slave_pos``, which moves when InnoDB has the rows.
- MariaDB GTIDs, a server without replication (the primary itself): ``gtid_current_pos``, asked every 10 ms. It moves
  before InnoDB shows the commit, so a position counts 10 ms after it was named; with semi-sync AFTER_SYNC a commit can
  be hidden for longer than that: list replicas then. Of a domain in which another server writes what is waited for
  it counts what ``gtid_slave_pos`` has: a replica that was detached may have numbered writes of its own alike.
- MySQL GTIDs: ``WAIT_FOR_EXECUTED_GTID_SET`` and ``gtid_executed``, on any server; before MySQL 5.7
  ``WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS``.
- file and offset: ``MASTER_POS_WAIT`` and SHOW SLAVE STATUS, a direct replica only.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import structlog

from replicator.errors import MySqlAuthenticationError, SourceError
from replicator.mirror.gate import GateDeniedError, GateError, GateSetupError
from replicator.mirror.gtids import answer_includes, flavor_of, position_at, with_own, without_server, writes_itself
from replicator.mysql import PATIENTLY, MySqlClient
from replicator.position import Flavor
from replicator.server_version import VERSION_VARIABLES, ServerVersion
from versioning.backends.mysql_address import MySqlAddress
from versioning.errors import ConfigError

ANSWER_TIMEOUT_S: Final = 4.0
"""An answer later than this is none: the connection is dead. A wait lasts half as long at most."""

PRIMARY_SETTLE_S: Final = 0.01
"""What a primary's binlog names is given this long to reach InnoDB before it counts."""

log = structlog.get_logger()


class MySqlGate:
    """A ``Gate``. Use ``check`` before the start, to refuse a database that can never open it."""

    def __init__(self, name: str, address: MySqlAddress) -> None:
        self.name = name
        self._address = address
        self._client = MySqlClient(address, read_timeout_s=ANSWER_TIMEOUT_S)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"gate-{name}")
        self._asked: Flavor | None = None
        """Of the last GTID waited for."""
        self._version: ServerVersion | None = None
        self._is_replica = True
        self._has_binlog = True
        self._has_followed = False
        """It was a replica since this gate's start: what it writes itself is nobody's, unless it is waited for."""
        self._is_own: dict[int, bool] = {}
        """MariaDB domains: whether what is waited for is written here."""

    async def check(self) -> None:
        """Ask the database what it is; raises GateSetupError, GateError. Logs what is odd but may heal."""
        await self._run(self._check)

    async def wait(self, gtid: str, limit_ms: int) -> str:
        limit_s = min(limit_ms / 1000, ANSWER_TIMEOUT_S / 2)
        position = str(await self._run(self._wait, gtid, limit_s))
        if gtid and not answer_includes(position, gtid):
            self._version = None  # Promoted, or turned into a replica? Look again.
        return position

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._client.close)
        self._thread.shutdown(wait=False)

    async def _run(self, question: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, question, *arguments)
        except MySqlAuthenticationError as error:
            raise GateDeniedError(str(error)) from error
        except SourceError as error:
            self._version = None  # Whatever answers next may be another server.
            raise GateError(str(error)) from error

    def _check(self) -> None:
        version = self._learn()
        rows = self._replication(version)
        if not rows and (version.flavor is Flavor.FILE or not self._has_binlog):
            raise GateSetupError(
                f"gate {self.name} ({self._address}) replicates from nowhere and names no GTIDs",
                hint="list a replica of the source's server, or that server itself",
            )
        if not rows:
            log.warning("gate_is_no_replica", gate=self.name, hint="right only for the primary itself")
        for row in rows:
            stopped = [column for column in _RUNNING if row.get(column) not in {None, "Yes"}]
            if stopped:
                log.warning("gate_replication_stopped", gate=self.name, stopped=stopped)

    def _learn(self) -> ServerVersion:
        """Ask once per connection what this server is."""
        if self._version is not None:
            return self._version
        variables = self._client.variables(*VERSION_VARIABLES, "log_bin")
        self._version = version = ServerVersion.of(variables)
        self._has_binlog = variables.get("log_bin", "OFF").upper() == "ON"
        self._is_replica = not version.is_mariadb or bool(self._replication(version))
        if self._is_replica:
            self._has_followed, self._is_own = True, {}
        return version

    def _replication(self, version: ServerVersion) -> list[dict[str, Any]]:
        return self._client.query_dicts("SHOW ALL SLAVES STATUS" if version.is_mariadb else _status_sql(version))

    def _wait(self, gtid: str, limit_s: float) -> str:
        if gtid and position_at(gtid) is None:
            time.sleep(limit_s)  # as long as for any other that does not come
            gtid = ""
        version = self._learn()
        # While GTIDs are being switched on, the primary may write offsets and this server have both: one notation only.
        flavor = flavor_of(gtid) if gtid else self._asked or version.flavor
        if flavor not in {Flavor.FILE, version.flavor}:
            self._version = None
            version = self._learn()  # That may have come to this server since it was asked.
        try:
            position = self._wait_in(flavor, version, gtid, limit_s)
        except GateError:
            self._asked = None  # What was asked for before may not be answered any more.
            raise
        if gtid:
            self._asked = flavor
        return position

    def _wait_in(self, flavor: Flavor, version: ServerVersion, gtid: str, limit_s: float) -> str:
        if flavor is Flavor.FILE:
            return self._wait_for_offset(version, without_server(gtid), limit_s)
        if flavor is not version.flavor:
            raise GateError(
                f"gate {self.name} ({self._address}) cannot have {gtid[:60]}: it counts in another notation",
                hint="the listed database must be a replica of the source's server",
            )
        if flavor is Flavor.MYSQL:
            return self._wait_mysql(version, gtid, limit_s)
        return self._wait_mariadb(gtid, limit_s) if self._is_replica else self._wait_primary(gtid, limit_s)

    def _wait_mariadb(self, gtid: str, limit_s: float) -> str:
        if not gtid:
            return self._scalar("SELECT @@GLOBAL.gtid_slave_pos")
        # Else a server that ends statements sooner than the wait would end each, and the connection with it.
        wait = "SELECT MASTER_GTID_WAIT(%s, %s), @@GLOBAL.gtid_slave_pos"
        ((_, position),) = self._client.query(f"SET STATEMENT max_statement_time = 0 FOR {wait}", (gtid, limit_s))
        return str(position)

    def _wait_primary(self, gtid: str, limit_s: float) -> str:
        give_up_at = time.monotonic() + limit_s
        while True:
            ((server_id, applied, current),) = self._client.query(
                "SELECT @@GLOBAL.server_id, @@GLOBAL.gtid_slave_pos, @@GLOBAL.gtid_current_pos"
            )
            self._is_own |= writes_itself(server_id, applied, current, gtid)
            position = with_own(applied, current, self._is_own, is_own=not self._has_followed)
            time.sleep(PRIMARY_SETTLE_S)
            if not gtid or answer_includes(position, gtid) or time.monotonic() > give_up_at:
                return position

    def _wait_mysql(self, version: ServerVersion, gtid: str, limit_s: float) -> str:
        if gtid:
            # Whole seconds: some versions round a fraction down, and 0 waits for ever.
            self._client.query(f"SELECT {PATIENTLY} {_executed_wait(version)}(%s, %s)", (gtid, math.ceil(limit_s)))
        return self._scalar("SELECT @@GLOBAL.gtid_executed")

    def _wait_for_offset(self, version: ServerVersion, gtid: str, limit_s: float) -> str:
        if gtid:
            waited_file, _, waited_offset = gtid.partition("/")
            wait = "SOURCE_POS_WAIT" if version.has_new_words else "MASTER_POS_WAIT"
            sql = f"SELECT {PATIENTLY} {wait}(%s, %s, %s)"
            self._client.query(sql, (waited_file, int(waited_offset), math.ceil(limit_s)))
        rows = self._client.query_dicts(_status_sql(version))
        if not rows:
            raise GateError(f"gate {self.name} ({self._address}) is no replica", hint="list a direct replica")
        row = rows[0]
        file = row.get("Relay_Master_Log_File") or row.get("Relay_Source_Log_File")
        offset = row.get("Exec_Master_Log_Pos") or row.get("Exec_Source_Log_Pos")
        return f"{file}/{offset}"

    def _scalar(self, sql: str) -> str:
        return str(self._client.query(sql)[0][0] or "")


_RUNNING: Final = ("Slave_IO_Running", "Slave_SQL_Running", "Replica_IO_Running", "Replica_SQL_Running")


def _status_sql(version: ServerVersion) -> str:
    return "SHOW REPLICA STATUS" if version.has_new_words else "SHOW SLAVE STATUS"


def _executed_wait(version: ServerVersion) -> str:
    return "WAIT_UNTIL_SQL_THREAD_AFTER_GTIDS" if version.number < (5, 7) else "WAIT_FOR_EXECUTED_GTID_SET"


async def check_gates(gates: Sequence[MySqlGate]) -> None:
    """Before a mirror starts: raises ConfigError for one that can never open the gate, or refuses our login."""
    for gate in gates:
        try:
            await gate.check()
        except GateDeniedError as error:
            raise ConfigError(str(error)) from None
        except GateError as error:
            # A replica that is down is what the gate's limit and pending are for.
            log.warning("gate_not_reached", gate=gate.name, error=str(error))
