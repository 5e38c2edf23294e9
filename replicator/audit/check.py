"""From a key back to the row: a key template read backwards, and the statement that gives the value it stands for."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from versioning.errors import ConfigError
from versioning.keys import BINARY_PREFIX, NULL_TOKEN, KeyTemplate, namespace_of

_ENCODED: Final = r"[A-Za-z0-9\-._~%]*"
"""What an encoded value may consist of; a template has another character between two of them."""
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_$][A-Za-z0-9_$]*)\}")


@dataclass(frozen=True, slots=True)
class Check:
    template: KeyTemplate
    pattern: re.Pattern[str]
    sql: str
    """With ``%s`` for each argument."""
    columns: tuple[str, ...]
    """Which column each ``%s`` stands for."""

    @classmethod
    def parse(cls, template: str, sql: str) -> "Check":
        """Raises ConfigError."""
        parsed = KeyTemplate.parse(template)
        columns = tuple(_PLACEHOLDER.findall(sql))
        unknown = [name for name in columns if name not in parsed.columns]
        if unknown:
            hint = f"the template has {', '.join(parsed.columns) or 'no column'}"
            raise ConfigError(f"audit of {template}: its sql names {{{unknown[0]}}}", hint=hint)
        parts = [re.escape(literal) for literal in parsed.literals]
        pattern = re.compile(f"({_ENCODED})".join(parts))
        return cls(parsed, pattern, _PLACEHOLDER.sub("%s", sql.replace("%", "%%")), columns)

    @property
    def namespace(self) -> str:
        return self.template.namespace

    def arguments(self, key: str) -> tuple[object, ...] | None:
        """Return what the statement needs for this key; None where the key is not of this template."""
        found = self.pattern.fullmatch(key)
        if found is None:
            return None
        slots = zip(self.template.slots, found.groups(), strict=True)
        try:
            values = {slot.column: _decoded(text) for slot, text in slots}
        except ValueError:  # a forced bump may name what no template makes
            return None
        return tuple(values[column] for column in self.columns)


class Checks:
    """All checks of one audit, by namespace."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self._by_namespace: dict[str, list[Check]] = {}
        for check in checks:
            self._by_namespace.setdefault(check.namespace, []).append(check)

    def __iter__(self) -> Iterator[Check]:
        return itertools.chain.from_iterable(self._by_namespace.values())

    def of(self, key: str) -> tuple[Check, tuple[object, ...]] | None:
        for check in self._by_namespace.get(namespace_of(key), ()):
            arguments = check.arguments(key)
            if arguments is not None:
                return check, arguments
        return None


def _decoded(text: str) -> object:
    if text == NULL_TOKEN:
        return None
    if text.startswith(BINARY_PREFIX):
        return bytes.fromhex(text.removeprefix(BINARY_PREFIX))
    return unquote(text, errors="strict")
