"""What information_schema says about tables: columns and their types.

Nothing of it is kept: whoever needs it for longer says until when (`binlog.tables`). It shows the present, the binlog
may still be in the past: a table map that does not fit is not decoded, and the DDL in between ages out whatever was
decoded wrongly before it.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from replicator.binlog.columns import HIDDEN_ROW_END
from replicator.mysql import MySqlClient
from replicator.tables import TableName

_MEMBER = re.compile(r"'((?:[^']|'')*)'")
_ESCAPED = re.compile(r"''|\\[\\0nr]")
_ESCAPES = {"''": "'", "\\\\": "\\", "\\0": "\0", "\\n": "\n", "\\r": "\r"}
# information_schema is in utf8mb3: of what only these have (emoji) it writes a question mark.
_BEYOND_BMP = frozenset({"utf8mb4", "utf16", "utf16le", "utf32", "gb18030"})
_DECIMALS = re.compile(r"(?:float|double)\(\d+,(\d+)\)")
_DIGITS = re.compile(r"(?:time|datetime|timestamp|year)\((\d)\)")
_LONG_TYPES = frozenset(size + kind for size in ("tiny", "", "medium", "long") for kind in ("text", "blob"))

_COLUMNS = """
SELECT ordinal_position, column_name, data_type, column_type, character_set_name, collation_name, extra
FROM information_schema.columns WHERE table_schema = %s AND table_name = %s
"""
_PRIMARY_KEY = """
SELECT 1 FROM information_schema.statistics
WHERE table_schema = %s AND table_name = %s AND index_name = 'PRIMARY' LIMIT 1
"""
_CONSTRAINTS = """
SELECT 1 FROM information_schema.table_constraints WHERE table_schema = %s AND table_name = %s LIMIT 1
"""
_SPELLING = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema = %s AND table_name = %s"
_IS_VERSIONED = """
SELECT 1 FROM information_schema.tables
WHERE table_schema = %s AND table_name = %s AND table_type = 'SYSTEM VERSIONED'
"""
# Of TEXT, BLOB and long VARCHAR: MariaDB keeps it by a hash.
_HAS_LONG_UNIQUE = """
SELECT 1 FROM information_schema.statistics
WHERE table_schema = %s AND table_name = %s AND index_type = 'HASH' LIMIT 1
"""
_ROW_END = """
SELECT column_name FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s AND generation_expression = 'ROW END'
"""
_CHECKS = "SELECT check_clause FROM information_schema.check_constraints WHERE constraint_schema = %s"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    data_type: str
    column_type: str
    charset: str | None
    collation: str | None = None
    is_null_sure: bool = True
    """False: the binlog may say NULL of it where there is a value."""
    is_sure: bool = True
    """False: the binlog may say anything of it."""
    is_virtual: bool = False

    def applied(self) -> "Column":
        """What it is in rows that the server applied for another one.

        It does not compute a VIRTUAL column that these lack (MINIMAL, NOBLOB, or one of its own), and logs NULL or what
        was there before.
        """
        return replace(self, is_null_sure=False, is_sure=False) if self.is_virtual else self

    @property
    def is_unsigned(self) -> bool:
        return "unsigned" in self.column_type

    @property
    def members(self) -> list[str | None]:
        """Values of an ENUM or SET, in order; None: not known for sure."""
        is_whole = self.charset not in _BEYOND_BMP
        written = _MEMBER.findall(self.column_type)
        return [_ESCAPED.sub(_unescaped, member) if is_whole or "?" not in member else None for member in written]

    @property
    def decimals(self) -> int | None:
        """Of a FLOAT(m,d) or DOUBLE(m,d)."""
        found = _DECIMALS.match(self.column_type)
        return int(found[1]) if found else None

    @property
    def digits(self) -> int:
        """Of the fraction of a second, of a TIME, DATETIME or TIMESTAMP; of a YEAR those that a SELECT shows."""
        found = _DIGITS.match(self.column_type)
        return int(found[1]) if found else 0


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[0]]


_NOT_SHOWN = Column("", "", "", None)
"""One on which we have no right: of it only its place is known."""


def _column(row: tuple[Any, ...], *, is_versioned: bool, has_long_unique: bool) -> Column:
    _, name, kind, full, charset, collation, extra = row
    kind, extra = str(kind).lower(), str(extra).upper()
    is_computed = " GENERATED" in extra
    # MariaDB writes all columns of a row of a versioned table, in a session with MINIMAL images too, and has not always
    # computed these. Long ones, with a long UNIQUE too, may have the text of the row before, or of the one replaced.
    is_virtual = is_computed and "VIRTUAL" in extra
    may_be_empty = is_versioned and is_virtual
    may_be_of_another = (is_versioned or has_long_unique) and is_computed and kind in _LONG_TYPES
    return Column(
        str(name),
        kind,
        str(full),
        charset,
        collation,
        is_null_sure=not (may_be_empty or may_be_of_another),
        is_sure=not may_be_of_another,
        is_virtual=is_virtual,
    )


class Schema:
    def __init__(self, client: MySqlClient) -> None:
        self._client = client

    def columns(self, table: TableName) -> tuple[Column, ...]:
        """Those that we may read; empty when there is no such table, or none in it."""
        return tuple(column for column in self.placed_columns(table) if column.name)

    def placed_columns(self, table: TableName) -> tuple[Column, ...]:
        """Each in the place that it has in rows, as far as the last one that we may read."""
        rows = self._client.query(_COLUMNS, (table.database, table.table))
        is_computed = any(" GENERATED" in str(row[-1]).upper() for row in rows)
        is_versioned = is_computed and self._is_versioned(table)
        has_long_unique = is_computed and bool(self._client.query(_HAS_LONG_UNIQUE, table))
        placed = {int(row[0]): _column(row, is_versioned=is_versioned, has_long_unique=has_long_unique) for row in rows}
        return tuple(placed.get(place, _NOT_SHOWN) for place in range(1, max(placed, default=0) + 1))

    def _is_versioned(self, table: TableName) -> bool:
        return bool(self._client.query(_IS_VERSIONED, table))

    def row_end(self, table: TableName) -> str:
        """See `ForeignKey.parent_row_end`: a column that nobody sees has no other name than this."""
        if not self._is_versioned(table):
            return ""
        rows = self._client.query(_ROW_END, table)
        return str(rows[0][0]) if rows else HIDDEN_ROW_END

    def key_type(self, table: TableName, column: Column) -> str:
        """Return the column's data type; ``json`` for MariaDB's too, a LONGTEXT with a check that it brings along."""
        if column.data_type != "longtext":
            return column.data_type
        clause = f"json_valid(`{column.name}`)".lower()
        checks = self._client.query(_CHECKS, (table.database,))
        return "json" if any(clause in str(check).lower() for (check,) in checks) else column.data_type

    def spelling(self, table: TableName) -> TableName | None:
        """Return the server's own name of a table; None where there is none."""
        rows = self._client.query(_SPELLING, table)
        return TableName(*map(str, rows[0])) if rows else None

    def has_primary_key(self, table: TableName) -> bool:
        return bool(self._client.query(_PRIMARY_KEY, table))

    def shows_constraints(self, table: TableName) -> bool:
        """Whether we may see the constraints of a table that has a primary key, which is one."""
        return bool(self._client.query(_CONSTRAINTS, table))
