"""The socket of a binlog connection: how long it may be silent."""

import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from replicator.binlog import link as links
from replicator.binlog.kinds import FORMAT_DESCRIPTION, HEARTBEAT, MARIADB_GTID_LIST, ROTATE
from replicator.binlog.link import BinlogLink
from replicator.errors import MySqlUnavailableError

SILENCE_S = 0.05
SEARCH_S = 0.4
DUMP = b"\x01\0\0\0\x12"


class DeferredLink(BinlogLink):
    """Without a server: what it asks before the dump is not sent."""

    def query(self, sql: str) -> None:
        pass


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DeferredLink, socket.socket]]:
    monkeypatch.setattr(links, "SEARCH_SILENCE_S", SEARCH_S)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = DeferredLink(
            stop=threading.Event(), silence_s=SILENCE_S, has_checksums=True, defer_connect=True, write_timeout=1
        )
        link._sock, link._current_timeout = ours, None
        link._write_bytes(DUMP)
        yield link, theirs


def event(number: int, kind: int) -> bytes:
    body = b"\0" + struct.pack("<IBIIIH", 0, kind, 1, 19 + 12, 0, 0) + b"binlog.00001"
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def silence_s(link: BinlogLink) -> float:
    """How long it waits before it gives up."""
    packets = link.packets()
    try:
        while True:
            began_s = time.monotonic()
            next(packets)
    except MySqlUnavailableError:
        return time.monotonic() - began_s


@pytest.mark.parametrize("kinds", [[], [ROTATE], [ROTATE, FORMAT_DESCRIPTION, MARIADB_GTID_LIST]])
def test_a_server_that_looks_for_our_position_may_be_silent_for_longer(
    ends: tuple[DeferredLink, socket.socket], kinds: list[int]
) -> None:
    link, server = ends
    for number, kind in enumerate(kinds, start=1):
        server.sendall(event(number, kind))
    link._next_seq_id = 1
    assert silence_s(link) >= SEARCH_S


def test_once_it_has_found_it_silence_is_noticed(ends: tuple[DeferredLink, socket.socket]) -> None:
    link, server = ends
    server.sendall(event(1, ROTATE) + event(2, HEARTBEAT))
    link._next_seq_id = 1
    assert SILENCE_S <= silence_s(link) < SEARCH_S
