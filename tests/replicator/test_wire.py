"""Binlog packets: verified, unpacked, passed on, or refused by name; never dropped in silence."""

import struct
import zlib

import pytest
import zstandard

from replicator.binlog.wire import FORMAT_DESCRIPTION, QUERY, TABLE_MAP, PacketRewriter
from replicator.errors import ChecksumError, UnsupportedEventError

XID, ROWS_V1, UPDATE_V2, PAYLOAD = 16, 23, 31, 40


def event(kind: int, body: bytes, *, flags: int = 0) -> bytes:
    return struct.pack("<IBIIIH", 1_700_000_000, kind, 1, 19 + len(body), 900, flags) + body


def packet(kind: int, body: bytes, *, has_checksum: bool = True, flags: int = 0) -> bytes:
    data = event(kind, body + (b"" if not has_checksum else b"\0\0\0\0"), flags=flags)
    if has_checksum:
        data = data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))
    return b"\0" + data


def rewritten(data: bytes, *, has_checksums: bool = True) -> list[bytes]:
    return list(PacketRewriter(has_checksums=has_checksums).rewrite(data))


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


def test_a_file_without_checksums_gets_room_for_them() -> None:
    rewriter = PacketRewriter(has_checksums=True)
    described = packet(FORMAT_DESCRIPTION, b"x" * 57 + b"\0")
    assert list(rewriter.rewrite(described)) == [described]
    data = packet(XID, b"12345678", has_checksum=False)
    assert bodies(list(rewriter.rewrite(data))) == [(XID, b"12345678")]


def test_a_table_map_always_has_four_bytes_behind_it() -> None:
    data = packet(TABLE_MAP, b"map", has_checksum=False)
    assert rewritten(data, has_checksums=False) == [data + b"\0\0\0\0"]


def test_status_variables_of_a_query_are_cut_out() -> None:
    data = packet(QUERY, query_body(b"BEGIN", status=b"\xee\x01"))
    assert bodies(rewritten(data)) == [(QUERY, query_body(b"BEGIN"))]


def test_a_compressed_query_becomes_a_query() -> None:
    data = packet(165, query_body(deflated(b"TRUNCATE item"), status=b"\x01"))
    assert bodies(rewritten(data)) == [(QUERY, query_body(b"TRUNCATE item"))]


@pytest.mark.parametrize(
    ("compressed", "plain", "head"),
    [
        (166, ROWS_V1, b"\1\0\0\0\0\0\1\0" + b"\x09" + b"\xff\x01"),
        (170, UPDATE_V2, b"\1\0\0\0\0\0\1\0" + b"\2\0" + b"\x09" + b"\xff\x01\xff\x01"),
    ],
)
def test_compressed_rows_become_rows(compressed: int, plain: int, head: bytes) -> None:
    data = packet(compressed, head + deflated(b"row data"))
    assert bodies(rewritten(data)) == [(plain, head + b"row data")]


@pytest.mark.parametrize("compression", [0, 255])
def test_a_compressed_transaction_becomes_its_events(compression: int) -> None:
    inside = event(QUERY, query_body(b"BEGIN", status=b"\x01")) + event(29, b"a comment") + event(XID, b"12345678")
    data = zstandard.ZstdCompressor().compress(inside) if compression == 0 else inside
    size = b"\xfc" + struct.pack("<H", len(inside))
    code = b"\xfc\xff\x00" if compression == 255 else bytes([compression])
    fields = b"\x02" + bytes([len(code)]) + code + b"\x03" + bytes([len(size)]) + size + b"\x00"
    assert bodies(rewritten(packet(PAYLOAD, fields + data))) == [(QUERY, query_body(b"BEGIN")), (XID, b"12345678")]


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
    assert rewritten(packet(99, b"marked ignorable", flags=0x80)) == []
