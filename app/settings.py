"""Sections of the services: ``[serve]`` the version service, ``[toc]`` and ``[tob]`` the reference services."""

from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from versioning.backends.tls import TlsFiles, server_context
from versioning.cli.files import read_tokens
from versioning.cli.sections import MySqlSection, StreamSection, check_names, named
from versioning.cli.settings import Section, Settings
from versioning.errors import ConfigError
from versioning.limits import DEGRADED_TTL_MS, LOCAL_TTL_MS, MAX_LAG_MS, PROMISE_MS, PROVISIONAL_TTL_MS, REDIS_TTL_MS
from versioning.options import NAME_PATTERN, CacheOptions


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

    def check_section(self, place: str) -> None:
        super().check_section(place)
        if self.ssl_cert is not None:
            with named(place):
                server_context(self.tls_files)

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if self.ssl_cert is None and (self.ssl_key or self.ssl_client_ca):
            raise ValueError("ssl_key and ssl_client_ca need ssl_cert")
        return self


TOKEN_CHARS_MIN: Final = 16
"""Shorter ones can be guessed over the network."""

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
    max_lag_ms: int = Field(default=MAX_LAG_MS, ge=1, lt=PROMISE_MS)
    component: tuple[ComponentSection, ...] = Field(default=(), max_length=COMPONENTS_MAX)
    """What the dashboard shows, beside this service itself."""

    _has_names_of_its_own = field_validator("component")(check_names)

    def check_section(self, place: str) -> None:
        super().check_section(place)
        self.tokens()

    def tokens(self) -> list[tuple[str, str]]:
        """Return each token behind its name, empty for none; raises ConfigError for one too short to be a secret."""
        lines = [self.token.get_secret_value().split()]
        if self.token_file is not None:
            lines += read_tokens(self.token_file, key="serve.token_file")
        return [_token(words, number) for number, words in enumerate(lines) if words]


def _token(words: list[str], number: int) -> tuple[str, str]:
    *name, token = words
    if len(token) < TOKEN_CHARS_MIN:
        raise ConfigError(
            f"a token of [serve] (line {number}) has under {TOKEN_CHARS_MIN} characters",
            hint="make one: openssl rand -hex 24",
        )
    if not token.isascii():  # no header brings it as it is written here
        raise ConfigError(f"a token of [serve] (line {number}) is not ASCII", hint="make one: openssl rand -hex 24")
    return " ".join(name), token


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
    max_lag_ms: int = Field(default=MAX_LAG_MS, ge=1, lt=PROMISE_MS)
    local_max_entries: int = Field(default=100_000, ge=1)

    @classmethod
    def check_together(cls, settings: Settings) -> None:
        if settings.has(cls) and settings.has(StreamSection) and not settings.one(cls).ttl_only:
            settings.one(cls).options(settings.one(StreamSection).window_ms)

    def options(self, window_ms: int, prefix: str = "") -> CacheOptions:
        """Raises ConfigError for limits that do not go together."""
        return CacheOptions(
            local_ttl_ms=self.local_ttl_ms,
            redis_ttl_ms=self.redis_ttl_ms,
            local_max_entries=self.local_max_entries,
            degraded_ttl_ms=self.degraded_ttl_ms,
            max_lag_ms=self.max_lag_ms,
            provisional_ttl_ms=self.provisional_ttl_ms,
            window_ms=window_ms,
            prefix=prefix,
        )


class TobSection(HttpSection):
    section: ClassVar[str] = "tob"

    port: int = Field(default=8720, ge=0, le=65_535)
    mysql: MySqlSection
    mysql_connections: int = Field(default=4, ge=1, le=128)


SECTIONS: tuple[Any, ...] = (ServeSection, TocSection, TobSection)
