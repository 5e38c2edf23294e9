"""Sections of the replicator's roles: ``[source]``, ``[[table]]``, ``[mirror]`` and its ``[[mirror.gate]]``."""

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from replicator.tables import TableSpec, WatchedTables
from versioning.backends.redis_connect import RedisAddress
from versioning.cli.files import check_files
from versioning.cli.sections import (
    MySqlSection,
    StreamSection,
    check_names,
    check_redis_url,
    full_url,
    url_with_tls,
)
from versioning.cli.settings import Section, Settings
from versioning.errors import ConfigError
from versioning.keys import KeyTemplate
from versioning.limits import GATE_LIMIT_MS, GENERATION_SPREAD_MS, KEYS_PER_ENTRY, MAX_KEYS, SPREAD_MAX_MS
from versioning.options import NAME_PATTERN


class SourceSection(Section):
    section: ClassVar[str] = "source"

    name: str = Field(pattern=NAME_PATTERN)
    """The same for all sources of one MySQL: they share a checkpoint (P1)."""
    mysql: MySqlSection
    server_id: int | None = Field(default=None, ge=1, le=2**32 - 1)
    """Unique among all that read this binlog; random in a high range unless set."""
    heartbeat_ms: int = Field(default=500, ge=50, le=2_500)
    """At most half of the silence after which a mirror takes its link for dead (``MirrorOptions.silence_ms``)."""
    keys_max: int = Field(default=MAX_KEYS, ge=1)
    keys_per_entry: int = Field(default=KEYS_PER_ENTRY, ge=1, le=5_000)
    generation_spread_ms: int = Field(default=GENERATION_SPREAD_MS, ge=0, le=SPREAD_MAX_MS)


class TableSection(Section):
    section: ClassVar[str] = "table"

    name: str
    """``database.table``."""
    keys: tuple[str, ...] = Field(min_length=1)

    @field_validator("name")
    @classmethod
    def _is_qualified(cls, name: str) -> str:
        database, dot, table = name.partition(".")
        if not (database and dot and table) or "." in table:
            raise ValueError(f"{name!r} is not database.table")
        return name

    @field_validator("keys")
    @classmethod
    def _are_templates(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for text in keys:
            try:
                KeyTemplate.parse(text)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return keys

    @classmethod
    def check_together(cls, settings: Settings) -> None:
        if settings.has(cls):
            watched_tables(settings.many(cls))

    def spec(self) -> TableSpec:
        database, _, table = self.name.partition(".")
        return TableSpec(database, table, tuple(KeyTemplate.parse(text) for text in self.keys))


class GateSection(MySqlSection):
    """A database that loads read from; entries wait until it has applied them (P4)."""

    name: str = Field(pattern=NAME_PATTERN)


class MirrorSection(Section):
    section: ClassVar[str] = "mirror"

    origin_dc: str = Field(default="a", pattern=NAME_PATTERN)
    """The same for all mirrors of one origin: they share a checkpoint (P1)."""
    origin_url: str = Field(repr=False)
    origin_name: str = Field(default="stampline", pattern=NAME_PATTERN)
    origin_password_file: Path | None = None
    origin_ssl_ca: Path | None = None
    origin_ssl_cert: Path | None = None
    origin_ssl_key: Path | None = None
    gate_limit_ms: int = Field(default=GATE_LIMIT_MS, ge=1, le=120_000)
    heartbeat_ms: int = Field(default=500, ge=50, le=5_000)
    gate: tuple[GateSection, ...] = ()

    _url_is_redis = field_validator("origin_url")(check_redis_url)
    _has_names_of_its_own = field_validator("gate")(check_names)

    @model_validator(mode="after")
    def _tls_fits_the_url(self) -> Self:
        check_redis_url(self.tls_url())
        return self

    def check_section(self, place: str) -> None:
        del place  # It has one name.
        self.full_origin_url()

    @classmethod
    def check_together(cls, settings: Settings) -> None:
        if settings.has(cls) and settings.has(StreamSection):
            settings.one(cls).check_no_loop(settings.one(StreamSection))

    def check_no_loop(self, target: StreamSection) -> None:
        """Raises ConfigError for a mirror of its own stream: it would copy every copy again, until Redis is full."""
        if _place(self.tls_url(), self.origin_name) == _place(target.tls_url(), target.name):
            where = RedisAddress.parse(target.url)
            raise ConfigError(
                f"[stream] and [mirror] name the same stream, {target.name} on {where}: the mirror would copy itself",
                hint="[stream] is the one to write; roles that write different ones need files of their own",
            )

    def tls_url(self) -> str:
        """Return the URL with its files of TLS, and without what comes from a file."""
        files = {"ssl_ca": self.origin_ssl_ca, "ssl_cert": self.origin_ssl_cert, "ssl_key": self.origin_ssl_key}
        return url_with_tls(self.origin_url, **files)

    def full_origin_url(self) -> str:
        """Return the URL with its password; raises ConfigError for a file that cannot be used."""
        check_files(self, self.section)
        return full_url(self.tls_url(), self.origin_password_file, keys="mirror.origin_")


def _place(url: str, name: str) -> tuple[object, ...]:
    at = RedisAddress.parse(url)
    return frozenset(at.nodes), at.service, dict(at.options).get("db", 0), name


def watched_tables(sections: tuple[TableSection, ...]) -> WatchedTables:
    """Raises ConfigError where a table is named twice, or there is none."""
    return WatchedTables(tuple(section.spec() for section in sections))


SECTIONS: tuple[Any, ...] = (SourceSection, list[TableSection], MirrorSection)
