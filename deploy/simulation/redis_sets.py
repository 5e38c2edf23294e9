"""Several Redis that act as one: a Sentinel set and a cluster, as small as each can be."""

import time
from collections.abc import Callable
from pathlib import Path

from deploy.simulation.certificates import Certificate
from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.processes import POLL_S, ProcessError, ProcessGroup
from deploy.simulation.redis_server import RedisServer

READY_DEADLINE_S = 60.0
SLOTS = 16384
QUORUM = 2


class SentinelProcess(RedisServer):
    """One Sentinel: a Redis started with `--sentinel`; it rewrites its own configuration file."""

    def __init__(self, name: str, folder: Path, watched: str, source: RedisServer, down_after_ms: int) -> None:
        super().__init__(name, folder, certificate=source.certificate)
        self.watched = watched
        reached = {name: value for name, value in self.options.items() if name == "port" or name.startswith("tls-")}
        self._lines = [
            f"bind {self.host}",
            *(f"{name} {value}" for name, value in reached.items()),
            f"dir {self.folder}",
            f"sentinel monitor {watched} {source.host} {source.port} {QUORUM}",
            f"sentinel down-after-milliseconds {watched} {down_after_ms}",
            f"sentinel failover-timeout {watched} 5000",
            "",
        ]

    def _prepare(self) -> None:
        if not self._config_path.exists():
            self._config_path.write_text("\n".join(self._lines))

    def _command(self) -> list[str | Path]:
        return [*super()._command(), "--sentinel"]

    def knows(self, *, replicas: int, sentinels: int) -> bool:
        with self.client(decode_responses=True) as client:
            seen_replicas = client.execute_command("SENTINEL", "REPLICAS", self.watched)
            seen_others = client.execute_command("SENTINEL", "SENTINELS", self.watched)
        return len(seen_replicas) >= replicas and len(seen_others) >= sentinels - 1


class RedisSentinel:
    """One source, one replica, three Sentinels; a dead source is replaced after about `down_after_ms`."""

    watched = "stampline"

    def __init__(self, folder: Path, down_after_ms: int = 1000, certificate: Certificate | None = None) -> None:
        self.source = RedisServer("source", folder / "source", certificate=certificate, repl_diskless_sync_delay=0)
        following = f"{LOOPBACK} {self.source.port}"
        self.replica = RedisServer("replica", folder / "replica", certificate=certificate, replicaof=following)
        self.sentinels = [
            SentinelProcess(name, folder / name, self.watched, self.source, down_after_ms)
            for name in ("sentinel-1", "sentinel-2", "sentinel-3")
        ]
        self._group = ProcessGroup()

    @property
    def url(self) -> str:
        """`sentinel://host:port,host:port,host:port/service`, or with TLS `sentinels://...?ssl_ca=...`."""
        scheme, query = _tls_in_url("sentinel", self.source.certificate)
        return f"{scheme}://{','.join(sentinel.address for sentinel in self.sentinels)}/{self.watched}{query}"

    @property
    def current_source(self) -> RedisServer:
        """The Redis that the first Sentinel now takes for the source."""
        with self.sentinels[0].client(decode_responses=True) as client:
            _, port = client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.watched)
        return next(server for server in (self.source, self.replica) if server.port == int(port))

    def start(self) -> None:
        for server in (self.source, self.replica, *self.sentinels):
            self._group.add(server).start()
        _wait_until("the Sentinels know each other and the replica", self._is_complete)

    def stop(self) -> None:
        self._group.close()

    def wait_for_source(self, server: RedisServer) -> None:
        """Return when the Sentinels have made this server the source."""
        _wait_until(f"{server.name} is the source", lambda: self.current_source is server)

    def _is_complete(self) -> bool:
        return _is_linked(self.replica) and all(
            sentinel.knows(replicas=1, sentinels=len(self.sentinels)) for sentinel in self.sentinels
        )


class RedisCluster:
    """So many sources, each with its share of the slots and with replicas or none."""

    def __init__(
        self, folder: Path, size: int = 3, certificate: Certificate | None = None, *, replicas_each: int = 0
    ) -> None:
        def node(name: str) -> RedisServer:
            return RedisServer(
                name,
                folder / name,
                certificate=certificate,
                cluster_enabled="yes",
                cluster_port=free_port(),
                cluster_node_timeout=2000,
                repl_diskless_sync_delay=0,
            )

        self.nodes = [node(f"node-{number}") for number in range(size)]
        """The sources."""
        self.replicas = [
            (node(f"replica-{number}-{copy}"), source)
            for number, source in enumerate(self.nodes)
            for copy in range(replicas_each)
        ]
        """Each with its source."""
        self._group = ProcessGroup()

    @property
    def url(self) -> str:
        scheme, query = _tls_in_url("cluster", self.nodes[0].certificate)
        return f"{scheme}://{','.join(node.address for node in self.nodes)}{query}"

    def start(self) -> None:
        for node in self._all:
            self._group.add(node).start()
        for number, node in enumerate(self.nodes):
            self._join(number, node)
        for replica, _ in self.replicas:
            self._meet(replica)
        _wait_until("every node sees all slots served", self._is_complete)
        for replica, source in self.replicas:
            self._replicate(replica, source)

    def stop(self) -> None:
        self._group.close()

    def _join(self, number: int, node: RedisServer) -> None:
        first, after = (SLOTS * edge // len(self.nodes) for edge in (number, number + 1))
        with node.client() as client:
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, after - 1)
        if number:
            self._meet(node)

    def _meet(self, node: RedisServer) -> None:
        seed = self.nodes[0]
        with node.client() as client:
            client.execute_command("CLUSTER", "MEET", seed.host, seed.port, seed.options["cluster-port"])

    def _replicate(self, replica: RedisServer, source: RedisServer) -> None:
        with replica.client() as client, source.client(decode_responses=True) as of:
            client.execute_command("CLUSTER", "REPLICATE", of.execute_command("CLUSTER", "MYID"))
        _wait_until(f"{replica.name} is linked to {source.name}", lambda: _is_linked(replica))

    @property
    def _all(self) -> list[RedisServer]:
        return [*self.nodes, *(replica for replica, _ in self.replicas)]

    def _is_complete(self) -> bool:
        return all(self._sees_all(node) for node in self._all)

    def _sees_all(self, node: RedisServer) -> bool:
        with node.client(decode_responses=True) as client:
            info = str(client.execute_command("CLUSTER", "INFO"))
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(self._all)}" in info


def _is_linked(replica: RedisServer) -> bool:
    with replica.client() as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def _tls_in_url(scheme: str, certificate: Certificate | None) -> tuple[str, str]:
    return (scheme, "") if certificate is None else (f"{scheme}s", certificate.query)


def _wait_until(claim: str, holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + READY_DEADLINE_S
    while not holds():
        if time.monotonic() > give_up_at:
            raise ProcessError(f"not true after {READY_DEADLINE_S:g} s: {claim}; read the server.log files beside it")
        time.sleep(POLL_S)
