"""Columns: what a key template may use, and everything that is needed to read their values from a row."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, NamedTuple


class Unsure(Enum):
    UNSURE = auto()


UNSURE: Final = Unsure.UNSURE


class Opaque(NamedTuple):
    """A value of a type that no key takes: it has changed or it has not, and is nothing that a SELECT shows."""

    raw: bytes


# information_schema's DATA_TYPE: what a key template may use.
KEY_TYPES: Final = frozenset({
    "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "float", "double", "bit", "year",
    "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set",
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "date", "datetime", "timestamp", "time",
})  # fmt: skip

HIDDEN_ROW_START: Final = "row_start"
HIDDEN_ROW_END: Final = "row_end"
"""What MariaDB calls the columns of WITH SYSTEM VERSIONING that a table does not name itself."""

# Those whose values are bytes.
BYTE_TYPES: Final = frozenset({"bit", "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})


def is_compressed(column_type: str) -> bool:
    """By information_schema's COLUMN_TYPE: MariaDB stores such a value, and logs it, in a format of its own."""
    return column_type.endswith(" COMPRESSED*/")


# MySQL's name of a character set: Python's of the nearest one (see `rowdata.charsets`). None: binary, it is bytes.
CHARSETS: Final[Mapping[str, str | None]] = {
    "binary": None, "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "latin1": "cp1252",
    "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13", "greek": "iso8859_7", "hebrew": "iso8859_8",
    "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256", "cp1257": "cp1257", "koi8r": "koi8_r",
    "koi8u": "koi8_u", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
    "gbk": "gbk", "gb18030": "gb18030", "big5": "big5", "euckr": "cp949", "ujis": "euc_jp", "sjis": "shift_jis",
    "cp932": "cp932", "tis620": "tis_620",
}  # fmt: skip

# Column types in the binlog. Those with a 2 are of MySQL 5.6 and newer, as MariaDB's are; TIME, DATETIME and TIMESTAMP
# of tables that are older; MariaDB's have a fraction then too, of which a map says nothing.
NULL, TINY, SHORT, LONG, LONGLONG, INT24, YEAR = 6, 1, 2, 3, 8, 9, 13
FLOAT, DOUBLE, DECIMAL, BIT = 4, 5, 246, 16
TIMESTAMP, DATE, TIME, DATETIME, NEWDATE, TIMESTAMP2, DATETIME2, TIME2 = 7, 10, 11, 12, 14, 17, 18, 19
VARCHAR, VAR_STRING, STRING, BLOB, ENUM, SET = 15, 253, 254, 252, 247, 248
JSON, GEOMETRY = 245, 255
BLOB_COMPRESSED, VARCHAR_COMPRESSED, VECTOR = 140, 141, 242
TEXTUAL: Final = frozenset({VARCHAR, BLOB, STRING, VAR_STRING})
NUMERIC: Final = frozenset({TINY, SHORT, LONG, LONGLONG, INT24, YEAR, FLOAT, DOUBLE, DECIMAL})
"""Those a table map has a sign for."""
OLD_TEMPORAL: Final = frozenset({TIMESTAMP, TIME, DATETIME})

# What information_schema calls a column, by its type in the binlog; a difference means the table was altered since.
DATA_TYPES: Final[Mapping[int, frozenset[str]]] = {
    TINY: frozenset({"tinyint"}),
    SHORT: frozenset({"smallint"}),
    LONG: frozenset({"int", "integer"}),
    FLOAT: frozenset({"float"}),
    DOUBLE: frozenset({"double"}),
    TIMESTAMP: frozenset({"timestamp"}),
    LONGLONG: frozenset({"bigint"}),
    INT24: frozenset({"mediumint"}),
    DATE: frozenset({"date"}),
    TIME: frozenset({"time"}),
    DATETIME: frozenset({"datetime"}),
    YEAR: frozenset({"year"}),
    NEWDATE: frozenset({"date"}),
    VARCHAR: frozenset({"varchar", "varbinary"}),
    BIT: frozenset({"bit"}),
    TIMESTAMP2: frozenset({"timestamp"}),
    DATETIME2: frozenset({"datetime"}),
    TIME2: frozenset({"time"}),
    DECIMAL: frozenset({"decimal"}),
    ENUM: frozenset({"enum"}),
    SET: frozenset({"set"}),
    STRING: frozenset({"char", "binary", "uuid", "inet4", "inet6"}),
    VARCHAR_COMPRESSED: frozenset({"varchar", "varbinary"}),
}


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of a table map, with everything needed to read its values."""

    name: str
    kind: int
    charset: str | None = None
    """MySQL's name; None: unknown."""
    size: int = 0
    """What the table map says of it, see `tablemap.RawMap`; of OLD_TEMPORAL the digits of the fraction."""
    is_unsigned: bool = False
    members: tuple[str | None, ...] = ()
    """Of an ENUM or SET, in order; None: its text is not known for sure."""
    decimals: int | None = None
    """Digits behind the point that a SELECT shows of a FLOAT(m,d) or DOUBLE(m,d); None: as many as there are."""
    is_null_sure: bool = True
    is_sure: bool = True
    is_key_type: bool = True
    """False: what a template names has been altered since preflight looked at it, or it is a column of a parent."""
