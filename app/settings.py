"""Sections of the services: ``[serve]`` the version service, ``[toc]`` and ``[tob]`` the reference services."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from versioning.cli.sections import MySqlSection
from versioning.cli.settings import Section
from versioning.limits import DEGRADED_TTL_MS, LOCAL_TTL_MS, MAX_LAG_MS, PROVISIONAL_TTL_MS, REDIS_TTL_MS


class HttpSection(Section):
    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65_535)
    metrics: bool = True


class ServeSection(HttpSection):
    section: ClassVar[str] = "serve"

    port: int = Field(default=8700, ge=0, le=65_535)
    token: SecretStr = SecretStr("")
    """One bearer token for bumps."""
    token_file: Path | None = None
    """More of them, one per line, each after an optional name and a space."""
    audit_log: Path | None = None
    """File that bumps are appended to; none: the log on stderr."""
    max_lag_ms: int = Field(default=MAX_LAG_MS, ge=1)


class TocSection(HttpSection):
    section: ClassVar[str] = "toc"

    port: int = Field(default=8710, ge=0, le=65_535)
    mysql: MySqlSection
    mysql_connections: int = Field(default=8, ge=1, le=128)
    ttl_only: bool = False
    """The world without stampline: the same cache, by time to live alone."""
    local_ttl_ms: int = Field(default=LOCAL_TTL_MS, ge=1)
    redis_ttl_ms: int = Field(default=REDIS_TTL_MS, ge=1)
    degraded_ttl_ms: int = Field(default=DEGRADED_TTL_MS, ge=1)
    provisional_ttl_ms: int = Field(default=PROVISIONAL_TTL_MS, ge=1)
    max_lag_ms: int = Field(default=MAX_LAG_MS, ge=1)
    local_max_entries: int = Field(default=100_000, ge=1)


class TobSection(HttpSection):
    section: ClassVar[str] = "tob"

    port: int = Field(default=8720, ge=0, le=65_535)
    mysql: MySqlSection
    mysql_connections: int = Field(default=4, ge=1, le=128)


SECTIONS: tuple[Any, ...] = (ServeSection, TocSection, TobSection)
