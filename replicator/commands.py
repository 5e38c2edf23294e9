"""``stampline source`` and ``stampline mirror``: from settings to a running role, and its exit."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from replicator.errors import MySqlAuthenticationError, UnreachedError
from replicator.metrics import registry
from replicator.mirror.gate_mysql import MySqlGate, check_gates
from replicator.mirror.options import MirrorOptions, MirrorStats
from replicator.mirror.run import run_mirror
from replicator.probes import Probes
from replicator.settings import MirrorSection, SourceSection, TableSection, watched_tables
from replicator.source.options import SourceOptions
from replicator.source.preflight import check_mysql
from replicator.source.run import run_source
from replicator.source.stats import SourceStats
from replicator.source.templates import Templates
from replicator.tables import WatchedTables
from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.redis_stream import RedisStream
from versioning.cli import log
from versioning.cli.backends import open_stream
from versioning.cli.duration import ForOption
from versioning.cli.help import ROLE_EXITS, explained
from versioning.cli.masked import masked
from versioning.cli.options import ConfigOption
from versioning.cli.running import Role, run_role
from versioning.cli.sections import LogSection, StreamSection
from versioning.cli.settings import Section, Settings
from versioning.client.clock import unix_ms
from versioning.client.installed import installed_version
from versioning.client.pulse import Pulse
from versioning.errors import ConfigError
from versioning.limits import MAX_LAG_MS

MetricsPortOption = Annotated[
    int | None, typer.Option("--metrics-port", min=0, max=65_535, help="Serve /metrics, /livez, /readyz, /status here.")
]
MetricsHostOption = Annotated[
    str, typer.Option("--metrics-host", metavar="ADDRESS", help="Address for --metrics-port.")
]

_log = structlog.get_logger()


@explained(
    "stampline source --config stampline.toml --metrics-port 9480   # until told to stop",
    "stampline source --config stampline.toml --for 55s             # a scheduled function; runs may overlap",
    "kill -HUP PID                                                  # read the key templates again",
    exits=ROLE_EXITS,
)
def source(
    *,
    config: ConfigOption = None,
    adopt_templates: Annotated[
        bool, typer.Option("--adopt-templates", help="Take over a stream written with other key templates.")
    ] = False,
    for_s: ForOption = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Follow a MySQL binlog into the stamp stream. Any number may run at once."""
    settings = _load(config)
    section, at = settings.one(SourceSection), settings.one(StreamSection)
    tables = settings.many(TableSection)
    pulse, stats = Pulse(), SourceStats()

    def server() -> MySqlAddress:
        return section.mysql.full_address("source.mysql")

    templates = Templates(watched_tables(tables), lambda: _read_tables(config, server()), may_adopt=adopt_templates)
    options = SourceOptions(
        name=section.name,
        mysql=server(),
        heartbeat_ms=section.heartbeat_ms,
        window_ms=at.window_ms,
        keys_max=section.keys_max,
        generation_spread_ms=section.generation_spread_ms,
        keys_per_entry=section.keys_per_entry,
        server_id=section.server_id,
    )
    _announce("source", section, at, tables=masked(tables))
    probes = _probes("source", stats, at.dc, pulse)

    async def role(stop: asyncio.Event) -> None:
        async with probes.serve_if_asked(metrics_host, metrics_port), _opened(at) as stream:
            await run_source(options, templates, stream, stop=stop, stats=stats, pulse=pulse)

    _run(role, stats, pulse, for_s, on_reload=templates.ask)


@explained("stampline mirror --config stampline.toml --metrics-port 9481", exits=ROLE_EXITS)
def mirror(
    *,
    config: ConfigOption = None,
    for_s: ForOption = None,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Copy the stamp stream of another datacenter into this one, behind the gate. Any number may run at once."""
    settings = _load(config)
    section, at = settings.one(MirrorSection), settings.one(StreamSection)
    origin_at = StreamSection(url=section.full_origin_url(), name=section.origin_name, window_s=at.window_s)
    section.check_no_loop(at)
    options = MirrorOptions(
        origin_dc=section.origin_dc,
        gate_limit_ms=section.gate_limit_ms,
        heartbeat_ms=section.heartbeat_ms,
        window_ms=at.window_ms,
    )
    gates = [MySqlGate(gate.name, gate.full_address(f"mirror.gate.{gate.name}")) for gate in section.gate]
    _announce("mirror", section, at)
    pulse, stats = Pulse(), MirrorStats()
    probes = _probes("mirror", stats, at.dc, pulse)

    async def role(stop: asyncio.Event) -> None:
        async with (
            probes.serve_if_asked(metrics_host, metrics_port),
            _opened(origin_at) as origin,
            _opened(at, version_keys=True) as target,
        ):
            await check_gates(gates)
            await run_mirror(options, origin, target, gates, stop=stop, stats=stats, pulse=pulse)
        if not (stats.is_connected or stats.appends or stats.entries_covered):
            raise UnreachedError(stats.last_error or "no server has answered yet")

    _run(role, stats, pulse, for_s)


def _read_tables(config: Path | None, server: MySqlAddress) -> WatchedTables:
    """Read the key templates again, and look whether the server has what they need."""
    tables = watched_tables(Settings.load(config).many(TableSection))
    check_mysql(server, tables)
    return tables


def readiness(stats: SourceStats | MirrorStats) -> str | None:
    """Ready: connected, and no further behind than followers tolerate."""
    if not stats.is_connected:
        return stats.last_error or "starting: not connected yet"
    if not stats.read_ms:
        return "behind: no heartbeat yet"
    behind_ms = unix_ms() - stats.read_ms
    return None if behind_ms <= MAX_LAG_MS else f"behind: the last heartbeat is {behind_ms} ms old"


@contextlib.asynccontextmanager
async def _opened(section: StreamSection, *, version_keys: bool = False) -> AsyncIterator[RedisStream]:
    stream = open_stream(section, version_keys=version_keys)
    try:
        yield stream
    finally:
        await stream.aclose()


def _probes(role: str, stats: SourceStats | MirrorStats, dc: str, pulse: Pulse) -> Probes:
    return Probes(
        registry(role, stats, dc),
        lambda: readiness(stats),
        lambda: {"role": role, "dc": dc, **asdict(stats)},
        liveness=pulse.complaint,
    )


def _run(
    role: Role,
    stats: SourceStats | MirrorStats,
    pulse: Pulse,
    for_s: float | None,
    on_reload: Callable[[], None] | None = None,
) -> None:
    try:
        run_role(role, pulse=pulse, readiness=lambda: readiness(stats), on_reload=on_reload, for_s=for_s)
    except MySqlAuthenticationError as error:
        raise ConfigError(str(error)) from None
    except UnreachedError:
        if for_s is not None:  # who runs it by the clock must hear that it has done nothing
            raise
    _log.info("role_stopped")


def _load(config: Path | None) -> Settings:
    settings = Settings.load(config)
    log.configure(settings.one(LogSection).level)
    return settings


def _announce(role: str, *sections: Section, **more: Any) -> None:
    shown = {part.section: masked(part) for part in sections}
    _log.info("role_started", role=role, version=installed_version(), **shown, **more)
