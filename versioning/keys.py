"""Keys and key templates: the one way from a database value to the text of a cache key.

Law: equal values give equal bytes wherever they were read (binlog, SELECT, a call's argument), and different values
never give the same bytes. The rules are PROTOCOL.md's, section "Keys"; tests/vectors/keys.json checks them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from urllib.parse import quote

from versioning.errors import ConfigError, FormatError
from versioning.limits import KEY_BYTES_MAX

NULL_TOKEN = "%N"  # noqa: S105
BINARY_PREFIX = "%x"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"[!-$&-z|~]*\Z")
_SEPARATOR = re.compile(r"[^A-Za-z0-9\-._~]")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-._~]*\Z")
# A brace would give the lease on a key another hash slot in a Redis Cluster than its value has.
_PLAIN_KEY = re.compile(r"[!-9;-z|~]{1,128}:[!-z|~]{0,380}")
"""Most keys, told by one look: ASCII, nothing forbidden, not too long. All others are looked at closely."""

_FORBIDDEN_IN_KEY = re.compile(r"[\x00-\x20{}\x7f-\xa0\u2028\u2029]")


class TemplateError(ConfigError):
    """A key template that cannot be used; the message names the template and the fix."""

    def __init__(self, template: str, problem: str, *, hint: str) -> None:
        super().__init__(f"key template {template!r}: {problem}", hint=hint)


class KeyFormatError(FormatError):
    """A key (or a value meant for one) that no stream, cache or API takes."""


class KeyTooLongError(KeyFormatError):
    """A key over the limit."""


def _trim(text: str) -> str:
    return text.rstrip(" ")


_FILTERS: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "trim": _trim}


def namespace_of(key: str) -> str:
    """Return the text before the first ``:`` of a well-formed key; of another one, whatever is there."""
    return key.partition(":")[0]


def check_key(key: str) -> str:
    """Returns the key when it is well formed, else raises KeyFormatError naming what is wrong."""
    if _PLAIN_KEY.fullmatch(key):
        return key
    if not key:
        raise KeyFormatError("the key is empty", hint="write it as namespace:rest")
    if key.find(":") <= 0:
        raise KeyFormatError(f"key {key[:80]!r} has no namespace", hint="write it as namespace:rest")
    if _FORBIDDEN_IN_KEY.search(key):
        raise KeyFormatError(
            f"key {key[:80]!r} holds a space, brace or control character", hint="percent-encode values"
        )
    # A lone surrogate is not text: it has no UTF-8 form.
    size_bytes = len(key) if key.isascii() else len(_utf8(key))
    if size_bytes > KEY_BYTES_MAX:
        raise KeyFormatError(f"key {key[:40]!r}... has {size_bytes} bytes", hint=f"at most {KEY_BYTES_MAX} are allowed")
    return key


def has_hash_tag(name: str) -> bool:
    """Whether a part of a Redis key decides its slot on a cluster, and so that of every key that begins with it."""
    tag, brace, _ = name.partition("{")[2].partition("}")
    return bool(tag and brace)


def encode_value(value: object) -> str:
    """The canonical text of one value (PROTOCOL.md); raises KeyFormatError for a kind no key may use."""
    if type(value) is int:  # the common case
        return str(value)
    if value is None:
        return NULL_TOKEN
    if isinstance(value, bytes | bytearray | memoryview):
        return BINARY_PREFIX + bytes(value).hex()
    return _percent_encoded(_text_of(value))


@dataclass(frozen=True, slots=True)
class _Slot:
    column: str
    filters: tuple[Callable[[str], str], ...]

    def encode(self, value: object) -> str:
        if not self.filters or value is None:
            return encode_value(value)
        text = _text_of(value)
        for transform in self.filters:
            text = transform(text)
        return _percent_encoded(text)


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """A parsed template. `literals` has one element more than `slots`: they alternate."""

    text: str
    namespace: str
    literals: tuple[str, ...]
    slots: tuple[_Slot, ...]

    @classmethod
    def parse(cls, text: str) -> "KeyTemplate":
        """Parses a template once, at start; raises TemplateError with a hint."""
        pieces = _PLACEHOLDER.split(text)
        literals, inner = tuple(pieces[0::2]), pieces[1::2]
        _check_literals(text, literals)
        return cls(
            text, _namespace_of_template(text, literals[0]), literals, tuple(_slot(text, part) for part in inner)
        )

    def has_filter(self, column: str) -> bool:
        """Whether a filter is put on this column: bytes have none."""
        return any(slot.filters and slot.column == column for slot in self.slots)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the template reads, each once, in order of appearance."""
        return tuple(dict.fromkeys(slot.column for slot in self.slots))

    def render(self, values: Mapping[str, object]) -> str | None:
        """The key for these values, or None when a column is absent (absent is not NULL: NULL is the value None).

        Raises KeyFormatError when a value's kind has no place in a key or the key would exceed its limit.
        """
        parts = [self.literals[0]]
        for slot, literal in zip(self.slots, self.literals[1:], strict=True):
            if slot.column not in values:
                return None
            parts.append(slot.encode(values[slot.column]))
            parts.append(literal)
        key = "".join(parts)
        if len(key) > KEY_BYTES_MAX:  # every character is ASCII here
            raise KeyTooLongError(
                f"key {key[:40]!r}... has {len(key)} bytes", hint=f"at most {KEY_BYTES_MAX} are allowed"
            )
        return key


def _check_literals(text: str, literals: tuple[str, ...]) -> None:
    for literal in literals:
        if not _LITERAL.match(literal):
            hint = "use printable ASCII without space, braces and %, or {column}"
            raise TemplateError(text, f"{literal!r} is not plain text", hint=hint)
    for between in literals[1:-1]:
        if not _SEPARATOR.search(between):
            raise TemplateError(text, "two columns could run into each other", hint="put ':' between the placeholders")


def _namespace_of_template(text: str, head: str) -> str:
    namespace, colon, _ = head.partition(":")
    if not colon or not namespace:
        raise TemplateError(text, "it has no literal namespace", hint="begin it with text and ':', as in users:{id}")
    return namespace


def _slot(text: str, inner: str) -> _Slot:
    column, *names = (part.strip() for part in inner.split("|"))
    if not column or re.search(r"\s", column):
        raise TemplateError(text, f"{{{inner}}} names no column", hint="write {column} or {column|lower}")
    unknown = [name for name in names if name not in _FILTERS]
    if unknown:
        raise TemplateError(text, f"unknown filter {unknown[0]!r}", hint=f"use one of {', '.join(sorted(_FILTERS))}")
    return _Slot(column, tuple(_FILTERS[name] for name in names))


def _percent_encoded(text: str) -> str:
    return text if _UNRESERVED.match(text) else quote(_utf8(text), safe="")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise KeyFormatError(f"{text[:40]!r} is not Unicode text", hint="pass bytes, or decoded text") from error


def _text_of(value: object) -> str:
    match value:
        case str():
            return str.__str__(value)  # of an Enum of text, its value, as rows have it; ``str`` gives its name
        case bool() | int():
            return str(int(value))
        case Decimal() | float():
            return _number_text(value)
        case datetime():
            return _datetime_text(value)
        case date():
            return value.isoformat()
        case timedelta():
            return _time_text(value)
    raise KeyFormatError(
        f"a {type(value).__name__} cannot be part of a key", hint="pass text, a number, bytes or a date"
    )


def _number_text(value: Decimal | float) -> str:
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise KeyFormatError(f"{value} cannot be part of a key", hint="pass a finite number")
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _datetime_text(value: datetime) -> str:
    moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value
    seconds = moment.replace(microsecond=0).isoformat(sep=" ")
    return seconds + _fraction_text(moment.microsecond)


def _time_text(value: timedelta) -> str:
    total_us = value // timedelta(microseconds=1)
    seconds, micros = divmod(abs(total_us), 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    sign = "-" if total_us < 0 else ""
    return f"{sign}{hour:02d}:{minute:02d}:{second:02d}{_fraction_text(micros)}"


def _fraction_text(micros: int) -> str:
    return f".{micros:06d}".rstrip("0") if micros else ""
