"""The roles of the simulation: which `stampline` command each process runs, and its settings file as users write it."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import free_port
from deploy.simulation.redis_server import RedisServer

DATABASE = "shop"
TOKEN = secrets.token_hex(16)
TTL_ONLY = "toc-ttl"
TOCS = ("toc-1", "toc-2", "toc-3")

TABLE = f"""
[[table]]
name = "{DATABASE}.tracker_web"
keys = [
  "tracker_web:{{id}}",
  "tracker_web:tracker_id:{{tracker_id|lower}}",
  "trackers_by_tenant:{{tenant_id}}",
]
"""

AUDIT_CHECK = f"""
[[audit.check]]
template = "tracker_web:{{id}}"
sql = "SELECT JSON_OBJECT('id', id, 'name', name, 'status', status) FROM {DATABASE}.tracker_web WHERE id = {{id}}"
"""


@dataclass(frozen=True)
class Sites:
    """What the roles connect to. ``wan_redis_port``: how a mirror reaches Redis A."""

    mysql_a: MariaDb
    mysql_b: MariaDb
    redis_a: RedisServer
    redis_b: RedisServer
    wan_redis_port: int


@dataclass(frozen=True)
class Role:
    name: str
    command: str
    settings: str
    http_port: int | None = None
    """Where it serves; the world waits there until it is ready."""
    metrics_port: int | None = None
    """Where a role that serves nothing else has its /status."""

    @property
    def arguments(self) -> list[str]:
        return [] if self.metrics_port is None else ["--metrics-port", str(self.metrics_port)]


def all_roles(sites: Sites, folder: Path) -> list[Role]:
    """Return them in the order to start them."""
    replicators = [
        *(source(sites, name) for name in ("source-1", "source-2")),
        *(mirror(sites, name) for name in ("mirror-1", "mirror-2")),
    ]
    services = [service(sites, name, folder) for name in ("service-1", "service-2")]
    readers = [toc(sites, name) for name in (*TOCS, TTL_ONLY)]
    watcher = audit(sites)
    return [
        *replicators,
        *(_showing(role, [*replicators, *services, *readers, watcher]) for role in services),
        *readers,
        tob(sites),
        watcher,
    ]


def _showing(service: Role, roles: Iterable[Role]) -> Role:
    """Let the service's dashboard show these, itself and the world without stampline left out."""
    shown = [role for role in roles if role.name not in {service.name, TTL_ONLY}]
    return replace(service, settings=service.settings + "".join(map(_component, shown)))


def _component(role: Role) -> str:
    url = f"http://127.0.0.1:{role.http_port or role.metrics_port}"
    return f'[[serve.component]]\nname = "{role.name}"\nrole = "{role.command}"\nurl = "{url}"\n'


def source(sites: Sites, name: str) -> Role:
    mysql = _mysql("source.mysql", sites.mysql_a.url("stampline_source"))
    settings = _stream(sites.redis_a, "a") + '[source]\nname = "mysql-a"\n' + mysql + TABLE
    return Role(name, "source", settings, metrics_port=free_port())


def mirror(sites: Sites, name: str) -> Role:
    origin = f'[mirror]\norigin_dc = "a"\norigin_url = "redis://127.0.0.1:{sites.wan_redis_port}/0"\n'
    gate = f'[[mirror.gate]]\nname = "mysql-b"\nurl = "{sites.mysql_b.url("stampline_gate")}"\n'
    return Role(name, "mirror", _stream(sites.redis_b, "b") + origin + gate, metrics_port=free_port())


def service(sites: Sites, name: str, folder: Path) -> Role:
    port = free_port()
    serve = f'[serve]\nport = {port}\ntoken = "{TOKEN}"\naudit_log = "{folder / name}.audit.jsonl"\n'
    return Role(name, "serve", _stream(sites.redis_b, "b") + serve, port)


def toc(sites: Sites, name: str) -> Role:
    port = free_port()
    section = f"[toc]\nport = {port}\nmysql_connections = 4\nttl_only = {str(name == TTL_ONLY).lower()}\n"
    values = f'[values]\nurl = "{sites.redis_b.url}"\n'
    mysql = _mysql("toc.mysql", sites.mysql_b.url("toc", DATABASE))
    return Role(name, "toc", _stream(sites.redis_b, "b") + values + section + mysql, port)


def tob(sites: Sites) -> Role:
    port = free_port()
    return Role("tob", "tob", f"[tob]\nport = {port}\n" + _mysql("tob.mysql", sites.mysql_a.url("tob", DATABASE)), port)


def audit(sites: Sites) -> Role:
    section = "[audit]\nafter_s = [1, 10, 60]\n" + _mysql("audit.mysql", sites.mysql_b.url("toc", DATABASE))
    values = f'[values]\nurl = "{sites.redis_b.url}"\n'
    settings = _stream(sites.redis_b, "b") + values + section + AUDIT_CHECK
    return Role("audit", "audit", settings, metrics_port=free_port())


def _stream(redis: RedisServer, dc: str) -> str:
    return f'[stream]\nurl = "{redis.url}"\ndc = "{dc}"\n'


def _mysql(section: str, url: str) -> str:
    return f'[{section}]\nurl = "{url}"\n'
