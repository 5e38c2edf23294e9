"""The WAN of the simulation: a TCP relay that delays, slows, swallows or cuts what passes through it.

Run it as a process of its own, so that a busy test does not delay the wire:

    python -m deploy.simulation.relay --control 6000 --link redis:6001=127.0.0.1:6379 --one-way-ms 100

and steer it with `RelayControl(6000)`: one JSON object per line, `{"do": "cut", "link": "redis"}`, one JSON line back.
Or use `Relay` inside a test: the same words, on a thread of its own.
"""

import abc
import argparse
import asyncio
import contextlib
import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self

from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.relay_link import Link, Shape, find_links

CONTROL_TIMEOUT_S = 10.0
Reply = dict[str, Any]


class RelayError(RuntimeError):
    """The relay refused an order or cannot be reached."""


class Orders(abc.ABC):
    """The words that steer a relay; each holds for every link unless one is named."""

    @abc.abstractmethod
    def send(self, do: str, link: str | None = None, **arguments: Any) -> Reply: ...

    def set_delay(self, one_way_ms: float, jitter_ms: float = 0.0, *, link: str | None = None) -> None:
        self.send("set_delay", link, one_way_ms=one_way_ms, jitter_ms=jitter_ms)

    def cut(self, link: str | None = None) -> None:
        """Close the connections and refuse new ones."""
        self.send("cut", link)

    def black_hole(self, link: str | None = None) -> None:
        """Keep and accept connections, and forward nothing, not even that the other end is gone."""
        self.send("black_hole", link)

    def slow(self, bytes_per_s: float, *, link: str | None = None) -> None:
        self.send("slow", link, bytes_per_s=bytes_per_s)

    def heal(self, link: str | None = None) -> None:
        """End cut, black hole and slow; the delay stays."""
        self.send("heal", link)

    def status(self) -> Reply:
        return self.send("status")

    def add_link(self, name: str, target_port: int, *, port: int | None = None, host: str = LOOPBACK) -> int:
        """Open a link with the delay of the newest one; return the port to connect to."""
        port = free_port() if port is None else port
        self.send("add_link", name, port=port, target=[host, target_port])
        return port


class Wan:
    """All links, inside the event loop."""

    def __init__(self, one_way_ms: float = 0.0, jitter_ms: float = 0.0) -> None:
        self.links: dict[str, Link] = {}
        self._delay_s = (one_way_ms / 1000, jitter_ms / 1000)
        self._orders: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
            "add_link": self._add_link,
            "set_delay": self._set_delay,
            "cut": self._cut,
            "black_hole": self._black_hole,
            "slow": self._slow,
            "heal": self._heal,
        }

    async def obey(self, do: str, link: str | None = None, **arguments: Any) -> Reply:
        if do != "status":
            if do not in self._orders:
                raise ValueError(f"there is no order {do!r}: the orders are status, {', '.join(self._orders)}")
            await self._orders[do](link, **arguments)
        return {"ok": True, "links": [_describe(link) for link in self.links.values()]}

    async def close(self) -> None:
        for link in self.links.values():
            await link.close()

    async def _add_link(self, name: str, *, port: int, target: tuple[str, int]) -> None:
        if name in self.links:
            raise ValueError(f"there is a link {name!r} already: take another name")
        link = Link(name, port, (target[0], target[1]), Shape(*self._delay_s))
        await link.open()
        self.links[name] = link

    async def _set_delay(self, name: str | None, *, one_way_ms: float, jitter_ms: float = 0.0) -> None:
        if name is None:
            self._delay_s = (one_way_ms / 1000, jitter_ms / 1000)
        await self._reshape(name, one_way_s=one_way_ms / 1000, jitter_s=jitter_ms / 1000)

    async def _cut(self, name: str | None) -> None:
        await self._reshape(name, is_cut=True)

    async def _black_hole(self, name: str | None) -> None:
        await self._reshape(name, is_black_hole=True)

    async def _slow(self, name: str | None, *, bytes_per_s: float) -> None:
        if bytes_per_s <= 0:
            raise ValueError("bytes_per_s must be above 0: black_hole stops a link altogether")
        await self._reshape(name, bytes_per_s=bytes_per_s)

    async def _heal(self, name: str | None) -> None:
        await self._reshape(name, is_cut=False, is_black_hole=False, bytes_per_s=None)

    async def _reshape(self, name: str | None, **changes: Any) -> None:
        for link in find_links(self.links, name):
            for field, value in changes.items():
                setattr(link.shape, field, value)
            await link.reshape()


class Relay(Orders):
    """A relay on a thread of this process; `stop` it, or use it in a with block."""

    def __init__(self, one_way_ms: float = 0.0, jitter_ms: float = 0.0) -> None:
        self._wan = Wan(one_way_ms, jitter_ms)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()

    def send(self, do: str, link: str | None = None, **arguments: Any) -> Reply:
        order = asyncio.run_coroutine_threadsafe(self._wan.obey(do, link, **arguments), self._loop)
        try:
            return order.result(CONTROL_TIMEOUT_S)
        except (ValueError, TypeError, OSError) as error:
            raise RelayError(f"the relay refused {do}: {error}") from error

    def stop(self) -> None:
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_wind_up(self._wan), self._loop).result(CONTROL_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class RelayControl(Orders):
    """Steers a relay process through its control port."""

    def __init__(self, control_port: int) -> None:
        self.port = control_port

    def send(self, do: str, link: str | None = None, **arguments: Any) -> Reply:
        order = {"do": do, "link": link, **arguments}
        try:
            answer = self._ask(json.dumps(order).encode() + b"\n")
        except OSError as error:
            raise RelayError(f"no relay answers on control port {self.port} ({error}): start it") from error
        reply: Reply = json.loads(answer or b'{"ok": false, "error": "the relay hung up"}')
        if not reply["ok"]:
            raise RelayError(f"the relay refused {do}: {reply['error']}")
        return reply

    def _ask(self, line: bytes) -> bytes:
        with (
            socket.create_connection((LOOPBACK, self.port), CONTROL_TIMEOUT_S) as connection,
            connection.makefile("rb") as answers,
        ):
            connection.sendall(line)
            return answers.readline()

    @property
    def is_ready(self) -> bool:
        try:
            self.send("status")
        except RelayError:
            return False
        return True


def _describe(link: Link) -> Reply:
    shape = link.shape
    return {
        "name": link.name,
        "port": link.port,
        "target": list(link.target),
        "connections": len(link.pipes),
        "one_way_ms": shape.one_way_s * 1000,
        "jitter_ms": shape.jitter_s * 1000,
        "bytes_per_s": shape.bytes_per_s,
        "is_cut": shape.is_cut,
        "is_black_hole": shape.is_black_hole,
    }


async def _wind_up(wan: Wan) -> None:
    await wan.close()
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.sleep(0)  # Aborted transports close their sockets in the next round of the loop.


async def _serve_control(wan: Wan, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(json.dumps(await _answer(wan, line)).encode() + b"\n")
            await writer.drain()
    writer.close()


async def _answer(wan: Wan, line: bytes) -> Reply:
    try:
        return await wan.obey(**json.loads(line))
    except (ValueError, TypeError, OSError) as error:
        return {"ok": False, "error": str(error)}


async def _run(arguments: argparse.Namespace) -> None:
    wan = Wan(arguments.one_way_ms, arguments.jitter_ms)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    for name, port, target in arguments.link:
        await wan.obey("add_link", name, port=port, target=target)
    control = await asyncio.start_server(lambda r, w: _serve_control(wan, r, w), LOOPBACK, arguments.control)
    await stop.wait()
    control.close()
    await _wind_up(wan)


def parse_link(text: str) -> tuple[str, int, tuple[str, int]]:
    """Read `[name:]port=host:port`; a link without a name is called by its port."""
    listen, _, target = text.partition("=")
    name, _, port = listen.rpartition(":")
    host, _, target_port = target.rpartition(":")
    if not (port.isdigit() and host and target_port.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no link: write [name:]6001=127.0.0.1:6379")
    return name or port, int(port), (host, int(target_port))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.simulation.relay", description="A TCP relay as the WAN.")
    parser.add_argument("--control", type=int, required=True, metavar="PORT")
    parser.add_argument("--link", type=parse_link, action="append", default=[], metavar="[NAME:]PORT=HOST:PORT")
    parser.add_argument("--one-way-ms", type=float, default=100.0)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    arguments = parser.parse_args(argv)
    try:
        asyncio.run(_run(arguments))
    except OSError as error:
        print(f"relay: {error}: choose other ports", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
