"""What only MySQL 8 writes, made of the real bytes of an older server: decoded, or loudly refused."""

import struct
import zlib
from collections.abc import Iterator

import pytest
import zstandard

from deploy.simulation.mysql56 import MySql56
from deploy.simulation.redis_server import RedisServer
from replicator.binlog import link
from replicator.binlog.kinds import QUERY, TRANSACTION_PAYLOAD
from replicator.binlog.wire import PacketRewriter
from replicator.errors import UnsupportedEventError
from tests.integration.source_world import World

XID, GTID, TAGGED_GTID = 16, 33, 42
_HEADER = struct.Struct("<IBIIIH")


def header_of(packet: bytes) -> tuple[int, ...]:
    return _HEADER.unpack_from(packet, 1)


def with_checksum(kind: int, body: bytes, like: bytes) -> bytes:
    time_s, _, server_id, _, log_pos, flags = header_of(like)
    event = _HEADER.pack(time_s, kind, server_id, _HEADER.size + len(body) + 4, log_pos, flags) + body
    return b"\0" + event + struct.pack("<I", zlib.crc32(event))


class Compressing(PacketRewriter):
    """As if the session had binlog_transaction_compression=ON: all events behind the GTID come as one payload."""

    payloads = 0

    def __init__(self) -> None:
        super().__init__()
        self._inside: list[bytes] = []

    def rewrite(self, packet: bytes) -> Iterator[bytes]:
        kind = packet[5] if len(packet) > 5 else 0
        if not self._inside and not (kind == QUERY and packet.endswith(b"BEGIN", 0, -4)):
            yield from super().rewrite(packet)
            return
        self._inside.append(packet)
        if kind == XID:
            yield from super().rewrite(self._payload(packet))

    def _payload(self, last: bytes) -> bytes:
        inside = b"".join(self._plain(packet) for packet in self._inside)
        self._inside = []
        size = b"\xfd" + len(inside).to_bytes(3, "little")
        fields = b"\x02\x01\x00" + b"\x03" + bytes([len(size)]) + size + b"\x00"
        Compressing.payloads += 1
        return with_checksum(TRANSACTION_PAYLOAD, fields + zstandard.ZstdCompressor().compress(inside), last)

    @staticmethod
    def _plain(packet: bytes) -> bytes:
        """Events in a payload have no checksum."""
        time_s, kind, server_id, size, log_pos, flags = header_of(packet)
        return _HEADER.pack(time_s, kind, server_id, size - 4, log_pos, flags) + packet[1 + _HEADER.size : -4]


class Tagging(PacketRewriter):
    """As if the session had gtid_next=AUTOMATIC:tag."""

    def rewrite(self, packet: bytes) -> Iterator[bytes]:
        is_gtid = len(packet) > 5 and packet[5] == GTID
        yield from super().rewrite(with_checksum(TAGGED_GTID, packet[20:-4], packet) if is_gtid else packet)


async def test_transaction_payload_is_decoded(
    mysql56: MySql56, redis_a: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Compressing, "payloads", 0)
    monkeypatch.setattr(link, "PacketRewriter", Compressing)
    world = World.with_items(mysql56, redis_a)
    async with world.source():
        await world.forget()
        world.run(
            "BEGIN", "INSERT INTO item (id, code) VALUES (1, 'a'), (2, 'b')", "DELETE FROM item WHERE id = 1", "COMMIT"
        )
        world.run("UPDATE item SET shelf = 5")
        await world.caught_up()
    world.run("UPDATE item SET shelf = 6")
    async with world.source():
        await world.caught_up()
    assert Compressing.payloads > 3
    assert {"item:1", "item:2", "item:code:a", "item:code:b", "shelf:5:b", "shelf:6:b"} <= set(await world.keys())
    assert await world.generations() == []


async def test_tagged_gtid_is_loudly_refused(
    mysql56: MySql56, redis_a: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.with_items(mysql56, redis_a)
    async with world.source():
        await world.forget()
    stored = await world.checkpoint()
    monkeypatch.setattr(link, "PacketRewriter", Tagging)
    world.run("INSERT INTO item (id, code) VALUES (1, 'a')")
    with pytest.raises(UnsupportedEventError, match="type 42 is not supported"):
        async with world.source():
            await world.until(lambda: "type 42" in world.stats.last_error, "the event is refused")
    assert (await world.checkpoint()).position == stored.position
