"""Binlog packets: verified, unpacked, passed on, or refused by name; never dropped in silence."""

import struct
import zlib

import pytest
import zstandard

from replicator.binlog.kinds import FORMAT_DESCRIPTION, QUERY, ROTATE, TABLE_MAP
from replicator.binlog.wire import PacketRewriter, without_checksum
from replicator.errors import ChecksumError, UnsupportedEventError

XID, ROWS_V1, UPDATE_V2, PAYLOAD = 16, 23, 31, 40


def event(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    return struct.pack("<IBIIIH", 1_700_000_000, kind, 1, 19 + len(body), 900, flags) + body


def packet(kind: int, body: bytes, *, has_checksum: bool = True, flags: int = 0) -> bytes:
    data = event(kind, body + (b"" if not has_checksum else b"\0\0\0\0"), flags=flags)
    if has_checksum:
        data = data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))
    return b"\0" + data


def rewritten(data: bytes) -> list[bytes]:
    return list(PacketRewriter().rewrite(data))


def of_a_file_without_checksums(data: bytes) -> list[bytes]:
    rewriter = PacketRewriter()
    described = packet(FORMAT_DESCRIPTION, b"x" * 57 + b"\0")
    assert list(rewriter.rewrite(described)) == [described]
    return list(rewriter.rewrite(data))


def bodies(packets: list[bytes]) -> list[tuple[int, bytes]]:
    """Kind and body as a reader sees them that takes the last four bytes for a checksum, and trusts the size."""
    for found in packets:
        assert struct.unpack_from("<I", found, 10)[0] == len(found) - 1
    return [(found[5], found[20:-4]) for found in packets]


def query_body(sql: bytes, status: bytes = b"") -> bytes:
    return struct.pack("<IIBHH", 1, 0, 4, 0, len(status)) + status + b"shop\0" + sql


def deflated(data: bytes) -> bytes:
    return bytes([0x82]) + len(data).to_bytes(2, "big") + zlib.compress(data)


def test_a_plain_event_is_passed_on_untouched() -> None:
    data = packet(XID, b"12345678")
    assert rewritten(data) == [data]


def test_a_damaged_event_is_an_error() -> None:
    data = bytearray(packet(XID, b"12345678"))
    data[25] ^= 1
    with pytest.raises(ChecksumError, match="wrong checksum"):
        rewritten(bytes(data))


@pytest.mark.parametrize(("kind", "body"), [(XID, b"12345678"), (TABLE_MAP, b"map")])
def test_a_file_without_checksums_gets_room_for_them(kind: int, body: bytes) -> None:
    found = of_a_file_without_checksums(packet(kind, body, has_checksum=False))
    assert bodies(found) == [(kind, body)]


def test_a_reader_that_knows_no_checksums_gets_none() -> None:
    assert without_checksum(packet(XID, b"12345678")) == packet(XID, b"12345678", has_checksum=False)


def test_a_rotate_that_a_server_made_without_a_checksum_keeps_its_file_name() -> None:
    body = (4).to_bytes(8, "little") + b"binlog.000012"
    bare, checked = packet(ROTATE, body, has_checksum=False), packet(ROTATE, body)
    assert bodies(rewritten(bare)) == [(ROTATE, body)]
    assert rewritten(checked) == [checked]


def test_a_compressed_query_becomes_a_query() -> None:
    data = packet(165, query_body(deflated(b"TRUNCATE item"), status=b"\x01"))
    assert bodies(rewritten(data)) == [(QUERY, query_body(b"TRUNCATE item", status=b"\x01"))]


@pytest.mark.parametrize(
    ("compressed", "plain", "head"),
    [
        (166, ROWS_V1, b"\1\0\0\0\0\0\1\0" + b"\x09" + b"\xff\x01"),
        (170, UPDATE_V2, b"\1\0\0\0\0\0\1\0" + b"\2\0" + b"\x09" + b"\xff\x01\xff\x01"),
    ],
)
def test_compressed_rows_become_rows(compressed: int, plain: int, head: bytes) -> None:
    body = head + deflated(b"row data")
    assert bodies(rewritten(packet(compressed, body))) == [(plain, head + b"row data")]
    bare = packet(compressed, body, has_checksum=False)
    assert bodies(of_a_file_without_checksums(bare)) == [(plain, head + b"row data")]


@pytest.mark.parametrize("compression", [0, 255])
def test_a_compressed_transaction_becomes_its_events(compression: int) -> None:
    begin = query_body(b"BEGIN", status=b"\x01")
    inside = event(QUERY, begin) + event(29, b"a comment") + event(XID, b"12345678")
    data = zstandard.ZstdCompressor().compress(inside) if compression == 0 else inside
    size = b"\xfc" + struct.pack("<H", len(inside))
    code = b"\xfc\xff\x00" if compression == 255 else bytes([compression])
    fields = b"\x02" + bytes([len(code)]) + code + b"\x03" + bytes([len(size)]) + size + b"\x00"
    assert bodies(rewritten(packet(PAYLOAD, fields + data))) == [(QUERY, begin), (XID, b"12345678")]


@pytest.mark.parametrize(
    "data",
    [
        packet(42, b"a tagged GTID"),
        packet(20, b"ancient rows"),
        packet(PAYLOAD, b"\x02\x01\x07\x00" + b"unknown compression"),
        packet(PAYLOAD, b"\x02"),
        packet(166, b"\1\0\0\0\0\0\1\0\1\xff\x92no zlib"),
        packet(166, b"\1\0\0\0\0\0\1\0\1\xff\x81\x09broken"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_event(data: bytes) -> None:
    with pytest.raises(UnsupportedEventError, match=f"type {data[5]} "):
        rewritten(data)


def test_what_is_known_or_declared_to_be_irrelevant_goes() -> None:
    assert rewritten(packet(163, b"a GTID list")) == []
    assert rewritten(packet(11, b"a file of LOAD DATA is deleted")) == []
    assert rewritten(packet(99, b"marked ignorable", flags=0x80)) == []
