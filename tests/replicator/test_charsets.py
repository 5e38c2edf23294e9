"""Text in MySQL's character sets: what a server shows, never what Python's codec of that name makes of it."""

import pytest

from replicator.binlog.columns import CHARSETS, UNSURE
from replicator.binlog.rowdata.charsets import reader
from replicator.binlog.stream import charset_names


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("latin1", b"\x80\x81\x8d\x8f\x90\x9d\x9f", "€\x81\x8d\x8f\x90\x9dŸ"),
        ("latin1", "Á中".encode(), "\xc3\x81\xe4\xb8\xad"),
        ("utf8mb4", "ä😀".encode(), "ä😀"),
        ("euckr", b"\x81\x41\xb0\xa1", "갂가"),
        ("euckr", b"\xa4\xd4\xa4\xa1\xa4\xbf\xa4\xa4", "\u3164ㄱㅏㄴ"),
        ("big5", b"\xa4\x51\xa4\xa4", "十中"),
        ("ucs2", b"\x00\xc4\x4e\x2d", "Ä中"),
        ("utf16", b"\xd8\x3d\xde\x00", "😀"),
        ("greek", b"\xe1\xe2", "αβ"),
        ("gb18030", b"\xd6\xd0\x81\x35\xf4\x36", "中\u1e3e"),
    ],
)
def test_text_is_what_a_server_shows(charset: str, raw: bytes, text: str) -> None:
    assert reader(charset)(raw) == text


@pytest.mark.parametrize(
    ("charset", "raw"),
    [
        ("greek", b"\xa1"), ("greek", b"a\xa2"), ("greek", b"\xa4"), ("greek", b"\xa5"), ("greek", b"\xaa"),
        ("hebrew", b"\xaf"), ("koi8u", b"\x95"), ("cp1256", b"a\x8a"), ("cp1256", b"\xff"), ("tis620", b"\xfc"),
        ("big5", b"\xa2\xcc"), ("big5", b"a\xa1\xfe"), ("sjis", b"a\x81\x5fb"), ("ujis", b"\xa1\xc0"),
        ("gb18030", b"\xa8\xbc"), ("gb18030", b"\x81\x35\xf4\x37"),
        ("ucs2", b"\xd8\x3d\xde\x00"), ("utf8mb4", b"\xed\xa0\x80"), ("utf8mb4", b"\xff"), ("ascii", b"\x80"),
        ("klingon", b"a"), ("binary", b"a"), ("", b"a"),
    ],
)  # fmt: skip
def test_what_servers_and_codecs_read_otherwise_is_unsure(charset: str, raw: bytes) -> None:
    assert reader(charset)(raw) is UNSURE


def test_bytes_of_two_characters_are_not_taken_for_one_that_is_read_otherwise() -> None:
    """In big5 the end of one character and the beginning of the next one, A2 CC, may look like the other ten."""
    raw = b"\xa4\xa2\xcc\x51"
    assert b"\xa2\xcc" in raw
    assert reader("big5")(raw) == raw.decode("big5")


@pytest.mark.parametrize(
    ("number", "charset"),
    [(45, "utf8mb4"), (8, "latin1"), (2048, "utf8mb3"), (2304, "utf8mb4"), (2503, "utf8mb4"), (3271, "utf32"),
     (3328, None), (2047, None)],
)  # fmt: skip
def test_a_collation_of_mariadb_has_its_character_set(number: int, charset: str | None) -> None:
    assert charset_names(is_mariadb=True)(number) == charset


def test_mysql_has_no_collations_of_mariadb() -> None:
    assert charset_names(is_mariadb=False)(2304) is None


def test_every_set_of_characters_has_plain_letters() -> None:
    for charset, encoding in CHARSETS.items():
        if encoding is not None:
            assert reader(charset)("plain~1".encode(encoding)) == "plain~1"
