"""The roles of the simulation: which `stampline` command each process runs, and its settings file as users write it."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.simulation.certificates import Certificate, write_secret
from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import free_port
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_users import TTL_ONLY as TTL_ONLY_ACCOUNT
from deploy.simulation.redis_users import VALUES_PREFIX

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
    """What the roles connect to, and as whom. ``wan_redis_port``: how a mirror reaches Redis A."""

    mysql_a: MariaDb
    mysql_b: MariaDb
    redis_a: RedisServer
    redis_b: RedisServer
    wan_redis_port: int
    certificate: Certificate | None = None
    """What roles show to servers and to each other; None: nothing speaks TLS, and every Redis is open to all."""


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
        *(_showing(role, [*replicators, *services, *readers, watcher], sites) for role in services),
        *readers,
        tob(sites),
        watcher,
    ]


def _showing(service: Role, roles: Iterable[Role], sites: Sites) -> Role:
    """Let the service's dashboard show these, itself and the world without stampline left out."""
    shown = [role for role in roles if role.name not in {service.name, TTL_ONLY}]
    return replace(service, settings=service.settings + "".join(_component(role, sites) for role in shown))


def _component(role: Role, sites: Sites) -> str:
    scheme = "https" if sites.certificate is not None and role.http_port else "http"
    url = f"{scheme}://127.0.0.1:{role.http_port or role.metrics_port}"
    return f'[[serve.component]]\nname = "{role.name}"\nrole = "{role.command}"\nurl = "{url}"\n'


def source(sites: Sites, name: str) -> Role:
    settings = _stream(sites, "a", "stampline_source") + _source(sites) + TABLE
    return Role(name, "source", settings, metrics_port=free_port())


def mirror(sites: Sites, name: str) -> Role:
    settings = _stream(sites, "b", "stampline_mirror") + _mirror(sites, "stampline_mirror")
    return Role(name, "mirror", settings, metrics_port=free_port())


def service(sites: Sites, name: str, folder: Path) -> Role:
    port = free_port()
    serve = f'[serve]\nport = {port}\naudit_log = "{folder / name}.audit.jsonl"\n'
    if sites.certificate is None:
        serve += f'token = "{TOKEN}"\n'
    else:
        serve += f'token_file = "{write_secret(folder / "tokens", f"demo {TOKEN}")}"\n'
    return Role(name, "serve", _stream(sites, "b", "stampline_serve") + serve + _https(sites), port)


def toc(sites: Sites, name: str) -> Role:
    port = free_port()
    is_ttl_only = name == TTL_ONLY
    section = f"[toc]\nport = {port}\nmysql_connections = 4\nttl_only = {str(is_ttl_only).lower()}\n"
    settings = _stream(sites, "b", "stampline_toc") + _values(
        sites, TTL_ONLY_ACCOUNT if is_ttl_only else "stampline_toc"
    )
    mysql = _mysql(sites, "[toc.mysql]", sites.mysql_b, "toc", DATABASE)
    return Role(name, "toc", settings + section + _https(sites) + mysql, port)


def tob(sites: Sites) -> Role:
    port = free_port()
    mysql = _mysql(sites, "[tob.mysql]", sites.mysql_a, "tob", DATABASE)
    return Role("tob", "tob", f"[tob]\nport = {port}\n" + _https(sites) + mysql, port)


def audit(sites: Sites) -> Role:
    section = "[audit]\nafter_s = [1, 10, 60]\n" + _mysql(sites, "[audit.mysql]", sites.mysql_b, "toc", DATABASE)
    settings = _stream(sites, "b", "stampline_audit") + _values(sites, "stampline_audit") + section + AUDIT_CHECK
    return Role("audit", "audit", settings, metrics_port=free_port())


def doctor(sites: Sites) -> Role:
    """All that can be checked, in one file of datacenter B."""
    redis = _stream(sites, "b", "stampline_doctor") + _values(sites, "stampline_doctor")
    mysql = _mysql(sites, "[toc.mysql]", sites.mysql_b, "toc", DATABASE)
    return Role("doctor", "doctor", redis + _source(sites) + TABLE + _mirror(sites, "stampline_doctor") + mysql)


def _source(sites: Sites) -> str:
    return '[source]\nname = "mysql-a"\n' + _mysql(sites, "[source.mysql]", sites.mysql_a, "stampline_source")


def _mirror(sites: Sites, account: str) -> str:
    origin = _redis(sites, sites.redis_a.behind(sites.wan_redis_port), account)
    origin = "".join(f"origin_{line}\n" for line in origin.splitlines())
    gate = _mysql(sites, '[[mirror.gate]]\nname = "mysql-b"', sites.mysql_b, "stampline_gate")
    return f'[mirror]\norigin_dc = "a"\n{origin}{gate}'


def _stream(sites: Sites, dc: str, account: str) -> str:
    redis = sites.redis_a if dc == "a" else sites.redis_b
    return f'[stream]\ndc = "{dc}"\n' + _redis(sites, redis, account)


def _values(sites: Sites, account: str) -> str:
    prefix = "" if sites.certificate is None else f'prefix = "{VALUES_PREFIX}"\n'
    return "[values]\n" + _redis(sites, sites.redis_b, account) + prefix


def _redis(sites: Sites, redis: RedisServer, account: str) -> str:
    if sites.certificate is None:
        return f'url = "{redis.url}"\n'
    login = f'url = "rediss://{account}@{redis.address}/0"\npassword_file = "{redis.password_file(account)}"\n'
    return login + sites.certificate.settings


def _mysql(sites: Sites, section: str, server: MariaDb, user: str, database: str = "") -> str:
    if sites.certificate is None:
        return f'{section}\nurl = "{server.url(user, database)}"\n'
    password_file = write_secret(server.folder / f"{user}.password", server.password)
    login = f'url = "mysql://{user}@{server.address}/{database}"\npassword_file = "{password_file}"\n'
    return f"{section}\n{login}{sites.certificate.settings}"


def _https(sites: Sites) -> str:
    if sites.certificate is None:
        return ""
    return sites.certificate.settings.replace("ssl_ca =", "ssl_client_ca =")
