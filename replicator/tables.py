"""Which tables are watched, and with which key templates: fixed at start, equal on every source (see digest)."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from versioning.errors import ConfigError
from versioning.keys import KeyTemplate


class TableName(NamedTuple):
    database: str
    table: str

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


@dataclass(frozen=True, slots=True)
class TableSpec:
    database: str
    table: str
    templates: tuple[KeyTemplate, ...]

    @property
    def name(self) -> TableName:
        return TableName(self.database, self.table)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(column for template in self.templates for column in template.columns))

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(template.namespace for template in self.templates)


@dataclass(frozen=True)
class WatchedTables:
    specs: tuple[TableSpec, ...]

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"table {twice} is configured twice", hint="put all its templates in one [[table]]")
        bare = next((spec.name for spec in self.specs if not spec.templates), None)
        if bare is not None or not self.specs:
            raise ConfigError(f"no key template for {bare or 'any table'}", hint="add keys to a [[table]] section")

    @cached_property
    def by_name(self) -> dict[TableName, TableSpec]:
        return {spec.name: spec for spec in self.specs}

    @cached_property
    def namespaces(self) -> frozenset[str]:
        return self.namespaces_of(self.specs)

    @staticmethod
    def namespaces_of(specs: Iterable[TableSpec]) -> frozenset[str]:
        return frozenset[str]().union(*(spec.namespaces for spec in specs))

    def mentioned_in(self, identifiers: frozenset[str]) -> tuple[TableSpec, ...]:
        """The tables whose name is among identifiers of a statement (lower case), in whatever database."""
        return tuple(spec for spec in self.specs if spec.table.lower() in identifiers)

    def of_databases(self, identifiers: frozenset[str]) -> tuple[TableSpec, ...]:
        return tuple(spec for spec in self.specs if spec.database.lower() in identifiers)

    def digest(self) -> str:
        """SHA-256, hex: differs whenever two sources would make different keys of the same row."""
        canonical = sorted(
            [spec.database, spec.table, sorted(template.text for template in spec.templates)] for spec in self.specs
        )
        return hashlib.sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()
