"""HTTP/1.1 load from this process: some keep-alive connections, each with one request under way.

Raw sockets, because a client library costs more than the server it asks. The server is a process of its own, and what
is told is how many requests it serves in a second of its CPU time: what a core of its own would serve, however busy the
machine is.
"""

import asyncio
import os
import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.processes import ManagedProcess, ProcessGroup
from loadtests.bench import feeder
from loadtests.bench.contract import Sample
from loadtests.bench.servers import start_python
from versioning.backends.redis_stream import RedisStream
from versioning.entries import Gap, Replayed
from versioning.limits import WINDOW_MS

CONNECTIONS: Final = 16
RECEIVE_BYTES: Final = 1 << 18
READY_S: Final = 30.0
WARM_UP_S: Final = 0.1
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Subject:
    """A server under load."""

    def __init__(self, process: ManagedProcess, port: int) -> None:
        self._process = process
        self._port = port

    def is_ready(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self._port)):
                return True
        except OSError:
            return False

    def measure(self, request: bytes, seconds: float) -> Sample:
        """Return requests per second of the server's CPU time."""
        with connections(self._port) as selector:
            load(selector, request, WARM_UP_S)
            began_s, cpu_s = time.perf_counter(), self._cpu_s()
            count = load(selector, request, seconds)
            passed_s, cpu_s = time.perf_counter() - began_s, self._cpu_s() - cpu_s
        return Sample(count / cpu_s, {"per_s": count / passed_s, "cpu_us": cpu_s / count * 1e6})

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S


def start_subject(group: ProcessGroup, folder: Path, kind: str, redis_url: str) -> Subject:
    port = free_port()
    process = start_python(group, folder, kind, "loadtests.bench.http_subject", kind, str(port), redis_url)
    subject = Subject(process, port)
    process.wait_until(subject.is_ready, READY_S)
    return subject


def make_complete(redis_url: str) -> None:
    """Say that the stream's history is complete, as after a day in production, so that the service vouches."""

    async def append() -> None:
        stream = RedisStream.from_url(redis_url)
        await stream.append(feeder.append_of(Gap("begun"), Replayed(feeder.now_ms() - 2 * WINDOW_MS)))
        await stream.aclose()

    asyncio.run(append())


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\naccept: application/json\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def connections(port: int) -> Iterator[selectors.BaseSelector]:
    made = [socket.create_connection((LOOPBACK, port)) for _ in range(CONNECTIONS)]
    try:
        with selectors.DefaultSelector() as selector:
            for connection in made:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, connection)
            yield selector
    finally:
        for connection in made:
            connection.close()


def load(selector: selectors.BaseSelector, request: bytes, seconds: float) -> int:
    """Ask for ``seconds`` and return how many answers came; raises for one that is not 200."""
    until_s, count = time.perf_counter() + seconds, 0
    for key in list(selector.get_map().values()):
        key.data.sendall(request)
    while time.perf_counter() < until_s:
        for key, _ in selector.select(1.0):
            receive_answer(key.data)
            count += 1
            key.data.sendall(request)
    for key in list(selector.get_map().values()):
        receive_answer(key.data)
    return count


def receive_answer(connection: socket.socket) -> None:
    data = connection.recv(RECEIVE_BYTES)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    found = _LENGTH.search(data, 0, end + 2)
    if not data.startswith(b"HTTP/1.1 200 ") or found is None:
        raise AssertionError(f"the server answered {data[:200]!r}")
    missing = end + 4 + int(found[1]) - len(data)
    while missing > 0:
        missing -= len(_more(connection))


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(RECEIVE_BYTES)
    if not data:
        raise AssertionError("the server closed the connection")
    return data
