"""From the library's values to the values a SELECT gives, so that `versioning.keys` makes the same key of both.

Law: a value that is not surely what SELECT would show is UNSURE, and then the row's namespace is aged out instead.
The library reads every character column as Latin-1, which keeps all bytes; the charset is applied here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any, Final

RAW_ENCODING: Final = "latin-1"


class Unsure(Enum):
    UNSURE = auto()


UNSURE: Final = Unsure.UNSURE

# information_schema's DATA_TYPE: what a key template may use.
KEY_TYPES: Final = frozenset({
    "tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "float", "double", "bit", "year",
    "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set",
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "date", "datetime", "timestamp", "time",
})  # fmt: skip

# MySQL's name of a character set: Python's. None: binary, the value is bytes.
CHARSETS: Final[Mapping[str, str | None]] = {
    "binary": None, "utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "ascii": "ascii", "latin1": "cp1252",
    "latin2": "iso8859_2", "latin5": "iso8859_9", "latin7": "iso8859_13", "greek": "iso8859_7", "hebrew": "iso8859_8",
    "cp1250": "cp1250", "cp1251": "cp1251", "cp1256": "cp1256", "cp1257": "cp1257", "koi8r": "koi8_r",
    "koi8u": "koi8_u", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le", "utf32": "utf-32-be",
    "gbk": "gbk", "gb18030": "gb18030", "big5": "big5", "euckr": "euc_kr", "ujis": "euc_jp", "sjis": "shift_jis",
    "cp932": "cp932", "tis620": "tis_620",
}  # fmt: skip

# Column types in the binlog.
FLOAT, TIMESTAMP, YEAR, VARCHAR, BIT, TIMESTAMP2, ENUM, SET, BLOB, STRING = 4, 7, 13, 15, 16, 17, 247, 248, 252, 254
TIME, TIME2 = 11, 19
TEXTUAL: Final = frozenset({VARCHAR, BLOB, STRING, 253})
_NUMERIC: Final = frozenset({1, 2, 3, 4, 5, 8, 9, 13, 246})

# What information_schema calls a column, by its type in the binlog; a difference means the table was altered since.
DATA_TYPES: Final[Mapping[int, frozenset[str]]] = {
    1: frozenset({"tinyint"}),
    2: frozenset({"smallint"}),
    3: frozenset({"int", "integer"}),
    FLOAT: frozenset({"float"}),
    5: frozenset({"double"}),
    TIMESTAMP: frozenset({"timestamp"}),
    8: frozenset({"bigint"}),
    9: frozenset({"mediumint"}),
    10: frozenset({"date"}),
    TIME: frozenset({"time"}),
    12: frozenset({"datetime"}),
    YEAR: frozenset({"year"}),
    14: frozenset({"date"}),
    VARCHAR: frozenset({"varchar", "varbinary"}),
    BIT: frozenset({"bit"}),
    TIMESTAMP2: frozenset({"timestamp"}),
    18: frozenset({"datetime"}),
    TIME2: frozenset({"time"}),
    246: frozenset({"decimal"}),
    ENUM: frozenset({"enum"}),
    SET: frozenset({"set"}),
    STRING: frozenset({"char", "binary"}),
}

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  MySQL's values carry no zone
_TIME_LIMIT = timedelta(hours=839)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of a table map, with everything needed to read its values."""

    name: str
    kind: int
    charset: str | None = None
    """MySQL's name; None: unknown."""
    size: int = 0
    """Bytes of a BIT, longest length of a STRING."""
    set_members: tuple[str, ...] = ()


Convert = Callable[[Any], object]


def converter(facts: ColumnFacts) -> Convert:
    """A function from the library's value (never None) to SELECT's value, or UNSURE."""
    if facts.kind in TEXTUAL:
        return _text_converter(facts)
    if facts.kind == SET:
        return lambda value: ",".join(member for member in facts.set_members if member in value)
    if facts.kind == BIT:
        return lambda value: int(value, 2).to_bytes(facts.size, "big")
    return _CONVERTERS.get(facts.kind, _as_is)


def _text_converter(facts: ColumnFacts) -> Convert:
    if facts.charset is None or facts.charset not in CHARSETS:
        return lambda _: UNSURE
    encoding = CHARSETS[facts.charset]
    if encoding is not None:
        return lambda value: _decoded(value.encode(RAW_ENCODING), encoding)
    if facts.kind == STRING:  # the binlog leaves out the padding of BINARY(n), SELECT shows it
        return lambda value: value.encode(RAW_ENCODING).ljust(facts.size, b"\0")
    return lambda value: value.encode(RAW_ENCODING)


def _decoded(raw: bytes, encoding: str) -> object:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return UNSURE


def _as_is(value: object) -> object:
    return value


def _timestamp(value: datetime) -> object:
    # The binlog's 0 is '0000-00-00 00:00:00'; below it is a date beyond 2038 read as a signed number.
    return value if value > _EPOCH else UNSURE


def _time(value: timedelta) -> object:
    # Fractions of negative times are misread, and so are negative times in the old format.
    is_doubtful = value < timedelta() and value.microseconds != 0
    return UNSURE if is_doubtful or abs(value) >= _TIME_LIMIT else value


_CONVERTERS: Mapping[int, Convert] = {
    FLOAT: lambda value: float(f"{value:.6g}"),  # MySQL prints six digits
    YEAR: lambda value: 0 if value == 1900 else value,  # stored as 0
    TIMESTAMP: _timestamp,
    TIMESTAMP2: _timestamp,
    TIME: _time,
    TIME2: _time,
    ENUM: lambda value: value if isinstance(value, str) else UNSURE,
}
