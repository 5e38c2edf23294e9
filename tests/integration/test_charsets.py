"""Every character of every set that a key may be in, as real servers read it: the same for us, or UNSURE."""

from collections.abc import Iterator, Sequence

import pytest

from deploy.simulation.sql_server import SqlServer
from replicator.binlog.columns import CHARSETS, UNSURE
from replicator.binlog.rowdata.charsets import reader
from replicator.binlog.stream import charset_names

AT_ONCE = 4_000
ONE_BYTE = ["ascii", "latin1", "latin2", "latin5", "latin7", "greek", "hebrew", "cp1250", "cp1251", "cp1256", "cp1257",
            "koi8r", "koi8u", "tis620"]  # fmt: skip
TWO_BYTES = ["gbk", "big5", "euckr", "ujis", "sjis", "cp932"]
UNICODE = {
    "utf8mb3": "utf-8", "utf8mb4": "utf-8", "ucs2": "utf-16-be", "utf16": "utf-16-be", "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
}  # fmt: skip
NOT_IN_MARIADB = {"gb18030"}
UNSURE_MAX = {"greek": 2, "hebrew": 1, "koi8u": 1, "tis620": 9, "big5": 14, "sjis": 1, "ujis": 1881}
"""Characters that servers know and we leave; of ujis, those for private use."""


@pytest.fixture(params=["mariadb_a", "mysql56"])
def server(request: pytest.FixtureRequest) -> SqlServer:
    found: SqlServer = request.getfixturevalue(request.param)
    return found


def shown(server: SqlServer, charset: str, texts: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
    """What a SELECT shows, of each text that is well-formed in this character set."""
    as_column = f"CONVERT(x'{{0}}' USING {charset})"
    one = f"SELECT '{{0}}' AS raw, HEX({as_column}) AS kept, HEX(CONVERT({as_column} USING utf8mb4)) AS text"
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET sql_mode = ''")
        for first in range(0, len(texts), AT_ONCE):
            chunk = [one.format(raw.hex().upper()) for raw in texts[first : first + AT_ONCE]]
            cursor.execute(" UNION ALL ".join(chunk))
            for row in cursor.fetchall():
                if row["raw"] == row["kept"]:
                    yield bytes.fromhex(row["raw"]), bytes.fromhex(row["text"]).decode(errors="surrogatepass")


def check(server: SqlServer, charset: str, texts: Sequence[bytes], *, least: int) -> None:
    read = reader(charset)
    found = [(raw, text, read(raw)) for raw, text in shown(server, charset, texts)]
    assert [(raw, text, ours) for raw, text, ours in found if ours is not UNSURE and ours != text] == []
    assert sum(ours is not UNSURE for _, _, ours in found) >= least
    left = [(raw, text) for raw, text, ours in found if ours is UNSURE and "?" not in text]
    assert len(left) <= UNSURE_MAX.get(charset, 0), left[:20]


@pytest.mark.parametrize("charset", ONE_BYTE)
def test_every_byte(server: SqlServer, charset: str) -> None:
    check(server, charset, [bytes([byte]) for byte in range(256)], least=128)


@pytest.mark.parametrize("charset", TWO_BYTES)
def test_every_two_bytes(server: SqlServer, charset: str) -> None:
    singles = [bytes([byte]) for byte in range(256)]
    pairs = [bytes([first, second]) for first in range(0x80, 256) for second in range(0x30, 256)]
    check(server, charset, singles + pairs, least=6_000)


def test_three_bytes_of_japanese(server: SqlServer) -> None:
    check(server, "ujis", [bytes([0x8F, a, b]) for a in range(0xA1, 0xFF) for b in range(0xA1, 0xFF)], least=6_000)


@pytest.mark.parametrize(("charset", "encoding"), UNICODE.items())
def test_characters_of_unicode(server: SqlServer, charset: str, encoding: str) -> None:
    codes = [*range(0, 0x3000, 7), *range(0x3000, 0xD800, 61), *range(0xE000, 0x1_0000, 13)]
    wide = [0x1_0000, 0x1_F600, 0x10_FFFF] if charset not in {"ucs2", "utf8mb3"} else []
    check(server, charset, [chr(code).encode(encoding) for code in codes + wide], least=len(codes))


@pytest.mark.parametrize(("charset", "encoding"), [("ucs2", "utf-16-be"), ("utf32", "utf-32-be"), ("utf8mb4", "utf-8")])
def test_half_a_pair_of_surrogates_is_unsure(server: SqlServer, charset: str, encoding: str) -> None:
    halves = ["\ud83d", "\ude00", "\ud83d\ude00"] if charset == "ucs2" else ["\ud83d", "\ude00"]
    found = list(shown(server, charset, [half.encode(encoding, "surrogatepass") for half in halves]))
    assert [reader(charset)(raw) for raw, _ in found] == [UNSURE] * len(halves)


@pytest.mark.parametrize("is_mariadb", [True, False])
def test_every_collation_of_a_map_has_its_character_set(request: pytest.FixtureRequest, *, is_mariadb: bool) -> None:
    server: SqlServer = request.getfixturevalue("mariadb_a" if is_mariadb else "mysql56")
    table = "COLLATION_CHARACTER_SET_APPLICABILITY" if is_mariadb else "COLLATIONS"
    found = server.query(f"SELECT id AS id, character_set_name AS name FROM information_schema.{table}")
    name_of = charset_names(is_mariadb=is_mariadb)
    expected = {row["id"]: row["name"].replace("utf8mb3", "utf8") for row in found}
    assert len(expected) > 150
    assert {number: (name_of(number) or "").replace("utf8mb3", "utf8") for number in expected} == expected


def test_all_sets_are_asked_for() -> None:
    names = {"utf8mb3" if name == "utf8" else name for name in CHARSETS} - {"binary"}
    assert names == {*ONE_BYTE, *TWO_BYTES, *UNICODE, *NOT_IN_MARIADB}
