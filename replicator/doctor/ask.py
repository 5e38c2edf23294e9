"""From settings to facts: whatever sections are there are asked about, each server once and for itself."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from replicator.doctor.ask_mysql import ask_schema, ask_server
from replicator.doctor.findings import Finding, Severity
from replicator.doctor.mysql_facts import MySqlFacts, SchemaFacts
from replicator.doctor.own_certificates import own_certificates
from replicator.doctor.redis_checks import StreamFacts
from replicator.doctor.site import Load, Plan, Site
from replicator.errors import SourceError
from replicator.settings import GateSection, MirrorSection, SourceSection, TableSection, watched_tables
from replicator.tables import WatchedTables
from versioning import stamp as stamps
from versioning.backends.base import BackendError
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_facts import RedisFacts, redis_facts
from versioning.backends.redis_stream import RedisStream
from versioning.checkpoint import source_writer
from versioning.cli.files import unreadable_in
from versioning.cli.sections import MySqlSection, StreamSection, ValuesSection
from versioning.cli.settings import AnySection, Settings
from versioning.client.clock import unix_ms
from versioning.errors import ConfigError, StamplineError
from versioning.limits import DEGRADED_TTL_MS, GATE_LIMIT_MS, MAX_LAG_MS, REDIS_TTL_MS, WINDOW_MS

Facts = TypeVar("Facts")

_SAYS_SO_ITSELF: Final = "it is up, and says this itself: mend it there"


class _Sections:
    """The sections a file has; None for those it has not."""

    def __init__(self, settings: Settings) -> None:
        self.stream = _optional(settings, StreamSection)
        self.values = _optional(settings, ValuesSection)
        self.source = _optional(settings, SourceSection)
        self.mirror = _optional(settings, MirrorSection)
        self.gates: Sequence[GateSection] = self.mirror.gate if self.mirror else ()
        # The reference service's own section is the one place that tells where and how long loads are kept. Its type
        # belongs to a package that need not be installed, and the audit's to a role of its own.
        self.toc: Any = getattr(settings.values, "toc", None)
        self._audit: Any = getattr(settings.values, "audit", None)
        tables = settings.many(TableSection)
        self.tables: WatchedTables | None = watched_tables(tables) if tables else None
        if not (self.stream or self.values or self.source or self.mirror):
            raise ConfigError(
                "there is nothing to check: no [stream], [values], [source] or [mirror]",
                hint="name the settings of a role with --config FILE",
            )

    def redis_addresses(self) -> list[RedisAddress]:
        named = [section for section in (self.stream, self.values, self.mirror) if section is not None]
        return [RedisAddress.parse(section.tls_url()) for section in named]

    def loads(self) -> dict[str, MySqlSection]:
        """Return the databases that values are loaded from, by the setting that names each."""
        named = {"toc.mysql": getattr(self.toc, "mysql", None), "audit.mysql": getattr(self._audit, "mysql", None)}
        return {setting: section for setting, section in named.items() if isinstance(section, MySqlSection)}

    def plan(self, outage_s: int) -> Plan:
        return Plan(
            window_ms=self.stream.window_ms if self.stream else WINDOW_MS,
            outage_s=outage_s,
            tables=self.tables,
            reader_id=self.source.server_id if self.source else None,
            gate_limit_ms=self.mirror.gate_limit_ms if self.mirror else GATE_LIMIT_MS,
            has_mirror=self.mirror is not None,
            gate_addresses=tuple(_where(gate) for gate in self.gates),
            redis_ttl_ms=getattr(self.toc, "redis_ttl_ms", REDIS_TTL_MS),
            is_ttl_known=self.toc is not None,
            degraded_ttl_ms=getattr(self.toc, "degraded_ttl_ms", DEGRADED_TTL_MS),
            max_lag_ms=getattr(self.toc, "max_lag_ms", MAX_LAG_MS),
        )


class _Asker:
    """Asks, and keeps a finding for each server that cannot be asked, and for each file that cannot be read."""

    def __init__(self, settings: BaseModel) -> None:
        self.unreached: list[Finding] = [_of_file(error) for error in unreadable_in(settings)]

    def refuse(self, error: ConfigError) -> None:
        """A server is not asked, since a file for it is of no use."""
        finding = _of_file(error)
        if finding not in self.unreached:
            self.unreached.append(finding)

    def miss(self, subject: str, setting: str, error: StamplineError) -> None:
        unreached = f"start it, or correct its address in {setting}"
        fix = unreached if error.is_unreached else error.hint or _SAYS_SO_ITSELF
        self.unreached.append(Finding(Severity.ERROR, subject, "unreached", error.message, fix))

    def server(self, role: str, setting: str, section: MySqlSection, key: str) -> MySqlFacts | None:
        try:
            return ask_server(role, section.full_address(key))
        except SourceError as error:
            self.miss(f"{role} {_where(section)}", setting, error)
        except ConfigError as error:
            self.refuse(error)
        return None

    def schema(self, section: MySqlSection, tables: WatchedTables) -> SchemaFacts:
        try:
            return ask_schema(section.full_address("source.mysql"), tables)
        except SourceError as error:
            self.miss(f"source {_where(section)}", "[source.mysql]", error)
            return SchemaFacts()

    def url(self, read: Callable[[], str]) -> str | None:
        """Read the secrets of a Redis URL."""
        try:
            return read()
        except ConfigError as error:
            self.refuse(error)
            return None

    async def redis(self, role: str, setting: str, url: str) -> tuple[RedisFacts, ...]:
        at = RedisAddress.parse(url)
        try:
            return await redis_facts(at)
        except BackendError as error:
            self.miss(f"{role} {at}", setting, error)
            return ()

    async def stream(self, role: str, setting: str, at: StreamSection, **known: Any) -> StreamFacts | None:
        """``at``: its URL has its password."""
        servers = await self.redis(role, setting, at.url)
        if not servers:
            return None
        backend = RedisStream.from_url(at.url, name=at.name)
        try:
            state = await backend.state()
            oldest = await backend.read_after(stamps.ZERO, count=1)
            newest = await backend.read_before(None, count=1)
        except StamplineError as error:
            self.miss(f"{role} {backend.address}", setting, error)
            return None
        finally:
            await backend.aclose()
        return StreamFacts(
            role=role,
            address=str(backend.address),
            servers=servers,
            state=state,
            oldest=oldest[0] if oldest else None,
            newest=newest[0] if newest else None,
            now_ms=unix_ms(),
            window_ms=at.window_ms,
            name=at.name,
            **known,
        )


def ask(settings: Settings, *, outage_s: int) -> Site:
    """Raises ConfigError; every other trouble is in the site's ``unreached``."""
    sections, asker = _Sections(settings), _Asker(settings.values)
    plan = sections.plan(outage_s)
    gates = [
        asker.server(f"gate {gate.name}", f"[[mirror.gate]] {gate.name}", gate, f"mirror.gate.{gate.name}")
        for gate in sections.gates
    ]
    source, schema = _ask_source(asker, sections)  # After the gates: by now it has all that they have.
    loads = [
        Load(setting, _where(section), asker.server(setting.partition(".")[0], f"[{setting}]", section, setting))
        for setting, section in sections.loads().items()
    ]
    streams, values = asyncio.run(_ask_redis(asker, sections))
    certificates = own_certificates(settings.values, [at.tls for at in sections.redis_addresses()])
    return Site(
        plan,
        source,
        schema,
        _known(gates),
        tuple(loads),
        _known(streams),
        values,
        certificates,
        tuple(asker.unreached),
    )


def _ask_source(asker: _Asker, sections: _Sections) -> tuple[MySqlFacts | None, SchemaFacts]:
    if sections.source is None:
        return None, SchemaFacts()
    facts = asker.server("source", "[source.mysql]", sections.source.mysql, "source.mysql")
    if facts is None or sections.tables is None:
        return facts, SchemaFacts()
    return facts, asker.schema(sections.source.mysql, sections.tables)


async def _ask_redis(asker: _Asker, sections: _Sections) -> tuple[list[StreamFacts | None], tuple[RedisFacts, ...]]:
    """A file with ``[mirror]`` is B's: its ``[stream]`` is the mirrored one, and a source in it writes the origin."""
    mirror, stream = sections.mirror, sections.stream
    of_source = {
        "writers": (source_writer(sections.source.name),) if sections.source else (),
        "digest": sections.tables.digest() if sections.tables else "",
    }
    found: list[StreamFacts | None] = []
    origin_url = asker.url(mirror.full_origin_url) if mirror is not None else None
    if mirror is not None and origin_url is not None:
        window_s = stream.window_s if stream else WINDOW_MS // 1000
        origin = StreamSection(url=origin_url, name=mirror.origin_name, window_s=window_s)
        found.append(await asker.stream("origin", "[mirror] origin_url", origin, wait_replicas=None, **of_source))
    stream_url = asker.url(stream.full_url) if stream is not None else None
    if stream is not None and stream_url is not None:
        known = {"writers": (f"mirror:{mirror.origin_dc}",)} if mirror is not None else of_source
        at = _at(stream, stream_url)
        found.append(await asker.stream("stream", "[stream]", at, wait_replicas=stream.wait_replicas, **known))
    values_url = asker.url(sections.values.full_url) if sections.values is not None else None
    return found, (await asker.redis("values", "[values]", values_url)) if values_url is not None else ()


def _at(stream: StreamSection, url: str) -> StreamSection:
    """The URL has the files of TLS in it, and the password."""
    return stream.model_copy(update={"url": url, "password_file": None})


def _of_file(error: ConfigError) -> Finding:
    key, _, what = error.message.partition(": ")
    return Finding(Severity.ERROR, f"setting {key}", "file", what, error.hint)


def _optional(settings: Settings, kind: type[AnySection]) -> AnySection | None:
    found = getattr(settings.values, kind.section, None)
    return found if isinstance(found, kind) else None


def _known(found: Sequence[Facts | None]) -> tuple[Facts, ...]:
    return tuple(facts for facts in found if facts is not None)


def _where(section: MySqlSection) -> str:
    host, port = section.address
    return f"{host}:{port}"
