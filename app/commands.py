"""``stampline serve``, ``toc`` and ``tob``: from settings to a running service."""

import asyncio
from typing import Annotated, Any

import structlog
import typer
from prometheus_client.registry import Collector

from app import service
from app import tob as tob_service
from app import toc as toc_service
from app.http import bind, tls_of
from app.http import serve as serve_app
from app.knowledge import Knowledge
from app.lane import Lane
from app.mysql_pool import MySqlPool
from app.settings import HttpSection, ServeSection, TobSection, TocSection
from app.toc import ReadingCache
from app.ttl_only import PREFIX, TtlOnlyCache
from versioning.cli import log
from versioning.cli.backends import open_stream, open_values
from versioning.cli.help import ROLE_EXITS, explained
from versioning.cli.masked import masked
from versioning.cli.options import ConfigOption
from versioning.cli.running import run_role
from versioning.cli.sections import LogSection, StreamSection, ValuesSection
from versioning.cli.settings import Settings
from versioning.client.async_cache import AsyncVersionedCache
from versioning.client.exposition import new_registry
from versioning.client.installed import installed_version
from versioning.client.metrics import CacheCollector
from versioning.client.pulse import Pulse

HostOption = Annotated[str | None, typer.Option(metavar="ADDRESS", help="Listen here; over the file.")]
PortOption = Annotated[int | None, typer.Option(min=0, max=65_535, help="Listen on this port; over the file.")]

_log = structlog.get_logger()


@explained("stampline serve --config stampline.toml", "stampline serve --host 0.0.0.0 --port 8700", exits=ROLE_EXITS)
def serve(*, config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run the version service: lookups, checks, bumps, events, dashboard."""
    settings = _load(config, {"serve": {"host": host, "port": port}})
    section, at = settings.one(ServeSection), settings.one(StreamSection)
    _announce(section, at)

    stream = open_stream(at, version_keys=True)
    app = service.create_app(section, stream, dc=at.dc, window_ms=at.window_ms)
    knowledge: Knowledge = app.state.knowledge

    async def role(stop: asyncio.Event) -> None:
        tls = tls_of(section)
        listener = bind(section)
        try:
            await serve_app(Lane(app, knowledge), listener, stop, tls=tls, before_stop=knowledge.fanout.close)
        finally:
            await stream.aclose()

    run_role(role, pulse=knowledge.follower.pulse, readiness=lambda: service.readiness(knowledge, None))


@explained("stampline toc --config stampline.toml --port 8710", exits=ROLE_EXITS)
def toc(
    *,
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    ttl_only: Annotated[bool | None, typer.Option(help="The same cache by time to live alone.")] = None,
) -> None:
    """Run the reference ToC: reads trackers through the cache."""
    settings = _load(config, {"toc": {"host": host, "port": port, "ttl_only": ttl_only}})
    section, at = settings.one(TocSection), settings.one(StreamSection)
    values, pulse = settings.one(ValuesSection), Pulse()
    _announce(section, at, values)

    async def role(stop: asyncio.Event) -> None:
        tls = tls_of(section)
        listener = bind(section)
        pool = MySqlPool(section.mysql.full_address("toc.mysql"), section.mysql_connections)
        cache = toc_cache(section, at, values)
        collectors = _collectors(cache, at.dc)
        app = toc_service.create_app(
            cache,
            pool,
            readiness=toc_service.readiness(cache),
            registry=new_registry(*collectors) if section.metrics else None,
        )
        await serve_app(app, listener, stop, tls=tls, pulse=pulse)

    run_role(role, pulse=pulse)


@explained("stampline tob --config stampline.toml --port 8720", exits=ROLE_EXITS)
def tob(*, config: ConfigOption = None, host: HostOption = None, port: PortOption = None) -> None:
    """Run the reference ToB: writes trackers in datacenter A."""
    settings = _load(config, {"tob": {"host": host, "port": port}})
    section, pulse = settings.one(TobSection), Pulse()
    _announce(section)

    async def role(stop: asyncio.Event) -> None:
        tls = tls_of(section)
        listener = bind(section)
        pool = MySqlPool(section.mysql.full_address("tob.mysql"), section.mysql_connections)
        await serve_app(tob_service.create_app(pool), listener, stop, tls=tls, pulse=pulse)

    run_role(role, pulse=pulse)


def _load(config: Any, flags: dict[str, dict[str, Any]]) -> Settings:
    settings = Settings.load(config, flags)
    log.configure(settings.one(LogSection).level)
    return settings


def _announce(section: HttpSection, *others: Any) -> None:
    shown = {part.section: masked(part) for part in (section, *others)}
    _log.info("service_started", role=section.section, version=installed_version(), **shown)


def toc_cache(section: TocSection, at: StreamSection, values: ValuesSection) -> ReadingCache:
    return _ttl_only_cache(section, values) if section.ttl_only else _versioned_cache(section, at, values)


def _versioned_cache(section: TocSection, at: StreamSection, values: ValuesSection) -> AsyncVersionedCache:
    return AsyncVersionedCache(
        stream=lambda: open_stream(at, version_keys=False),
        values=lambda: open_values(values),
        options=section.options(at.window_ms, values.prefix),
    )


def _ttl_only_cache(section: TocSection, values: ValuesSection) -> TtlOnlyCache:
    return TtlOnlyCache(
        open_values(values, extra_prefix=PREFIX),
        local_ttl_ms=section.local_ttl_ms,
        redis_ttl_ms=section.redis_ttl_ms,
        local_max_entries=section.local_max_entries,
    )


def _collectors(cache: ReadingCache, dc: str) -> list[Collector]:
    return [CacheCollector(cache.info, dc=dc)] if isinstance(cache, AsyncVersionedCache) else []
