"""``python -m loadtests.bench.crowd pushed|reading COUNT PORT``: followers as Redis sees them, and nothing behind.

Each is a connection that says what a follower says and throws away what it hears: thousands fit into one process,
where real ones would keep both cores busy. ``pushed`` ones subscribe, as ours do; ``reading`` ones ask with XREAD
BLOCK, again and again.
"""

import argparse
import os
import re
import resource
import selectors
import socket
from collections.abc import Callable
from typing import Final

from deploy.simulation.ports import LOOPBACK
from loadtests.bench.long_stream import STREAM

CHANNEL: Final = "{stampline}:push"
RECEIVE_BYTES: Final = 1 << 16
PARENT_LOOK_S: Final = 1.0

_ID = re.compile(rb"\r\n(\d{13}-\d+)\r\n")


def command(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def read_from(id_: str | bytes) -> bytes:
    return command("XREAD", "COUNT", "1000", "BLOCK", "1000", "STREAMS", STREAM, id_)


def hear(connection: socket.socket) -> None:
    if not connection.recv(RECEIVE_BYTES):
        raise SystemExit("Redis closed a connection")


def reader() -> Callable[[socket.socket], None]:
    last: bytes = b"$"

    def ask_again(connection: socket.socket) -> None:
        nonlocal last
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise SystemExit("Redis closed a connection")
        last = max([last, *_ID.findall(data)])
        connection.sendall(read_from(last))

    return ask_again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("pushed", "reading"))
    parser.add_argument("count", type=int)
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    is_pushed = arguments.kind == "pushed"
    parent = os.getppid()
    with selectors.DefaultSelector() as selector:
        for _ in range(arguments.count):
            connection = socket.create_connection((LOOPBACK, arguments.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(command("SUBSCRIBE", CHANNEL) if is_pushed else read_from("$"))
            selector.register(connection, selectors.EVENT_READ, hear if is_pushed else reader())
        while os.getppid() == parent:
            for key, _ in selector.select(PARENT_LOOK_S):
                key.data(key.fileobj)


if __name__ == "__main__":
    main()
