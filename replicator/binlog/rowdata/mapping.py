"""The bytes of a table map: a number, a table, and what it says of the columns.

Behind the types come their sizes, and with `binlog_row_metadata` fields of type, length, value, of which those that a
key may depend on are read. Whatever does not add up raises: IndexError, KeyError, ValueError.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from replicator.binlog import columns as c
from replicator.binlog.packed import length
from replicator.binlog.rowdata.charsets import reader
from replicator.binlog.tablemap import RawMap, is_character
from replicator.tables import TableName

CharsetName = Callable[[int], str | None]
"""From the number of a collation to MySQL's name of its character set."""

_ONE_BYTE: Final = frozenset({
    c.FLOAT, c.DOUBLE, c.BLOB, c.BLOB_COMPRESSED, c.VECTOR, c.GEOMETRY, c.JSON, c.TIMESTAMP2, c.DATETIME2, c.TIME2,
})  # fmt: skip
_TWO_BYTES: Final = frozenset(
    {c.VARCHAR, c.VARCHAR_COMPRESSED, c.BIT, c.DECIMAL, c.STRING, c.VAR_STRING, c.ENUM, c.SET}
)

_UNCOUNTED: Final = frozenset({c.BLOB_COMPRESSED, c.VARCHAR_COMPRESSED, c.VECTOR})

_SIGNS, _DEFAULT_CHARSET, _CHARSETS, _NAMES, _SET_MEMBERS, _ENUM_MEMBERS = 1, 2, 3, 4, 5, 6
_MEMBERS_DEFAULT_CHARSET, _MEMBERS_CHARSETS = 10, 11


def table_of(body: bytes, at: int) -> tuple[TableName, int]:
    """``at``: behind the table's number and the flags. The name, and where the columns begin."""
    database_end = at + 1 + body[at]
    table_end = database_end + 2 + body[database_end + 1]
    database = body[at + 1 : database_end].decode()
    return TableName(database, body[database_end + 2 : table_end].decode()), table_end + 1


def read_columns(body: bytes, at: int, charset_name: CharsetName, *, is_mariadb: bool) -> RawMap:
    count, at = length(body, at)
    written = body[at : at + count]
    described_bytes, at = length(body, at + count)
    kinds, sizes = _kinds(written, body[at : at + described_bytes])
    fields = dict(_fields(body, at + described_bytes + (count + 7) // 8))
    member_charsets = _member_charsets(kinds, fields, charset_name)
    characters = sum(is_character(kind, is_mariadb=is_mariadb) for kind in kinds)
    # Versions differ in whether these count as characters, which would move the character sets of all behind them.
    is_counted = _UNCOUNTED.isdisjoint(kinds)
    return RawMap(
        kinds,
        sizes,
        names=[name.decode() for name in _strings(fields.get(_NAMES, b""))],
        unsigned=_signs(kinds, fields[_SIGNS]) if _SIGNS in fields else [],
        charsets=_charsets(fields, _DEFAULT_CHARSET, _CHARSETS, characters, charset_name) if is_counted else [],
        enums=_members(fields.get(_ENUM_MEMBERS, b""), _only(c.ENUM, kinds, member_charsets)),
        sets=_members(fields.get(_SET_MEMBERS, b""), _only(c.SET, kinds, member_charsets)),
        is_mariadb=is_mariadb,
    )


def _kinds(written: bytes, described: bytes) -> tuple[list[int], list[int]]:
    kinds, sizes, at = [], [], 0
    for kind in written:
        width = 2 if kind in _TWO_BYTES else 1 if kind in _ONE_BYTE else 0
        kind, size = _described(kind, described[at : at + width])  # noqa: PLW2901  an c.ENUM is written as a string
        kinds.append(kind)
        sizes.append(size)
        at += width
    return kinds, sizes


def _described(kind: int, raw: bytes) -> tuple[int, int]:
    if kind in {c.STRING, c.VAR_STRING, c.ENUM, c.SET}:
        first, second = raw
        if first in {c.ENUM, c.SET}:
            return first, second
        # Two bits of a length above 255 are hidden in the type, upside down.
        return kind, (first << 4 & 0x300 ^ 0x300) + second
    if kind == c.BIT:
        return kind, raw[1] + (raw[0] > 0)
    return kind, int.from_bytes(raw, "big" if kind == c.DECIMAL else "little")


def _fields(body: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at < len(body):
        kind = body[at]
        size, at = length(body, at + 1)
        yield kind, body[at : at + size]
        at += size


def _signs(kinds: Sequence[int], bits: bytes) -> list[bool]:
    """The first column in the highest bit, numbers only."""
    numbers = iter(range(len(kinds)))
    places = [next(numbers) if kind in c.NUMERIC else None for kind in kinds]
    return [place is not None and bool(bits[place >> 3] << (place & 7) & 0x80) for place in places]


def _charsets(
    fields: dict[int, bytes], default: int, each: int, count: int, charset_name: CharsetName
) -> list[str | None]:
    """Of so many columns: one for all with exceptions, or one for each; [] where the map has none."""
    if each in fields:
        return [charset_name(number) for number in _numbers(fields[each])]
    if default not in fields:
        return []
    common, *pairs = _numbers(fields[default])
    exceptions = dict(zip(pairs[::2], pairs[1::2], strict=True))
    return [charset_name(exceptions.get(place, common)) for place in range(count)]


def _member_charsets(kinds: Sequence[int], fields: dict[int, bytes], charset_name: CharsetName) -> list[str | None]:
    """By column; None for one that has no members."""
    count = sum(kind in {c.ENUM, c.SET} for kind in kinds)
    found = iter(_charsets(fields, _MEMBERS_DEFAULT_CHARSET, _MEMBERS_CHARSETS, count, charset_name))
    return [next(found, None) if kind in {c.ENUM, c.SET} else None for kind in kinds]


def _only(wanted: int, kinds: Sequence[int], charsets: Sequence[str | None]) -> Iterator[str | None]:
    return (charset for kind, charset in zip(kinds, charsets, strict=True) if kind == wanted)


def _members(field: bytes, charsets: Iterator[str | None]) -> list[list[str | None]]:
    found, at = [], 0
    while at < len(field):
        count, at = length(field, at)
        texts = []
        for _ in range(count):
            size, at = length(field, at)
            texts.append(field[at : at + size])
            at += size
        read = reader(next(charsets, None) or "")
        found.append([text if isinstance(text, str) else None for text in map(read, texts)])
    return found


def _strings(field: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(field):
        size, at = length(field, at)
        yield field[at : at + size]
        at += size


def _numbers(field: bytes) -> list[int]:
    found, at = [], 0
    while at < len(field):
        number, at = length(field, at)
        found.append(number)
    return found
