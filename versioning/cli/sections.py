"""Sections that several packages read: the stamp stream, cached values, logs, and how to name a MySQL server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal, Self
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from versioning.backends.mysql_address import MySqlAddress
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_url import ENCODE_HINT, query
from versioning.backends.redis_values import TIMEOUT_MS
from versioning.backends.tls import TlsFiles
from versioning.cli.files import check_files, read_secret
from versioning.cli.settings import Section
from versioning.errors import ConfigError
from versioning.limits import WINDOW_MS
from versioning.options import NAME_PATTERN


def check_redis_url(url: str) -> str:
    try:
        RedisAddress.parse(url)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return url


def check_names(sections: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raises ValueError where two of them have the same ``name``."""
    names = [section.name for section in sections]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two of them are named {twice}: give each a name of its own")
    return sections


def url_with_password(url: str, password: str) -> str:
    """Put a password that came from a file into a Redis URL that has none."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    name = user.partition(":")[0] if at else ""
    return parts._replace(netloc=f"{name}:{quote(password, safe='')}@{hosts}").geturl()


def url_with_tls(url: str, **files: Path | None) -> str:
    """Write ``ssl_ca``, ``ssl_cert`` and ``ssl_key`` into a Redis URL, over what it says itself."""
    given = {name: str(path) for name, path in files.items() if path is not None}
    if not given:
        return url
    parts = urlsplit(url)
    return parts._replace(query=urlencode(query(parts.query) | given, quote_via=quote)).geturl()


def full_url(url: str, password_file: Path | None, *, keys: str) -> str:
    """Read the password, and look at the files of TLS. Raises ConfigError, about keys that begin with ``keys``."""
    if password_file is not None:
        url = url_with_password(url, read_secret(password_file, key=f"{keys}password_file"))
    with named(f"{keys}url"):
        RedisAddress.parse(url).check_tls()
    return url


@contextmanager
def named(key: str) -> Iterator[None]:
    """A ConfigError from inside says which section it is about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{key}: {error.message}", hint=error.hint) from None


class RedisSection(Section):
    url: str = Field(repr=False)
    password_file: Path | None = None
    ssl_ca: Path | None = None
    """Verify the server by this CA; none: by those of the system. For rediss://, sentinels:// and clusters://."""
    ssl_cert: Path | None = None
    """Our own certificate, where the server asks for one."""
    ssl_key: Path | None = None

    _url_is_redis = field_validator("url")(check_redis_url)

    @model_validator(mode="after")
    def _tls_fits_the_url(self) -> Self:
        check_redis_url(self.tls_url())
        return self

    def tls_url(self) -> str:
        """Return the URL with its files of TLS, and without what comes from a file."""
        return url_with_tls(self.url, ssl_ca=self.ssl_ca, ssl_cert=self.ssl_cert, ssl_key=self.ssl_key)

    def check_section(self, place: str) -> None:
        del place  # It has one name.
        self.full_url()

    def full_url(self) -> str:
        """Return the URL with its password; raises ConfigError for a file that cannot be used."""
        check_files(self, self.section)
        return full_url(self.tls_url(), self.password_file, keys=f"{self.section}.")


class StreamSection(RedisSection):
    section: ClassVar[str] = "stream"

    name: str = Field(default="stampline", pattern=NAME_PATTERN)
    dc: str = Field(default="local", pattern=r"^[A-Za-z0-9._-]{1,32}$")
    """Name of this datacenter, for the label of its metrics."""
    window_s: int = Field(default=WINDOW_MS // 1000, ge=1, le=7 * 24 * 3600)
    wait_replicas: int = Field(default=0, ge=0, le=16)

    @property
    def window_ms(self) -> int:
        return self.window_s * 1000


class ValuesSection(RedisSection):
    section: ClassVar[str] = "values"

    prefix: str = ""
    timeout_ms: int = Field(default=TIMEOUT_MS, ge=1, le=10_000)


class LogSection(Section):
    section: ClassVar[str] = "log"

    level: Literal["debug", "info", "warning", "error"] = "info"


class MySqlSection(Section):
    """``url = "mysql://user:password@host:3306/database"``, or the same in single keys, which win."""

    section: ClassVar[str] = "mysql"

    url: str = Field(default="", repr=False)
    host: str = ""
    port: int = Field(default=0, ge=0, le=65_535)
    user: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
    database: str = ""
    ssl_ca: Path | None = None
    ssl_cert: Path | None = None
    ssl_key: Path | None = None
    ssl_disabled: bool = False

    @field_validator("url")
    @classmethod
    def _url_is_mysql(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:  # as for a bracket that does not close; its message may repeat the password
            raise ValueError("cannot be read: mysql://user:password@host:3306/database") from None
        if url and parts.scheme not in {"mysql", "mariadb"}:
            raise ValueError("does not begin with mysql://")
        if "@" in parts.path + parts.query + parts.fragment:  # mysql://user:1/word@host: a server called user
            raise ValueError(f"it has an @ behind its server ({ENCODE_HINT})")
        if parts.query or parts.fragment:
            raise ValueError("it has options behind its server: ssl_ca and the others are keys of their own")
        if _port(parts) == 0:
            raise ValueError(f"its port is no number from 1 to 65535 ({ENCODE_HINT})")
        return url

    @model_validator(mode="after")
    def _names_a_server(self) -> Self:
        parts = urlsplit(self.url)
        if not (self.host or parts.hostname):
            raise ValueError("names no server: give host or url")
        if not (self.user or parts.username):
            raise ValueError("names no user: give user, or url = mysql://user@host")
        if self.password_file is not None and self.password.get_secret_value():
            raise ValueError("password and password_file: take one of them out")
        if self.ssl_disabled and (self.ssl_ca or self.ssl_cert or self.ssl_key):
            raise ValueError("ssl_disabled, and files for TLS: take one of them out")
        if self.ssl_cert and not self.ssl_ca:
            raise ValueError("ssl_cert without ssl_ca: the server would not be verified")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return self.host or parts.hostname or "", self.port or parts.port or 3306

    def check_section(self, place: str) -> None:
        self.full_address(place)

    def full_address(self, key: str = "mysql") -> MySqlAddress:
        """Read the secrets, and look at the files of TLS; raises ConfigError, about this section as ``key``."""
        check_files(self, key)
        if self.ssl_ca or self.ssl_key:
            with named(key):
                TlsFiles.of(self.ssl_ca, self.ssl_cert, self.ssl_key).check()
        parts, (host, port) = urlsplit(self.url), self.address
        password = self.password.get_secret_value() or unquote(parts.password or "")
        if self.password_file is not None:
            password = read_secret(self.password_file, key=f"{key}.password_file")
        return MySqlAddress(
            host=host,
            port=port,
            user=self.user or unquote(parts.username or ""),
            password=password,
            database=self.database or parts.path.strip("/"),
            ssl_ca=_path(self.ssl_ca),
            ssl_cert=_path(self.ssl_cert),
            ssl_key=_path(self.ssl_key),
            ssl_disabled=self.ssl_disabled,
        )


def _port(parts: SplitResult) -> int | None:
    """None: it names none. 0: what it names is no port."""
    try:
        return parts.port
    except ValueError:  # its message may repeat the end of a password with a / in it
        return 0


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


SECTIONS: tuple[Any, ...] = (StreamSection, ValuesSection, LogSection)
