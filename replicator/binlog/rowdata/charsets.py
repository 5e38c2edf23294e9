"""Text as a server reads it: MySQL's character sets, where Python's codecs of nearly the same name differ.

Law: what a codec makes of a text is taken only where every server makes the same of it; the rest is UNSURE. Found by
asking servers for every character (tests/integration/test_charsets.py does it again); gb18030, which MariaDB lacks, by
the tables in MySQL's source.
"""

import codecs
from collections.abc import Callable, Mapping
from typing import Final

from replicator.binlog.columns import CHARSETS, UNSURE

Read = Callable[[bytes], object]

_LATIN1: Final = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))
"""MySQL's latin1 is cp1252 with control characters in its five gaps: UTF-8 stored as latin1 is full of them."""

_OTHERWISE: Final[Mapping[str, tuple[bytes, ...]]] = {
    "greek": (b"\xa1", b"\xa2", b"\xa4", b"\xa5", b"\xaa"),
    "hebrew": (b"\xaf",),
    "koi8u": (b"\x95",),
    "cp1256": (b"\x8a", b"\x8f", b"\x98", b"\x9a", b"\x9f", b"\xaa", b"\xc0", b"\xff"),
    "big5": (b"\xa1\x5a", b"\xa1\xc3", b"\xa1\xc5", b"\xa1\xfe", b"\xa2\x40", b"\xa2\xcc", b"\xa2\xce"),
    "sjis": (b"\x81\x5f",),
    "ujis": (b"\xa1\xc0",),
    "gb18030": (b"\xa8\xbc", b"\x81\x35\xf4\x37"),
}
"""Characters that a server and Python's codec both know, and read as different ones."""


def reader(charset: str) -> Read:
    """A function from the bytes of a text to what a SELECT shows of it, or UNSURE.

    ``charset``: MySQL's name of a set of characters, not of bytes (binary).
    """
    if charset == "latin1":
        return lambda raw: codecs.charmap_decode(raw, "strict", _LATIN1)[0]
    if charset == "ucs2":
        return _ucs2
    encoding = CHARSETS.get(charset)
    if encoding is None:
        return lambda _: UNSURE
    otherwise = [(raw, raw.decode(encoding)) for raw in _OTHERWISE.get(charset, ())]
    return _careful(encoding, otherwise) if otherwise else _plain(encoding)


def _plain(encoding: str) -> Read:
    def read(raw: bytes) -> object:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            return UNSURE

    return read


def _careful(encoding: str, otherwise: list[tuple[bytes, str]]) -> Read:
    plain = _plain(encoding)

    def read(raw: bytes) -> object:
        text = plain(raw)
        # The bytes alone may be the end of one character and the beginning of another.
        is_otherwise = isinstance(text, str) and any(one in raw and as_python in text for one, as_python in otherwise)
        return UNSURE if is_otherwise else text

    return read


_utf16: Final = _plain("utf-16-be")


def _ucs2(raw: bytes) -> object:
    """Without pairs of surrogates: to the server each half of one is a character."""
    text = _utf16(raw)
    return UNSURE if isinstance(text, str) and len(text) * 2 != len(raw) else text
