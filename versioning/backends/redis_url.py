"""The parts of a Redis URL, each checked. Whatever is wrong is a ConfigError that never shows the password."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from versioning.backends.tls import TlsFiles
from versioning.errors import ConfigError

DEFAULT_PORTS: Final = {"redis": 6379, "cluster": 6379, "sentinel": 26379}

TLS_OPTIONS: Final = {
    "ssl_ca": "ca", "ssl_ca_certs": "ca", "ssl_cert": "cert", "ssl_certfile": "cert", "ssl_key": "key",
    "ssl_keyfile": "key", "ssl_cert_reqs": "is_verified", "ssl_check_hostname": "is_name_checked",
}  # fmt: skip
OTHER_OPTIONS: Final = frozenset({"db", "client_name", "sentinel_password"})
ENCODE_HINT: Final = "in a password write %2F for /, %3F for ? and %23 for #"
PORT_MAX: Final = 65_535
DB_MAX: Final = 99_999
_WORDS: Final = {"required": True, "true": True, "1": True, "none": False, "false": False, "0": False}


def split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # as for a bracket that does not close; its message may repeat the password
        raise ConfigError("a Redis URL cannot be read", hint="redis://user:password@host:6379/0") from None
    names = (option.partition("=")[0] for option in parts.query.split("&"))
    if "@" in "".join((parts.path, parts.fragment, *names)):  # sentinel://user:1/word@host:26379/mymaster
        raise ConfigError("a Redis URL has an @ behind its server", hint=ENCODE_HINT)
    return parts


def query(text: str) -> dict[str, str]:
    """Return the options by name. A + stands for itself, as it does in the password: many passwords have one."""
    given = {}
    for option in filter(None, text.split("&")):
        name, _, value = option.partition("=")
        if not value:
            raise ConfigError(f"option {name[:40]!r} in a Redis URL has no value", hint="give it one or leave it out")
        given[unquote(name)] = unquote(value)
    return given


def check_kind(kind: str, hosts: str, path: str, given: Mapping[str, str]) -> None:
    """Raises ConfigError for what such a Redis has not: to its driver it would be an error at each read, or nothing."""
    if kind == "redis" and "," in hosts:
        hint = "one of them, or all of them with sentinel:// or cluster://"
        raise ConfigError("a redis:// URL names several servers", hint=hint)
    if kind == "cluster" and {path, given.get("db", "")} - {"", "0"}:
        raise ConfigError("a cluster:// URL names a database", hint="a cluster has database 0 only: leave it out")
    if kind == "sentinel" and not path:
        raise ConfigError("a sentinel:// URL lacks its service", hint="sentinel://host:26379,host:26379/mymaster")


def options(given: Mapping[str, str]) -> dict[str, Any]:
    unknown = sorted(name for name in given if name not in TLS_OPTIONS and name not in OTHER_OPTIONS)
    if unknown:
        hint = f"known: {', '.join(sorted(OTHER_OPTIONS | TLS_OPTIONS.keys()))}"
        raise ConfigError(f"unknown option {unknown[0][:40]!r} in a Redis URL", hint=hint)
    options: dict[str, Any] = {name: value for name, value in given.items() if name in OTHER_OPTIONS}
    if "db" in options:
        options["db"] = _number(options["db"], "database", 0, DB_MAX)
    return options


def tls_files(scheme: str, given: Mapping[str, str], over: TlsFiles | None) -> TlsFiles | None:
    """Return what the URL says of TLS, None where it has none. ``over`` wins. Raises ConfigError."""
    if scheme in DEFAULT_PORTS:
        if over is not None or given.keys() & TLS_OPTIONS.keys():
            raise ConfigError(f"files for TLS, and a URL without it: {scheme}://", hint=f"write {scheme}s://")
        return None
    fields: dict[str, Any] = {TLS_OPTIONS[name]: value for name, value in given.items() if name in TLS_OPTIONS}
    for name in {"is_verified", "is_name_checked"} & fields.keys():
        fields[name] = _choice(fields[name])
    if over is not None:
        fields |= {name: getattr(over, name) for name in ("ca", "cert", "key") if getattr(over, name) is not None}
    return TlsFiles(**fields)


def _choice(text: str) -> bool:
    try:
        return _WORDS[text.lower()]
    except KeyError:
        raise ConfigError(
            f"cannot tell whether to verify, by {text[:20]!r} in a Redis URL",
            hint="ssl_cert_reqs=none and ssl_check_hostname=false switch it off; leave them out",
        ) from None


def node(text: str, default_port: int) -> tuple[str, int]:
    host, separator, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not separator:
        host, port = text, str(default_port)
    if not host:
        raise ConfigError("a Redis URL lacks its host", hint="redis://host:6379/0")
    return host.strip("[]"), _number(port, "port", 1, PORT_MAX)


def _number(text: str, what: str, least: int, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and least <= int(text) <= most):
        # What stands there may be the end of a password with a / in it: it is not repeated.
        raise ConfigError(f"the {what} in a Redis URL is no number from {least} to {most}", hint=ENCODE_HINT)
    return int(text)
