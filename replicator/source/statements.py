"""What a statement in the binlog means for keys. Total and suspicious: what is not surely harmless ages out something.

Only the head of a statement is understood. Which tables a DDL concerns is not parsed at all: every watched table whose
name occurs in it as an identifier is taken (RENAME, LIKE, EXCHANGE PARTITION, several tables: all alike). Too many is
an extra miss, too few would be a stale value. Statement DML fires triggers that leave no trace: it concerns everything.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto


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
    EVERYTHING = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    effect: Effect
    identifiers: frozenset[str] = frozenset()
    """Lower case."""
    xid: str = ""

    @property
    def is_ddl(self) -> bool:
        return self.effect in {Effect.TABLES, Effect.DATABASES, Effect.EVERYTHING}


_STRING = r"'(?:[^'\\]|\\.|'')*'"
_QUOTED = rf"{_STRING}|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`"
# Comments with a version (/*!50003 ...*/) are code, so only their two ends go.
_COMMENT = r"/\*(?!M?!).*?\*/|/\*M?!\d*|\*/|--(?=\s|\Z)[^\n]*|\#[^\n]*"
_LEXEME = re.compile(rf"(?P<quoted>{_QUOTED})|(?P<comment>{_COMMENT})|(?P<stray>['\"`]|/\*)", re.DOTALL)
_LEADING = re.compile(r"[\s(]+")
_SET_STATEMENT = re.compile(r"SET\s+STATEMENT\s.*?\sFOR\s+(?=[A-Z])", re.DOTALL | re.IGNORECASE)
_IDENTIFIER = re.compile(rf"{_STRING}|`((?:[^`]|``)+)`|\"((?:[^\"]|\"\")+)\"|([\w$]+)", re.DOTALL)
_WORD = re.compile(rf"{_QUOTED}|([A-Za-z_]+)", re.DOTALL)
_XID = re.compile(r"XA\s+\w+\s+X'([0-9a-f]*)'\s*,\s*X'([0-9a-f]*)'\s*,\s*(\d+)", re.IGNORECASE)
_HEAD_WORDS_MAX = 16
# What a byte that is no UTF-8 is read as: a session with another character set wrote names that we cannot compare.
_UNDECODED = re.compile(r"\\x[89a-f][0-9a-f]")

_FIXED = {
    "BEGIN": Effect.BEGIN,
    "COMMIT": Effect.COMMIT,
    "SAVEPOINT": Effect.INSIDE,
    "RELEASE": Effect.INSIDE,
    "TRUNCATE": Effect.TABLES,
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
    "DATABASE": Effect.DATABASES,
    "SCHEMA": Effect.DATABASES,
}
_KEYLESS_OBJECTS = frozenset({
    "EVENT", "FUNCTION", "INSTANCE", "LOGFILE", "PACKAGE", "PROCEDURE", "REFERENCE", "RESOURCE", "ROLE", "SEQUENCE",
    "SERVER", "TABLESPACE", "TRIGGER", "USER", "VIEW",
})  # fmt: skip


def classify(sql: str) -> Statement:
    """Never raises; a statement it does not know has effect EVERYTHING."""
    plain = _uncommented(sql)
    if plain is None:
        return Statement(Effect.EVERYTHING)
    text = _without_lead(plain)
    words = _first_words(text)
    if not words:  # only a comment: a dummy event
        return Statement(Effect.NOTHING if not text else Effect.EVERYTHING)
    effect = _effect(words)
    if effect in {Effect.XA_COMMIT, Effect.XA_ROLLBACK}:
        return _xa_end(effect, text)
    if effect in {Effect.TABLES, Effect.DATABASES}:
        return Statement(Effect.EVERYTHING) if _UNDECODED.search(sql) else Statement(effect, _identifiers(text))
    return Statement(effect)


def _uncommented(sql: str) -> str | None:
    """Return it without comments, which stand anywhere; None where a quote or a comment has no end."""
    if any(lexeme.lastgroup == "stray" for lexeme in _LEXEME.finditer(sql)):
        return None
    return _LEXEME.sub(lambda lexeme: lexeme["quoted"] or " ", sql)


def _without_lead(sql: str) -> str:
    text = _strip(sql)
    found = _SET_STATEMENT.match(text)
    return _strip(text[found.end() :]) if found else text


def _strip(sql: str) -> str:
    found = _LEADING.match(sql)
    return sql[found.end() :] if found else sql


def _first_words(text: str) -> list[str]:
    words: list[str] = []
    for found in _WORD.finditer(text[:2000]):
        if found[1]:
            words.append(found[1].upper())
        if len(words) == _HEAD_WORDS_MAX:
            break
    return words


def _effect(words: list[str]) -> Effect:
    head, second = words[0], words[1] if len(words) > 1 else ""
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
    found = (match for match in _IDENTIFIER.finditer(text) if match.lastindex)
    return frozenset(_unquoted(match).lower() for match in found)


def _unquoted(match: re.Match[str]) -> str:
    if match[1] is not None:
        return match[1].replace("``", "`")
    return match[2].replace('""', '"') if match[2] is not None else match[3]
