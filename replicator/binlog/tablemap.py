"""From a table map of the binlog to column facts: what the map itself says first, then information_schema.

With `binlog_row_metadata=FULL` a map carries names, signs, charsets and members. Without it they come from
information_schema, which must agree with the map in the number of columns and in their types; else nothing is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from replicator.binlog.columns import (
    BLOB_COMPRESSED,
    DATA_TYPES,
    DOUBLE,
    ENUM,
    FLOAT,
    GEOMETRY,
    HIDDEN_ROW_END,
    HIDDEN_ROW_START,
    JSON,
    KEY_TYPES,
    LONGLONG,
    NULL,
    OLD_TEMPORAL,
    SET,
    TEXTUAL,
    TIMESTAMP2,
    VECTOR,
    YEAR,
    ColumnFacts,
)
from replicator.binlog.schema import Column

_KNOWN = frozenset(DATA_TYPES) | TEXTUAL | {NULL, JSON, GEOMETRY, BLOB_COMPRESSED, VECTOR}
_SIZED_BY_TABLE = OLD_TEMPORAL | {YEAR}
"""A map says nothing of their digits."""
# What MariaDB puts behind the columns that anybody sees: when a row began and ended (SYSTEM VERSIONING), and the hash
# of a UNIQUE that is too long for an index.
_HIDDEN = frozenset({LONGLONG, TIMESTAMP2})


@dataclass(frozen=True, slots=True)
class RawMap:
    """A map as it is written, by column; lists that are shorter than `kinds` were not in it."""

    kinds: Sequence[int]
    sizes: Sequence[int]
    """Bytes of a BIT, ENUM or SET; longest length of a string; bytes of the length of a BLOB, JSON or spatial value;
    digits of the fraction of a second, but for old types; precision * 256 + digits behind the point of a DECIMAL."""
    names: Sequence[str]
    unsigned: Sequence[bool]
    charsets: Sequence[str | None]
    """MySQL's names, of character columns only, in order; None: an unknown collation."""
    enums: Sequence[Sequence[str | None]]
    """Members, of ENUM columns only, in order; None: in a character set that is not known."""
    sets: Sequence[Sequence[str | None]]
    is_mariadb: bool


class MapMismatchError(Exception):
    """The map cannot be understood for sure; the text says why."""


def resolve(raw: RawMap, columns: Sequence[Column]) -> list[ColumnFacts]:
    """Facts of every column, in order; raises MapMismatchError."""
    count = len(raw.kinds)
    strange = next((kind for kind in raw.kinds if kind not in _KNOWN), None)
    if strange is not None:
        raise MapMismatchError(f"it has a column of unknown type {strange}")
    names = raw.names if len(raw.names) == count else _placed_names(raw, columns)
    # The present table helps only where its column is still called the same.
    known = {column.name: column for column in columns if column.name}
    lists = _Lists(iter(raw.charsets), iter(raw.enums), iter(raw.sets))
    return [_resolve(raw, index, name, known.get(name), lists) for index, name in enumerate(names)]


def _placed_names(raw: RawMap, columns: Sequence[Column]) -> list[str]:
    """Those of the table, if it is as the map says; empty for a column that we may not see."""
    shown = [column for column in columns if column.name]
    if len(shown) == len(raw.kinds):  # MySQL counts columns of an index on an expression, and leaves them out of events
        columns = shown
    _compare(raw, columns)
    return [*(column.name for column in columns), *_hidden_names(raw.kinds[len(columns) :])]


def _hidden_names(kinds: Sequence[int]) -> Iterator[str]:
    moments = iter((HIDDEN_ROW_START, HIDDEN_ROW_END))
    return (next(moments, "") if kind == TIMESTAMP2 else "" for kind in kinds)


@dataclass(frozen=True, slots=True)
class _Lists:
    """What the map has for some kinds of columns only, taken in order."""

    charsets: Iterator[str | None]
    enums: Iterator[Sequence[str | None]]
    sets: Iterator[Sequence[str | None]]


def is_character(kind: int, *, is_mariadb: bool) -> bool:
    """Whether a map has a character set for it; MariaDB counts spatial columns among them."""
    return kind in TEXTUAL or (is_mariadb and kind == GEOMETRY)


def _resolve(raw: RawMap, index: int, name: str, column: Column | None, lists: _Lists) -> ColumnFacts:
    kind = raw.kinds[index]
    listed_charset = next(lists.charsets, None) if is_character(kind, is_mariadb=raw.is_mariadb) else None
    members: tuple[str | None, ...] = ()
    if kind in {ENUM, SET}:
        members = _members(next(lists.enums if kind == ENUM else lists.sets, None), column)
    is_unsigned = raw.unsigned[index] if len(raw.unsigned) == len(raw.kinds) else bool(column and column.is_unsigned)
    size = column.digits if column and kind in _SIZED_BY_TABLE else raw.sizes[index]
    decimals = column.decimals if column and kind in {FLOAT, DOUBLE} else None
    return ColumnFacts(
        name,
        kind,
        listed_charset or _charset(column),
        size,
        is_unsigned,
        members,
        decimals,
        is_null_sure=column is None or column.is_null_sure,
        is_sure=column is None or column.is_sure,
        is_key_type=column is None or column.data_type in KEY_TYPES,
    )


def _members(listed: Sequence[str | None] | None, column: Column | None) -> tuple[str | None, ...]:
    """What the map has, completed from the table: the library does not know every collation of a server."""
    known = column.members if column and column.charset not in {None, "binary"} else []
    if listed is None:
        return tuple(known)
    if len(known) != len(listed):
        return tuple(listed)
    return tuple(ours if theirs is None else theirs for theirs, ours in zip(listed, known, strict=True))


def _charset(column: Column | None) -> str | None:
    return None if column is None else column.charset or "binary"


def _compare(raw: RawMap, columns: Sequence[Column]) -> None:
    hidden = raw.kinds[len(columns) :]
    if len(raw.kinds) < len(columns) or not columns or (hidden and not (raw.is_mariadb and _HIDDEN.issuperset(hidden))):
        raise MapMismatchError(f"it has {len(columns)} columns, its binlog events have {len(raw.kinds)}")
    for kind, column in zip(raw.kinds, columns, strict=False):
        expected = DATA_TYPES.get(kind)
        if column.name and expected is not None and column.data_type not in expected:
            raise MapMismatchError(f"column {column.name} is {column.data_type}, its binlog events say type {kind}")
