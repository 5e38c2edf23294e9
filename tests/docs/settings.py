"""Every setting there is, from the sections themselves: name, default."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from versioning.cli.sections import MySqlSection
from versioning.cli.settings import Section, _known_sections


def settings() -> dict[str, str]:
    """Map ``section.key`` to its default as the page shows it; a MySQL server's keys are listed once, as ``mysql``."""
    found: dict[str, str] = {f"mysql.{name}": text for name, text in _fields(MySqlSection)}
    for name, kind in _known_sections().items():
        found |= dict(_of(name, get_args(kind)[0] if get_origin(kind) is list else kind))
    return found


def _of(place: str, kind: type[Section]) -> Iterator[tuple[str, str]]:
    for name, field in kind.model_fields.items():
        nested = _nested(field.annotation)
        if nested is not None and nested is not MySqlSection:
            yield from _of(f"{place}.{name}", nested)
        elif nested is None and not (issubclass(kind, MySqlSection) and name in MySqlSection.model_fields):
            yield f"{place}.{name}", _default(field)


def _fields(kind: type[Section]) -> Iterator[tuple[str, str]]:
    return ((name, _default(field)) for name, field in kind.model_fields.items())


def _nested(annotation: Any) -> type[Section] | None:
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and not isinstance(part, UnionType) and issubclass(part, Section):
            return part
    return None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None or value == "" or isinstance(value, SecretStr | Path):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(f'{item:g}' for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
