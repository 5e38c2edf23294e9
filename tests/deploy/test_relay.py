"""The WAN of the simulation: late, in order, whole; and broken in the way it was told to be."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.simulation.ports import free_port, is_listening
from deploy.simulation.processes import ManagedProcess, ProcessGroup
from deploy.simulation.relay import Relay, RelayControl, RelayError, parse_link
from tests.eventually import until

ONE_WAY_MS = 40
SOON_S = 20.0
QUIET_S = 0.3  # Long against the delay of a healthy link without one.


class EchoServer:
    """Sends back what it gets, until the end of file, and then ends its own direction."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while chunk := connection.recv(1 << 18):
                connection.sendall(chunk)


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as wan:
        yield wan


@pytest.fixture
def dial(relay: Relay, echo: EchoServer) -> Iterator[Callable[[], socket.socket]]:
    port = relay.add_link("echo", echo.port)
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), SOON_S)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


Dial = Callable[[], socket.socket]


def ask(connection: socket.socket, question: bytes = b"?") -> bytes:
    connection.sendall(question)
    return connection.recv(len(question))


def receive_all(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 18), b""))


def assert_silent(connection: socket.socket) -> None:
    connection.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(SOON_S)


def test_an_answer_takes_two_delays(relay: Relay, dial: Dial) -> None:
    relay.set_delay(ONE_WAY_MS)
    connection = dial()
    started = time.monotonic()
    assert ask(connection) == b"?"
    assert time.monotonic() - started >= 2 * ONE_WAY_MS / 1000


def test_every_byte_arrives_in_order_whatever_the_jitter(relay: Relay, dial: Dial) -> None:
    relay.set_delay(5, jitter_ms=5)
    connection = dial()
    sent = os.urandom(8 << 20)

    def send() -> None:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    assert receive_all(connection) == sent
    sender.join()


def test_one_ended_direction_leaves_the_other_open(relay: Relay, dial: Dial) -> None:
    relay.set_delay(ONE_WAY_MS)
    connection = dial()
    connection.sendall(b"last words")
    connection.shutdown(socket.SHUT_WR)
    assert receive_all(connection) == b"last words"


def test_a_finished_connection_is_forgotten(relay: Relay, dial: Dial) -> None:
    connection = dial()
    ask(connection)
    connection.close()
    until(lambda: relay.status()["links"][0]["connections"] == 0, "the connection is forgotten")


def test_a_reset_connection_is_lost_at_the_other_end_too(relay: Relay, dial: Dial) -> None:
    connection = dial()
    ask(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
    until(lambda: relay.status()["links"][0]["connections"] == 0, "the connection is forgotten")


def test_a_cut_loses_connections_and_refuses_new_ones_until_healed(relay: Relay, dial: Dial) -> None:
    connection = dial()
    ask(connection)
    relay.cut()
    with suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        dial()
    relay.heal()
    assert ask(dial()) == b"?"


def test_a_black_hole_keeps_connections_and_forwards_nothing_until_healed(relay: Relay, dial: Dial) -> None:
    old = dial()
    ask(old)
    relay.black_hole()
    new = dial()
    for connection in (old, new):
        connection.sendall(b"!")
    assert_silent(old)
    assert_silent(new)
    relay.heal()
    assert old.recv(1) == new.recv(1) == b"!"


def test_a_black_hole_does_not_swallow_without_bound(relay: Relay, dial: Dial) -> None:
    connection = dial()
    ask(connection)
    relay.black_hole()
    connection.settimeout(QUIET_S)
    with pytest.raises(TimeoutError):
        connection.sendall(bytes(64 << 20))


def test_a_slow_link_hands_out_its_rate(relay: Relay, dial: Dial) -> None:
    connection = dial()
    ask(connection)
    relay.slow(bytes_per_s=100_000)
    started = time.monotonic()
    connection.sendall(bytes(30_000))
    connection.shutdown(socket.SHUT_WR)
    assert len(receive_all(connection)) == 30_000
    assert time.monotonic() - started >= 0.28


def test_an_order_may_name_one_link(relay: Relay, dial: Dial, echo: EchoServer) -> None:
    other = relay.add_link("other", echo.port)
    relay.cut("other")
    assert not is_listening(other)
    assert ask(dial()) == b"?"


def test_a_dead_target_hangs_up(relay: Relay) -> None:
    port = relay.add_link("nobody", free_port())
    with socket.create_connection(("127.0.0.1", port), SOON_S) as connection, suppress(ConnectionResetError):
        assert connection.recv(1) == b""


def test_a_wrong_order_is_refused_by_name(relay: Relay) -> None:
    with pytest.raises(RelayError, match="no link 'moon'"):
        relay.cut("moon")
    with pytest.raises(RelayError, match="no order 'melt'"):
        relay.send("melt")
    with pytest.raises(RelayError, match="black_hole"):
        relay.slow(0)


def test_the_relay_process_obeys_its_control_port(echo: EchoServer, tmp_path: Path) -> None:
    control = RelayControl(free_port())
    with pytest.raises(RelayError, match="start it"):
        control.status()
    with ProcessGroup() as group:
        start_relay_process(group, control, tmp_path)
        port = control.add_link("echo", echo.port)
        control.set_delay(ONE_WAY_MS, link="echo")
        assert control.status()["links"][0]["one_way_ms"] == ONE_WAY_MS
        with socket.create_connection(("127.0.0.1", port), SOON_S) as connection:
            assert ask(connection) == b"?"
        control.cut()
        assert not is_listening(port)
        with pytest.raises(RelayError, match="no link"):
            control.heal("moon")


def start_relay_process(group: ProcessGroup, control: RelayControl, folder: Path) -> None:
    command = [sys.executable, "-m", "deploy.simulation.relay", "--control", str(control.port)]
    process = group.add(ManagedProcess("relay", command, folder / "relay.log", cwd=Path(__file__).parents[2]))
    process.start()
    process.wait_until(lambda: control.is_ready, SOON_S)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("6001=127.0.0.1:6379", ("6001", 6001, ("127.0.0.1", 6379))),
        ("redis:6001=127.0.0.1:6379", ("redis", 6001, ("127.0.0.1", 6379))),
    ],
)
def test_a_link_is_written_port_equals_target(text: str, link: object) -> None:
    assert parse_link(text) == link
