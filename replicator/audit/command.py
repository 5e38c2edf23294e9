"""``stampline audit``: exit 1 when a wrong value was seen, 0 when none, 2 on bad settings."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import structlog
import typer

from replicator.audit.check import Checks
from replicator.audit.judge import Result
from replicator.audit.look import Looker
from replicator.audit.metrics import registry
from replicator.audit.observer import Observer, history_of
from replicator.audit.rows import Rows
from replicator.audit.schedule import Schedule
from replicator.audit.settings import AuditSection
from replicator.audit.tally import Tally
from replicator.audit.trace import HISTORY_MAX, Trace, lines, make_trace, names
from replicator.commands import MetricsHostOption, MetricsPortOption
from replicator.errors import MySqlAuthenticationError, UnreachedError
from replicator.probes import Probes
from replicator.start import reach
from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import AsyncRedisValues
from versioning.cli import log
from versioning.cli.backends import open_stream, open_values
from versioning.cli.duration import ForOption
from versioning.cli.help import explained
from versioning.cli.options import ConfigOption, JsonOption
from versioning.cli.running import run_role
from versioning.cli.sections import LogSection, StreamSection, ValuesSection
from versioning.cli.settings import Settings
from versioning.client.clock import system_clock
from versioning.client.follower import Follower
from versioning.client.installed import installed_version
from versioning.errors import ConfigError, FormatError, StamplineError
from versioning.index import Index
from versioning.keys import check_key
from versioning.limits import DEGRADED_TTL_MS

_log = structlog.get_logger()


@explained(
    "stampline audit --config stampline.toml --for 10m --json",
    "stampline audit --config stampline.toml --metrics-port 9482   # until told to stop",
    "stampline audit --config stampline.toml --key tracker_web:42  # why does this key look as it does?",
    exits={0: "no wrong value was seen", 1: "a wrong value was seen, or it failed"},
)
def audit(
    *,
    config: ConfigOption = None,
    key: Annotated[str, typer.Option(metavar="KEY", help="Explain this key, once, instead of observing.")] = "",
    for_s: ForOption = None,
    as_json: JsonOption = False,
    metrics_port: MetricsPortOption = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Look at changed keys some time later: is what readers are served what the database says?"""
    if key:
        _check(key)
    settings = Settings.load(config)
    log.configure(settings.one(LogSection).level)
    has_audit = getattr(settings.values, "audit", None) is not None
    section = settings.one(AuditSection) if has_audit or not key else None
    try:
        if key:
            trace = asyncio.run(_trace(settings, section, key))
            typer.echo(json.dumps(trace.as_json()) if as_json else "\n".join(lines(trace)))
            is_wrong = trace.sight.outcome.result is Result.WRONG
        else:
            tally = _observe(settings, settings.one(AuditSection), for_s, metrics_host, metrics_port)
            typer.echo(json.dumps(tally.as_json()) if as_json else "\n".join(tally.lines()))
            is_wrong = tally.wrong > 0
    except MySqlAuthenticationError as error:
        raise ConfigError(str(error)) from None
    if is_wrong:
        raise typer.Exit(1)


def _check(key: str) -> None:
    try:
        check_key(key)
    except FormatError as error:
        raise ConfigError(str(error)) from None


@dataclass(frozen=True, slots=True)
class _World:
    """Everything an audit talks to, opened."""

    stream: RedisStream
    values: AsyncRedisValues
    rows: Rows | None
    checks: Checks
    index: Index
    degraded_ttl_ms: int

    async def reach(self) -> None:
        """Raises SourceError or BackendError where a server does not answer, or refuses us."""
        if self.rows is not None:
            await self.rows.reach()
        await self.stream.state()

    async def try_out(self) -> None:
        """Run every statement once, for a key that is not there. Raises SourceError, ConfigError."""
        if self.rows is not None:
            for check in self.checks:
                await self.rows.try_out(check)

    def looker(self) -> Looker:
        return Looker(
            self.index, self.values, self.rows, self.checks, clock=system_clock, degraded_ttl_ms=self.degraded_ttl_ms
        )


@contextlib.asynccontextmanager
async def _opened(settings: Settings, section: AuditSection | None) -> AsyncIterator[_World]:
    at = settings.one(StreamSection)
    checks = [check.parsed() for check in section.check] if section else []
    async with contextlib.AsyncExitStack() as stack:
        stream = open_stream(at, version_keys=False)
        stack.push_async_callback(stream.aclose)
        values = open_values(settings.one(ValuesSection))
        stack.push_async_callback(values.aclose)
        rows = Rows(section.mysql.full_address("audit.mysql")) if section else None
        if rows is not None:
            stack.push_async_callback(rows.aclose)
        degraded_ttl_ms = section.degraded_ttl_ms if section else DEGRADED_TTL_MS
        yield _World(stream, values, rows, Checks(checks), Index(window_ms=at.window_ms), degraded_ttl_ms)


async def _trace(settings: Settings, section: AuditSection | None, key: str) -> Trace:
    async with _opened(settings, section) as world:
        await world.reach()
        await world.try_out()
        follower = Follower(world.stream, world.index)
        await follower.start()
        try:
            sight = await world.looker().look(key, section.confirm_ms if section else 0)
            history = await history_of(world.stream, lambda entry: names(entry, key), HISTORY_MAX)
            return make_trace(
                key, sight, world.index, system_clock(), history=history, degraded_ttl_ms=world.degraded_ttl_ms
            )
        finally:
            await follower.aclose()


def _observe(
    settings: Settings, section: AuditSection, for_s: float | None, metrics_host: str, metrics_port: int | None
) -> Tally:
    found: list[Tally] = []

    async def role(stop: asyncio.Event) -> None:
        async with _opened(settings, section) as world:
            schedule = Schedule(section.after_s, section.samples_per_s, random.choice)
            observer = Observer(
                world.looker(), schedule, world.checks, clock=system_clock, confirm_ms=section.confirm_ms
            )
            found.append(observer.tally)
            follower = Follower(world.stream, world.index)
            observer.follow(follower)

            def note(error: StamplineError) -> None:
                follower.stats.last_error = str(error)

            probes = _probes(observer.tally, follower, settings.one(StreamSection).dc)
            async with probes.serve_if_asked(metrics_host, metrics_port):
                await reach(world.reach, stop=stop, note=note)
                await world.try_out()
                await follower.start()
                _log.info(
                    "audit_started",
                    version=installed_version(),
                    after_s=section.after_s,
                    samples_per_s=section.samples_per_s,
                )
                try:
                    await observer.run(stop)
                finally:
                    await follower.aclose()

    try:
        run_role(role, for_s=for_s)
    except UnreachedError:
        if for_s is not None:  # as for a source: it has looked at nothing
            raise
    return found[0]


def _probes(tally: Tally, follower: Follower, dc: str) -> Probes:
    def readiness() -> str | None:
        return None if follower.stats.is_connected else follower.stats.last_error or "starting: not connected yet"

    return Probes(registry(tally, dc), readiness, lambda: {"role": "audit", "dc": dc, **tally.as_json()})
