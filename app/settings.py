"""Sections of the services: ``[serve]`` the version service, ``[toc]`` and ``[tob]`` the reference services."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from versioning.backends.tls import TlsFiles
from versioning.cli.sections import MySqlSection, check_names
from versioning.cli.settings import Section
from versioning.limits import DEGRADED_TTL_MS, LOCAL_TTL_MS, MAX_LAG_MS, PROVISIONAL_TTL_MS, REDIS_TTL_MS
from versioning.options import NAME_PATTERN


class HttpSection(Section):
    host: str = Field(default="127.0.0.1", min_length=1)
    """An empty one, as of a variable that is not set, would be every address."""
    port: int = Field(ge=0, le=65_535)
    metrics: bool = True
    ssl_cert: Path | None = None
    """Serve HTTPS with this certificate; replaced files count from the next connection on."""
    ssl_key: Path | None = None
    ssl_client_ca: Path | None = None
    """Turn away clients without a certificate of this CA."""

    @property
    def tls_files(self) -> TlsFiles:
        """For the listener, and for asking other processes, which belong to the same CA."""
        return TlsFiles.of(self.ssl_client_ca, self.ssl_cert, self.ssl_key)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.ssl_cert is None and (self.ssl_key or self.ssl_client_ca):
            raise ValueError("ssl_key and ssl_client_ca need ssl_cert")
        return self


COMPONENTS_MAX = 64
"""Each costs a request per second and up to 256 KiB."""


class ComponentSection(Section):
    """A process that the dashboard shows; it is asked for its ``/status``."""

    section: ClassVar[str] = "serve.component"

    name: str = Field(pattern=NAME_PATTERN)
    role: Literal["source", "mirror", "serve", "toc", "audit"]
    url: str
    """``http://host:port`` or ``https://host:port``: of a source, mirror or audit that of its ``--metrics-port``."""

    @field_validator("url")
    @classmethod
    def _is_a_base(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:  # as for what is no port; its message may repeat a password
            raise ValueError("is not http://host:port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is not http://host:port")
        if "@" in url or parts.query or parts.fragment:
            raise ValueError("names more than a server and a path")
        return url.rstrip("/")


class ServeSection(HttpSection):
    section: ClassVar[str] = "serve"

    port: int = Field(default=8700, ge=0, le=65_535)
    token: SecretStr = SecretStr("")
    """One bearer token for bumps."""
    token_file: Path | None = None
    """More of them, one per line, each after an optional name and a space. Read again when it changes."""
    read_only: bool = False
    """Refuse every bump, whatever the token."""
    bumps_per_min: int = Field(default=60, ge=1, le=100_000)
    """Of one token."""
    bumps_total_per_min: int = Field(default=300, ge=1, le=100_000)
    audit_log: Path | None = None
    """File that bumps, refused ones too, are appended to; none: the log on stderr."""
    max_lag_ms: int = Field(default=MAX_LAG_MS, ge=1)
    component: tuple[ComponentSection, ...] = Field(default=(), max_length=COMPONENTS_MAX)
    """What the dashboard shows, beside this service itself."""

    _has_names_of_its_own = field_validator("component")(check_names)


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
