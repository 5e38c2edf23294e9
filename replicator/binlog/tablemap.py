"""From a table map of the binlog to column facts: what the map itself says first, then information_schema.

With `binlog_row_metadata=FULL` a map carries names, signs, charsets and members. Without it they come from
information_schema, which must agree with the map in the number of columns and in their types; else nothing is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replicator.binlog.columns import BIT, DATA_TYPES, ENUM, SET, STRING, TEXTUAL, ColumnFacts
from replicator.binlog.schema import Column

# Types whose description has a length the library knows; after any other the rest of the map is misread.
_DESCRIBED = frozenset(DATA_TYPES) | TEXTUAL | {0, 6, 245, 255}
_HAS_MARIADB_CHARSET = 255  # MariaDB counts spatial columns as character columns


@dataclass(frozen=True, slots=True)
class RawMap:
    """What the library read, by column; lists that are shorter than `kinds` were not in the map."""

    kinds: Sequence[int]
    sizes: Sequence[int]
    names: Sequence[str]
    unsigned: Sequence[bool]
    charsets: Sequence[str | None]
    """MySQL's names, of character columns only, in order; None: an unknown collation."""
    enums: Sequence[Sequence[str]]
    """Members, of ENUM columns only, in order."""
    sets: Sequence[Sequence[str]]
    is_mariadb: bool


@dataclass(frozen=True, slots=True)
class Resolved:
    facts: ColumnFacts
    is_unsigned: bool
    members: tuple[str, ...]


class MapMismatchError(Exception):
    """The map cannot be understood for sure; the text says why."""


def resolve(raw: RawMap, columns: Sequence[Column]) -> list[Resolved]:
    """Facts of every column, in order; raises MapMismatchError."""
    count = len(raw.kinds)
    strange = next((kind for kind in raw.kinds if kind not in _DESCRIBED), None)
    if strange is not None:
        raise MapMismatchError(f"it has a column of unknown type {strange}")
    is_named = len(raw.names) == count
    if not is_named:
        _compare(raw.kinds, columns)
    known: Sequence[Column | None] = columns if len(columns) == count else [None] * count
    if is_named:  # the present table helps only where its column is still called the same
        known = [
            column if column and column.name == name else None for column, name in zip(known, raw.names, strict=True)
        ]
    lists = _Lists(iter(raw.charsets), iter(raw.enums), iter(raw.sets))
    return [_resolve(raw, index, known[index], lists) for index in range(count)]


@dataclass(frozen=True, slots=True)
class _Lists:
    """What the map has for some kinds of columns only, taken in order."""

    charsets: Iterator[str | None]
    enums: Iterator[Sequence[str]]
    sets: Iterator[Sequence[str]]


def _resolve(raw: RawMap, index: int, column: Column | None, lists: _Lists) -> Resolved:
    kind = raw.kinds[index]
    is_character = kind in TEXTUAL or (raw.is_mariadb and kind == _HAS_MARIADB_CHARSET)
    charset = (next(lists.charsets, None) if is_character else None) or _charset(column)
    members: tuple[str, ...] = ()
    if kind in {ENUM, SET}:
        listed = next(lists.enums if kind == ENUM else lists.sets, None)
        members = tuple(listed if listed is not None else column.members if column else ())
    is_unsigned = raw.unsigned[index] if len(raw.unsigned) == len(raw.kinds) else bool(column and column.is_unsigned)
    name = raw.names[index] if len(raw.names) == len(raw.kinds) else column.name if column else ""
    size = raw.sizes[index] if kind in {BIT, STRING} else 0
    return Resolved(ColumnFacts(name, kind, charset, size, members if kind == SET else ()), is_unsigned, members)


def _charset(column: Column | None) -> str | None:
    return None if column is None else column.charset or "binary"


def _compare(kinds: Sequence[int], columns: Sequence[Column]) -> None:
    if len(kinds) != len(columns):
        raise MapMismatchError(f"it has {len(columns)} columns, its binlog events have {len(kinds)}")
    for kind, column in zip(kinds, columns, strict=True):
        expected = DATA_TYPES.get(kind)
        if expected is not None and column.data_type not in expected:
            raise MapMismatchError(f"column {column.name} is {column.data_type}, its binlog events say type {kind}")
