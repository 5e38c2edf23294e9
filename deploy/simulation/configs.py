"""The roles of the simulation: which `stampline` command each process runs, and its settings file as users write it."""

import secrets
from dataclasses import dataclass
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


def all_roles(sites: Sites, folder: Path) -> list[Role]:
    """Return them in the order to start them."""
    return [
        *(source(sites, name) for name in ("source-1", "source-2")),
        *(mirror(sites, name) for name in ("mirror-1", "mirror-2")),
        *(service(sites, name, folder) for name in ("service-1", "service-2")),
        *(toc(sites, name) for name in (*TOCS, TTL_ONLY)),
        tob(sites),
    ]


def source(sites: Sites, name: str) -> Role:
    mysql = _mysql("source.mysql", sites.mysql_a.url("stampline_source"))
    return Role(name, "source", _stream(sites.redis_a, "a") + '[source]\nname = "mysql-a"\n' + mysql + TABLE)


def mirror(sites: Sites, name: str) -> Role:
    origin = f'[mirror]\norigin_dc = "a"\norigin_url = "redis://127.0.0.1:{sites.wan_redis_port}/0"\n'
    gate = f'[[mirror.gate]]\nname = "mysql-b"\nurl = "{sites.mysql_b.url("stampline_gate")}"\n'
    return Role(name, "mirror", _stream(sites.redis_b, "b") + origin + gate)


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


def _stream(redis: RedisServer, dc: str) -> str:
    return f'[stream]\nurl = "{redis.url}"\ndc = "{dc}"\n'


def _mysql(section: str, url: str) -> str:
    return f'[{section}]\nurl = "{url}"\n'
