"""Files that settings name and somebody has to read: secrets, certificates, keys. What is wrong names the key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from versioning.errors import ConfigError

_ONE_LINE: Final = "_file"
_OF_TLS: Final = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_client_ca")
_HINT: Final = "check the path and its owner"


def read_secret(file: Path, *, key: str) -> str:
    """Read a secret from its file, without the byte order mark and line end an editor adds; raises ConfigError."""
    try:
        secret = file.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise _unreadable(key, file, error) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{key}: {file} is not UTF-8: {error.reason}", hint="write it as text") from None
    if not secret:
        raise ConfigError(f"{key}: {file} is empty", hint="put the secret in its first line")
    return secret


def read_tokens(file: Path, *, key: str) -> list[list[str]]:
    """Return the words of each line, a token last, perhaps behind a name; none for a comment. Raises ConfigError."""
    lines = [line.split() for line in read_secret(file, key=key).splitlines()]
    # A word of a comment is no secret: it must not become a token.
    return [[] if words and words[0].startswith("#") else words for words in lines]


def check_files(section: BaseModel, place: str) -> None:
    """Raises ConfigError for the first file of this section that cannot be read; those inside it are not looked at."""
    for name, file in section:
        if isinstance(file, Path):
            _check(file, f"{place}.{name}")


def unreadable_in(value: Any, place: str = "") -> Iterator[ConfigError]:
    """Return what is wrong with each file of these settings, or of a part of them at ``place``."""
    for key, part in parts_of(value, place):
        if isinstance(part, Path):
            try:
                _check(part, key)
            except ConfigError as error:
                yield error


def parts_of(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Return all that is in these settings, each behind its place in the file: sections, then what they hold."""
    yield place, value
    if isinstance(value, BaseModel):
        for name, held in value:
            yield from parts_of(held, f"{place}.{name}" if place else name)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from parts_of(item, f"{place}.{getattr(item, 'name', number)}")


def _check(file: Path, key: str) -> None:
    if key.endswith(_ONE_LINE):
        read_secret(file, key=key)
    elif key.endswith(_OF_TLS):
        try:
            with file.open("rb"):
                pass
        except OSError as error:
            raise _unreadable(key, file, error) from None


def _unreadable(key: str, file: Path, error: OSError) -> ConfigError:
    return ConfigError(f"{key}: cannot read {file}: {error.strerror}", hint=_HINT)
