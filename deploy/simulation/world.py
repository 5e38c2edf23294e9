"""The two datacenters on one machine: real servers, real processes, a relay in between as the WAN.

    DC A: mysql-a (primary), redis-a, source-1, source-2, tob
    WAN:  one relay process, two links: MySQL replication, and the mirrors' way to redis-a
    DC B: mysql-b (replica), redis-b, mirror-1, mirror-2, service-1, service-2, toc-1..3, toc-ttl (no stampline),
          audit

Everything listens on free ports of 127.0.0.1 and lives in one folder; `stop` leaves nothing behind.
"""

import concurrent.futures
import functools
import os
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from deploy.simulation import configs
from deploy.simulation.certificates import Authority, Certificate
from deploy.simulation.configs import DATABASE, TTL_ONLY, Role, Sites
from deploy.simulation.http import is_answering
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import free_port
from deploy.simulation.processes import ManagedProcess, ProcessGroup
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_users import RedisUsers
from deploy.simulation.relay import RelayControl
from versioning.backends.tls import TlsFiles, client_context

CHECKOUT = Path(__file__).resolve().parents[2]
READY_DEADLINE_S = 60.0
LAG_MAX_S = 5


@dataclass(frozen=True)
class Ports:
    """Ports that configs name before their processes exist."""

    relay_control: int
    wan_mysql: int
    wan_redis: int


class World:
    def __init__(self, folder: Path, *, wan_ms: float = 100.0, jitter_ms: float = 0.0, is_secure: bool = False) -> None:
        """`is_secure`: TLS on every link, both sides verified, and accounts that may do what their role does."""
        self.folder = folder
        self.wan_ms = wan_ms
        self.jitter_ms = jitter_ms
        self.authority = Authority(folder / "ca") if is_secure else None
        self.certificate = self._issue("role")
        self.mysql_a = MariaDb("mysql-a", folder / "mysql-a", certificate=self._issue("mysql-a"), server_id=1)
        self.mysql_b = MariaDb(
            "mysql-b", folder / "mysql-b", certificate=self._issue("mysql-b"), server_id=2, read_only="ON"
        )
        self.redis_a, self.redis_b = self._redis("a"), self._redis("b")
        self.ports = Ports(free_port(), free_port(), free_port())
        self.wan = RelayControl(self.ports.relay_control)
        self.processes: dict[str, ManagedProcess] = {}
        self.http_ports: dict[str, int] = {}
        self._group = ProcessGroup()

    def __enter__(self) -> Self:
        self._group.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._group.__exit__(*exc)  # type: ignore[arg-type]

    def start(self, say: Callable[[str], None] = lambda _: None) -> None:
        """Start everything, in an order that needs no retries, and return when every ToC vouches for its values."""
        say("MariaDB A and B, Redis A and B")
        servers = (self.mysql_a, self.mysql_b, self.redis_a, self.redis_b)
        _at_once(self._group.add(server).start for server in servers)
        _at_once([self.mysql_a.create_users, self.mysql_b.create_users])
        say(f"the WAN: a relay with {self.wan_ms:g} ms one way")
        self._start_relay()
        self.mysql_b.replicate_from(self.ports.wan_mysql)
        self.mysql_a.create_database(DATABASE)
        self._prepare_data()
        self.mysql_b.catch_up_with(self.mysql_a)
        roles = list(self._roles())
        say(", ".join(role.name for role in roles))
        for role in roles:
            self._start_role(role)
        for name in self.http_ports:
            self._wait_ready(name)

    def start_toc(self, name: str) -> None:
        """Start one more ToC, and return when it is ready."""
        self._start_role(configs.toc(self.sites, name))
        self._wait_ready(name)

    @property
    def sites(self) -> Sites:
        servers = (self.mysql_a, self.mysql_b, self.redis_a, self.redis_b)
        return Sites(*servers, self.ports.wan_redis, self.certificate)

    @functools.cached_property
    def client_context(self) -> ssl.SSLContext | None:
        """How to talk to the services; None: plain HTTP."""
        held = self.certificate
        return None if held is None else client_context(TlsFiles.of(held.ca, held.cert, held.key))

    def _issue(self, name: str) -> Certificate | None:
        return None if self.authority is None else self.authority.issue(name)

    def _redis(self, side: str) -> RedisServer:
        name = f"redis-{side}"
        users = None if self.authority is None else RedisUsers.of(side)
        return RedisServer(name, self.folder / name, certificate=self._issue(name), users=users)

    def write_doctor(self) -> Path:
        """Write settings for `stampline doctor`, which then checks everything here."""
        return self._write(configs.doctor(self.sites))

    def kill(self, name: str) -> None:
        """Kill -9; nobody starts it again."""
        self.processes[name].kill()

    def start_process(
        self, name: str, command: list[str], environment: Mapping[str, str] | None = None
    ) -> ManagedProcess:
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), **(environment or {})}
        process = ManagedProcess(name, command, self.folder / f"{name}.log", env=environment)
        self.processes[name] = self._group.add(process)
        process.start()
        return process

    def _roles(self) -> Iterable[Role]:
        return configs.all_roles(self.sites, self.folder)

    def _links(self) -> dict[str, tuple[int, int]]:
        """Name of each link of the relay -> the port it listens on, the port behind it."""
        return {
            "mysql": (self.ports.wan_mysql, self.mysql_a.port),
            "redis": (self.ports.wan_redis, self.redis_a.port),
        }

    def _environment(self, role: Role) -> Mapping[str, str]:  # noqa: ARG002  for worlds with settings of their own
        return {}

    def _command(self, role: Role, settings: Path) -> list[str]:
        stampline = Path(sys.executable).parent / "stampline"
        return [str(stampline), role.command, "--config", str(settings), *role.arguments]

    def _prepare_data(self) -> None:
        """For worlds whose tables are full before anybody follows."""

    def _wait_ready(self, name: str) -> None:
        port = self.http_ports[name]
        # A ToC answers whatever is down; asked for a limit, it says whether it can vouch.
        path = "/readyz" if name in {TTL_ONLY, "tob"} else f"/readyz?max_lag={LAG_MAX_S}"
        self.processes[name].wait_until(lambda: is_answering(port, path, self.client_context), READY_DEADLINE_S)

    def _start_relay(self) -> None:
        command = [sys.executable, "-m", "deploy.simulation.relay", "--control", str(self.ports.relay_control)]
        command += ["--one-way-ms", str(self.wan_ms), "--jitter-ms", str(self.jitter_ms)]
        for name, (port, target) in self._links().items():
            command += ["--link", f"{name}:{port}=127.0.0.1:{target}"]
        relay = self.start_process("wan", command)
        relay.wait_until(lambda: self.wan.is_ready, READY_DEADLINE_S)

    def _start_role(self, role: Role) -> None:
        path = self._write(role)
        if role.http_port is not None:
            self.http_ports[role.name] = role.http_port
        self.start_process(role.name, self._command(role, path), self._environment(role))

    def _write(self, role: Role) -> Path:
        path = self.folder / f"{role.name}.toml"
        path.write_text(role.settings)
        return path


def _at_once(calls: Iterable[Callable[[], object]]) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
