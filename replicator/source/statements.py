"""What a statement in the binlog means for keys. Total and suspicious: what is not surely harmless ages out something.

Only the head of a statement is understood, without its comments. Which tables a DDL concerns is not parsed at all:
every watched table whose name occurs in it as an identifier is taken (RENAME, LIKE, EXCHANGE PARTITION, several tables:
all alike). Too many is an extra miss, too few would be a stale value. DML in STATEMENT format fires triggers that leave
no trace: it concerns everything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import islice
from typing import NamedTuple

from replicator.binlog.columns import CHARSETS
from replicator.binlog.events import UNTOLD_CHANGES
from replicator.binlog.rowdata import charsets


class Effect(Enum):
    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    INSIDE = auto()
    """Belongs to the open transaction and changes nothing: SAVEPOINT, ROLLBACK TO, XA END."""
    XA_COMMIT = auto()
    XA_ROLLBACK = auto()
    TABLES = auto()
    """DDL on the tables among the identifiers."""
    DATABASES = auto()
    """DDL on the databases among the identifiers."""
    DML = auto()
    """Changes rows of any table, but no table."""
    EVERYTHING = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    effect: Effect
    identifiers: frozenset[str] = frozenset()
    """Lower case."""
    xid: str = ""

    @property
    def changes_something(self) -> bool:
        return self.effect is Effect.DML or self.may_be_ddl

    @property
    def may_be_ddl(self) -> bool:
        return self.effect in {Effect.TABLES, Effect.DATABASES, Effect.EVERYTHING}


_LETTERS = r"[0-9A-Za-z_$\x80-\U0010ffff]+"


def _pieces(code_opening: str, plain_opening: str) -> re.Pattern[str]:
    """A statement is nothing but these, whatever it is; each piece is found in one pass.

    In doubt: what has no end, a comment in a comment, and a backslash in quotes, which some sql_modes take as it is.
    """
    return re.compile(
        rf"""(?P<blank>[ \t-\r(]+)
        |(?P<comment>{plain_opening}(?:(?!/\*).)*?\*/|--(?=[\x00-\x20\x7f]|\Z)[^\n]*|\#[^\n]*)
        |(?P<opened>{code_opening}(?:\d{{5,6}})?)
        |(?P<closed>\*/)
        |(?P<quoted>'[^'\\]*'|"[^"\\]*"|`[^`]*`)
        |(?P<doubt>/\*|['"`])
        |(?P<word>{_LETTERS})
        |(?P<other>.)""",
        re.DOTALL | re.VERBOSE,
    )


# Comments with a version are code: servers make plain ones of those that they do not run, before they log them. But the
# code of MariaDB's own is a comment to MySQL.
_FOR_MARIADB = _pieces(r"/\*M?!", r"/\*(?!M?!)")
_FOR_MYSQL = _pieces(r"/\*!", r"/\*(?!!)")
_VERSION = re.compile(r"/\*M?!\d*")
# Every stretch that can be a name, wherever quotes truly begin: 64 characters are the most that servers allow.
_NAMES = re.compile(rf"(?=`((?:[^`]|``){{1,64}})`)|(?=\"((?:[^\"]|\"\"){{1,64}})\")|({_LETTERS})")
_XID = re.compile(r"XA\s+\w+\s+X'([0-9a-f]*)'\s*,\s*X'([0-9a-f]*)'\s*,\s*(\d+)", re.IGNORECASE)
_HEAD_WORDS_MAX = 100
_READ_CHARACTERS_MAX = 65_536
"""Of a statement that is not ASCII only: each of its words has a reading in every character set. Half a second."""
_DOUBT = ""
# Of a session, which writes its names in it: any in which a letter of ASCII is one byte.
_CHARSETS = tuple(name for name, codec in CHARSETS.items() if codec and not codec.startswith("utf"))
# What a byte that is no UTF-8 is read as: a session with another character set wrote names that we cannot compare.
_UNDECODED = re.compile(r"\\x[89a-f][0-9a-f]")

_FIXED = {
    "BEGIN": Effect.BEGIN,
    "COMMIT": Effect.COMMIT,
    "SAVEPOINT": Effect.INSIDE,
    "RELEASE": Effect.INSIDE,
    "TRUNCATE": Effect.TABLES,
    **dict.fromkeys(("DELETE", "INSERT", "LOAD", "REPLACE", "UPDATE", "WITH"), Effect.DML),
}
_HARMLESS = frozenset({
    "CACHE", "CHANGE", "CHECK", "CHECKSUM", "FLUSH", "GRANT", "INSTALL", "KILL", "LOCK", "OPTIMIZE", "PURGE",
    "REPAIR", "RESET", "REVOKE", "SHOW", "SHUTDOWN", "STOP", "UNINSTALL", "UNLOCK", "USE",
})  # fmt: skip
# The first of these words after CREATE, ALTER, DROP or RENAME names the kind of object.
_OBJECTS = {
    "TABLE": Effect.TABLES,
    "TABLES": Effect.TABLES,
    "INDEX": Effect.TABLES,
    "SEQUENCE": Effect.TABLES,  # MariaDB's is a table: OR REPLACE puts it in the place of any
    "DATABASE": Effect.DATABASES,
    "SCHEMA": Effect.DATABASES,
}
_KEYLESS_OBJECTS = frozenset({
    "EVENT", "FUNCTION", "INSTANCE", "LOGFILE", "PACKAGE", "PROCEDURE", "REFERENCE", "RESOURCE", "ROLE", "SERVER",
    "TABLESPACE", "TRIGGER", "USER", "VIEW",
})  # fmt: skip


class _Word(NamedTuple):
    """Upper case; also a sign or something in quotes."""

    text: str
    at: int


def classify(sql: str, charset: str | None = "utf8mb4") -> Statement:
    """Never raises; a statement it does not know has effect EVERYTHING. So has DDL with names that it cannot read."""
    if sql == UNTOLD_CHANGES:
        return Statement(Effect.EVERYTHING)
    found = _classified(sql)
    has_names = found.effect in {Effect.TABLES, Effect.DATABASES}
    return Statement(Effect.EVERYTHING) if has_names and charset not in CHARSETS else found


def _classified(sql: str) -> Statement:
    found = _classify(sql, _FOR_MARIADB)
    return _safer(found, _classify(sql, _FOR_MYSQL)) if "/*M!" in sql else found


def _safer(one: Statement, other: Statement) -> Statement:
    if one.effect is other.effect or other.effect is Effect.NOTHING:
        return one
    return other if one.effect is Effect.NOTHING else Statement(Effect.EVERYTHING)


def _classify(sql: str, pieces: re.Pattern[str]) -> Statement:
    words = list(islice(_words(sql, pieces), _HEAD_WORDS_MAX))
    if not words:  # only a comment: a dummy event
        return Statement(Effect.NOTHING)
    effect = _effect(_behind_settings([word.text for word in words]))
    text = sql[words[0].at :]
    if effect in {Effect.XA_COMMIT, Effect.XA_ROLLBACK}:
        return _xa_end(effect, text)
    if effect in {Effect.TABLES, Effect.DATABASES}:
        return Statement(effect, _identifiers(text)) if _is_readable(text) else Statement(Effect.EVERYTHING)
    return Statement(effect)


def _is_readable(text: str) -> bool:
    is_short = len(text) <= _READ_CHARACTERS_MAX or text.isascii()
    return is_short and not _UNDECODED.search(text)


def _words(sql: str, pieces: re.Pattern[str]) -> Iterator[_Word]:
    """Without comments; ends with _DOUBT where what follows cannot be told for sure."""
    depth = 0
    for found in pieces.finditer(sql):
        match found.lastgroup:
            case "blank" | "comment":
                continue
            case "opened":
                depth += 1
            case "closed" if depth:
                depth -= 1
            case "closed" | "doubt":
                yield _Word(_DOUBT, found.start())
                return
            case _:
                yield _Word(found[0].upper(), found.start())


def _behind_settings(words: list[str]) -> list[str]:
    """Without MariaDB's SET STATEMENT ... FOR."""
    if words[:2] != ["SET", "STATEMENT"] or "FOR" not in words:
        return words
    return words[words.index("FOR") + 1 :]


def _effect(words: list[str]) -> Effect:
    head, second = (*words, "", "")[:2]
    if _DOUBT in words[:2]:
        return Effect.EVERYTHING
    if head in _TWO_WORDS:
        return _TWO_WORDS[head].get(second, _TWO_WORDS[head][""])
    if head in {"CREATE", "ALTER", "DROP", "RENAME"}:
        return _object_effect(words[1:])
    if head in _HARMLESS:
        return Effect.NOTHING
    return _FIXED.get(head, Effect.EVERYTHING)


_TWO_WORDS = {
    "ROLLBACK": {"": Effect.ROLLBACK, "TO": Effect.INSIDE},
    "START": {"": Effect.NOTHING, "TRANSACTION": Effect.BEGIN},
    "SET": {"": Effect.NOTHING, "STATEMENT": Effect.EVERYTHING},
    # MariaDB's ANALYZE before any other statement runs that statement.
    "ANALYZE": {
        "": Effect.EVERYTHING,
        **dict.fromkeys(("TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"), Effect.NOTHING),
    },
    "XA": {
        "": Effect.EVERYTHING,
        "START": Effect.BEGIN,
        "BEGIN": Effect.BEGIN,
        "END": Effect.INSIDE,
        "PREPARE": Effect.INSIDE,
        "COMMIT": Effect.XA_COMMIT,
        "ROLLBACK": Effect.XA_ROLLBACK,
    },
}


def _object_effect(words: list[str]) -> Effect:
    for place, word in enumerate(words):
        if word == _DOUBT:
            return Effect.EVERYTHING
        if word in _OBJECTS:
            return Effect.NOTHING if "TEMPORARY" in words[:place] else _OBJECTS[word]
        if word in _KEYLESS_OBJECTS:
            return Effect.NOTHING
    return Effect.EVERYTHING


def _xa_end(effect: Effect, text: str) -> Statement:
    found = _XID.match(text)
    if found is None:
        return Statement(Effect.EVERYTHING)
    return Statement(effect, xid=f"{found[1].lower()},{found[2].lower()},{found[3]}")


def _identifiers(text: str) -> frozenset[str]:
    """Comments and strings included: where these end may depend on the sql_mode, and a name must not be missed."""
    names = _NAMES.findall(_VERSION.sub(" ", text))
    return frozenset(
        reading.lower()
        for in_ticks, in_quotes, bare in names
        for reading in _readings(in_ticks.replace("``", "`") or in_quotes.replace('""', '"') or bare)
    )


def _readings(name: str) -> Iterator[str]:
    """What its bytes mean in any character set: those of another one may happen to be UTF-8 too."""
    yield name
    if not name.isascii():
        for charset in _CHARSETS:
            reading = charsets.reader(charset)(name.encode())
            if isinstance(reading, str):
                yield reading
