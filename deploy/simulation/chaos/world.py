"""The two datacenters with every connection behind a relay: whoever's network is to fail, its links fail.

A link is named `client>server`. The links of a component are those it is an end of.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from deploy.simulation import configs
from deploy.simulation.chaos import clocks
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.configs import TOCS, Role, Sites
from deploy.simulation.ports import free_port
from deploy.simulation.processes import ManagedProcess
from deploy.simulation.server import Server
from deploy.simulation.world import CHECKOUT, World

AnyServer = TypeVar("AnyServer", bound=Server)

VICTIM = "toc-1"
"""The ToC that faults befall; the others go on."""

LOCAL_LINKS = (
    "source>mysql-a",
    "source>redis-a",
    "mirror>redis-b",
    "mirror>mysql-b",
    "service>redis-b",
    f"{VICTIM}>redis-b",
    f"{VICTIM}>mysql-b",
    "tocs>redis-b",
    "tocs>mysql-b",
)
REPLICATION_LINK = "mysql-b>mysql-a"
MIRROR_LINK = "mirror>redis-a"
WAN_LINKS = (REPLICATION_LINK, MIRROR_LINK)

ROLES = {
    "source": ("source-1", "source-2"),
    "mirror": ("mirror-1", "mirror-2"),
    "service": ("service-1", "service-2"),
    "toc": (VICTIM,),
}
"""A fault befalls all processes of a role: with one of two, nobody would notice."""


class ChaosWorld(World):
    """`has_clocks`: every process of ours has a wall clock of its own, which `set_clock` sets."""

    def __init__(self, folder: Path, limits: Limits, *, wan_ms: float = 20.0, has_clocks: bool = False) -> None:
        super().__init__(folder, wan_ms=wan_ms)
        self.limits = limits
        self.has_clocks = has_clocks
        self._local_ports = {link: free_port() for link in LOCAL_LINKS}

    def members(self, component: str) -> list[Server | ManagedProcess]:
        """Return the processes of a component; none for the WAN and the replica's threads."""
        servers = {server.name: server for server in (self.mysql_a, self.mysql_b, self.redis_a, self.redis_b)}
        if component in servers:
            return [servers[component]]
        return [self.processes[name] for name in ROLES.get(component, ())]

    def links_of(self, component: str) -> list[str]:
        if component == "wan":
            return list(WAN_LINKS)
        end = VICTIM if component == "toc" else component
        return [link for link in (*LOCAL_LINKS, *WAN_LINKS) if end in link.split(">")]

    def set_clock(self, component: str, offset_s: float) -> None:
        for name in ROLES[component]:
            clocks.set_offset(self._clock_of(name), offset_s)

    def _clock_of(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def _roles(self) -> Iterable[Role]:
        for link in LOCAL_LINKS:
            self.wan.set_delay(0.0, link=link)
        for name in ROLES["source"]:
            yield configs.source(self._sites_of("source"), name)
        for name in ROLES["mirror"]:
            yield configs.mirror(self._sites_of("mirror"), name)
        for name in ROLES["service"]:
            yield configs.service(self._sites_of("service"), name, self.folder)
        for name in TOCS:
            yield configs.toc(self._sites_of(VICTIM if name == VICTIM else "tocs"), name)

    def _links(self) -> dict[str, tuple[int, int]]:
        servers = {server.name: server.port for server in (self.mysql_a, self.mysql_b, self.redis_a, self.redis_b)}
        ports = {
            REPLICATION_LINK: self.ports.wan_mysql,
            MIRROR_LINK: self.ports.wan_redis,
            **self._local_ports,
        }
        return {link: (port, servers[link.partition(">")[2]]) for link, port in ports.items()}

    def _environment(self, role: Role) -> Mapping[str, str]:
        settings = self.limits.settings(role.command)
        environment = {f"STAMPLINE_{key.upper().replace('.', '__')}": str(value) for key, value in settings.items()}
        if not self.has_clocks:
            return environment
        return {**environment, **clocks.environment(self._clock_of(role.name), CHECKOUT)}

    def _sites_of(self, client: str) -> Sites:
        """Return the sites as this client reaches them."""
        sites = self.sites
        return Sites(
            self._as_seen_by(client, sites.mysql_a),
            self._as_seen_by(client, sites.mysql_b),
            self._as_seen_by(client, sites.redis_a),
            self._as_seen_by(client, sites.redis_b),
            sites.wan_redis_port,
        )

    def _as_seen_by(self, client: str, server: AnyServer) -> AnyServer:
        port = self._local_ports.get(f"{client}>{server.name}")
        return server if port is None else server.behind(port)
