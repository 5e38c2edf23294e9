"""Binlog packets as bytes, between the socket and who decodes them: checked, unpacked, and of one form.

Nothing is dropped here in silence: an event is passed on, known to be irrelevant, or an error. What happens to one:
its checksum is verified; a compressed event or transaction becomes the plain events it stands for; an event from a file
written without checksums gets room for one, so that all files look the same.
"""

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from replicator.binlog.kinds import (
    COMPRESSED,
    DECODED,
    FORMAT_DESCRIPTION,
    HEARTBEAT,
    IRRELEVANT,
    MARIADB_QUERY_COMPRESSED,
    QUERY,
    ROTATE,
    ROWS_V2,
    TRANSACTION_PAYLOAD,
    UPDATES,
)
from replicator.binlog.packed import length
from replicator.errors import ChecksumError, UnsupportedEventError

_HEADER = struct.Struct("<IBIIIH")
_BODY = 1 + _HEADER.size  # behind the OK byte and the header
CHECKSUM_BYTES = 4
_IGNORABLE_FLAG = 0x80

_MADE_FOR_US = frozenset({ROTATE, FORMAT_DESCRIPTION, HEARTBEAT})

_ZSTD, _UNCOMPRESSED = 0, 255


class PacketRewriter:
    """One per connection, on which the server was told that we understand checksums."""

    def __init__(self) -> None:
        self._file_has_checksums = True

    def rewrite(self, packet: bytes) -> Iterable[bytes]:
        """The packets to decode instead of this one; raises ChecksumError, UnsupportedEventError."""
        if not packet or packet[0] != 0:  # end of stream
            return (packet,)
        if len(packet) < _BODY:
            raise ChecksumError(f"a binlog packet of {len(packet)} bytes is shorter than the header of an event")
        kind = packet[5]
        if kind == FORMAT_DESCRIPTION:
            self._file_has_checksums = packet[-CHECKSUM_BYTES - 1] == 1
        if kind in _MADE_FOR_US:  # whatever the file has
            is_bare = kind == ROTATE and not _is_intact(packet)
            return (_packet(packet, kind, packet[_BODY:]),) if is_bare else (packet,)
        if self._file_has_checksums:
            _verify(packet)
        if kind in DECODED:
            return (packet,) if self._file_has_checksums else (_packet(packet, kind, packet[_BODY:]),)
        if kind in _UNPACKERS or kind in COMPRESSED:
            return _repacked(
                kind, packet, packet[_BODY:-CHECKSUM_BYTES] if self._file_has_checksums else packet[_BODY:]
            )
        if kind not in IRRELEVANT and not _flags(packet) & _IGNORABLE_FLAG:
            raise unsupported(kind)
        return ()


def without_checksum(packet: bytes) -> bytes:
    """What `rewrite` gave, for a reader that knows of no checksums."""
    time_s, kind, server_id, size, log_pos, flags = _HEADER.unpack_from(packet, 1)
    header = _HEADER.pack(time_s, kind, server_id, size - CHECKSUM_BYTES, log_pos, flags)
    return packet[:1] + header + packet[_BODY:-CHECKSUM_BYTES]


def _repacked(kind: int, packet: bytes, body: bytes) -> Iterator[bytes]:
    for inner_kind, inner_body in _unpacked(kind, body):
        yield _packet(packet, inner_kind, inner_body)


def _packet(original: bytes, kind: int, body: bytes) -> bytes:
    time_s, _, server_id, _, log_pos, flags = _HEADER.unpack_from(original, 1)
    size = _HEADER.size + len(body) + CHECKSUM_BYTES
    return b"\0" + _HEADER.pack(time_s, kind, server_id, size, log_pos, flags) + body + b"\0" * CHECKSUM_BYTES


def unsupported(kind: int) -> UnsupportedEventError:
    return UnsupportedEventError(
        f"binlog event of type {kind} is not supported", hint="update stampline, or switch off what writes it"
    )


def _flags(packet: bytes) -> int:
    return int(_HEADER.unpack_from(packet, 1)[5])


def _is_intact(packet: bytes) -> bool:
    return zlib.crc32(packet[1:-CHECKSUM_BYTES]) == int.from_bytes(packet[-CHECKSUM_BYTES:], "little")


def _verify(packet: bytes) -> None:
    if not _is_intact(packet):
        raise ChecksumError(
            f"binlog event of type {packet[5]} has a wrong checksum",
            hint="when it comes back, check the server's disk and mariadb-binlog --verify-binlog-checksum",
        )


def _unpacked(kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        yield from _UNPACKERS.get(kind, _rows)(kind, body)
    except (zlib.error, struct.error, LookupError, ValueError) as error:
        raise UnsupportedEventError(
            f"compressed binlog event of type {kind} cannot be read: {error}", hint="switch binlog compression off"
        ) from error


def _query(_kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    database_bytes, status_bytes = body[8], int.from_bytes(body[11:13], "little")
    head_bytes = 13 + status_bytes + database_bytes + 1
    yield QUERY, body[:head_bytes] + _inflate(body[head_bytes:])


def _rows(kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    plain_kind = COMPRESSED[kind]
    offset = 8  # table id and flags
    if plain_kind in ROWS_V2:
        offset += int.from_bytes(body[8:10], "little")
    columns, offset = length(body, offset)
    offset += (columns + 7) // 8 * (2 if plain_kind in UPDATES else 1)
    yield plain_kind, body[:offset] + _inflate(body[offset:])


def _inflate(data: bytes) -> bytes:
    """MariaDB: a byte 0x80 + size of the length, the length (big endian), zlib."""
    if data[0] & 0xF0 != 0x80:
        raise ValueError(f"compression {data[0] >> 4 & 7} is unknown")
    head = 1 + (data[0] & 0x07)
    return zlib.decompress(data[head:])


def _transaction(_kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """MySQL: fields of type, length, value; type 0 ends them, and the events of the transaction follow."""
    compression, size, offset = _ZSTD, 0, 0
    while True:
        field, offset = length(body, offset)
        if field == 0:
            break
        value_bytes, offset = length(body, offset)
        value, _ = length(body, offset)
        compression = value if field == 2 else compression
        size = value if field == 3 else size
        offset += value_bytes
    events = _expand(compression, body[offset:], size)
    start = 0
    while start < len(events):
        _, kind, _, event_size, _, flags = _HEADER.unpack_from(events, start)
        if event_size < _HEADER.size:
            raise ValueError("an event inside is shorter than its header")
        event = b"\0" + events[start : start + event_size]
        start += event_size
        if kind in DECODED:
            yield kind, event[_BODY:]
        elif kind not in IRRELEVANT and not flags & _IGNORABLE_FLAG:
            raise unsupported(kind)


def _expand(compression: int, data: bytes, size: int) -> bytes:
    if compression == _UNCOMPRESSED:
        return data
    if compression != _ZSTD:
        raise ValueError(f"compression {compression} is unknown")
    import zstandard  # noqa: PLC0415  only MySQL 8.0.20 and newer ever need it

    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error


_UNPACKERS: dict[int, Callable[[int, bytes], Iterator[tuple[int, bytes]]]] = {
    MARIADB_QUERY_COMPRESSED: _query,
    TRANSACTION_PAYLOAD: _transaction,
}
