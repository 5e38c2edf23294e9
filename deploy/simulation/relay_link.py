"""One WAN link: bytes come out in order, each chunk one delay after it went in, and memory is bounded.

A chunk is stamped with its time of arrival and leaves when its delay is over; nobody sleeps per chunk, so many chunks
travel at once, as on a real wire. What does not fit into the buffer stays with the sender: reading stops.
"""

import asyncio
import enum
import random
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

IN_FLIGHT_BYTES_MAX = 16 << 20  # Per direction: 160 MB/s at 100 ms.
WRITE_BUFFER_BYTES = 1 << 20
SLOW_SLICES_PER_S = 100  # A slow link hands out its rate in slices of 10 ms.
CONNECT_TIMEOUT_S = 10.0


@dataclass(slots=True)
class Shape:
    """What the link does to its traffic now; changes hold for connections that exist, too."""

    one_way_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    is_cut: bool = False
    is_black_hole: bool = False

    def delay_s(self) -> float:
        if not self.jitter_s:
            return self.one_way_s
        return max(0.0, self.one_way_s + random.uniform(-self.jitter_s, self.jitter_s))


class Mark(enum.Enum):
    """What travels the wire besides bytes, with the same delay."""

    END = "the sender is done; the other direction goes on"
    LOST = "the sender is gone"


class Flow:
    """One direction of one connection."""

    def __init__(self, shape: Shape, on_finished: Callable[[], None]) -> None:
        self._shape = shape
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[float, bytes | Mark]] = deque()
        self._queued_bytes = 0
        self._last_due_s = 0.0
        self._line_free_at_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._is_peer_full = False
        self._is_reading = True
        self._source: asyncio.Transport | None = None
        self._sink: asyncio.Transport | None = None
        self.is_finished = False
        self.is_closed = False  # Nobody is left to receive.

    def attach_source(self, source: asyncio.Transport) -> None:
        self._source = source
        self._loop.call_soon(self._throttle)  # A new transport starts to read right after connection_made.

    def attach_sink(self, sink: asyncio.Transport) -> None:
        self._sink = sink
        self.release()

    def feed(self, chunk: bytes | Mark) -> None:
        """Take in a chunk or a mark; a later one never overtakes an earlier one, whatever the jitter."""
        if self.is_closed:
            return
        self._last_due_s = max(self._last_due_s, self._loop.time() + self._shape.delay_s())
        self._queue.append((self._last_due_s, chunk))
        self._queued_bytes += 0 if isinstance(chunk, Mark) else len(chunk)
        self._throttle()
        if self._timer is None:
            self.release()

    def set_peer_full(self, *, is_full: bool) -> None:
        self._is_peer_full = is_full
        self.release()

    def release(self) -> None:
        """Hand over all that is due, and come back when the next chunk is."""
        self._cancel_timer()
        while self._queue and self._may_send():
            due_s = max(self._queue[0][0], self._line_free_at_s if self._shape.bytes_per_s else 0.0)
            if due_s > self._loop.time():
                self._timer = self._loop.call_at(due_s, self.release)
                break
            self._send_first()
        self._throttle()

    def close(self) -> None:
        self._cancel_timer()
        self._queue.clear()
        self._queued_bytes = 0
        self._sink = None
        self.is_closed = True

    def _may_send(self) -> bool:
        return self._sink is not None and not self._is_peer_full and not self._shape.is_black_hole

    def _send_first(self) -> None:
        due_s, chunk = self._queue.popleft()
        sink = cast(asyncio.Transport, self._sink)
        if isinstance(chunk, Mark):
            self._finish(sink, chunk)
            return
        if self._shape.bytes_per_s:
            chunk, rest = self._slice(chunk, self._shape.bytes_per_s)
            if rest:
                self._queue.appendleft((due_s, rest))
        self._queued_bytes -= len(chunk)
        sink.write(chunk)

    def _finish(self, sink: asyncio.Transport, mark: Mark) -> None:
        self.is_finished = True
        if mark is Mark.LOST:
            sink.close()  # After what is still in its buffer.
        elif not sink.is_closing():
            with suppress(OSError):  # the peer has gone meanwhile
                sink.write_eof()
        self._on_finished()

    def _slice(self, chunk: bytes, bytes_per_s: float) -> tuple[bytes, bytes]:
        size = max(1, int(bytes_per_s / SLOW_SLICES_PER_S))
        sent = chunk[:size]
        self._line_free_at_s = max(self._loop.time(), self._line_free_at_s) + len(sent) / bytes_per_s
        return sent, chunk[size:]

    def _throttle(self) -> None:
        should_read = self._queued_bytes < IN_FLIGHT_BYTES_MAX and not self._shape.is_black_hole
        if self._source is None or should_read == self._is_reading or self._source.is_closing():
            return
        self._is_reading = should_read
        if should_read:
            self._source.resume_reading()
        else:
            self._source.pause_reading()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Pipe:
    """Two flows between a client of the relay and the target: one accepted connection."""

    def __init__(self, link: "Link") -> None:
        self.link = link
        self.up = Flow(link.shape, self._on_flow_finished)
        self.down = Flow(link.shape, self._on_flow_finished)
        self._ends: list[asyncio.Transport] = []
        self._dialling: asyncio.Task[None] | None = None

    def client_connected(self, client: asyncio.Transport) -> None:
        self._attach(client, source_of=self.up, sink_of=self.down)
        self.link.pipes.add(self)
        if not self.link.shape.is_black_hole:
            self.dial()

    def dial(self) -> None:
        """Connect to the target, once; a pipe accepted by a black hole dials when the link heals."""
        if self._dialling is None:
            self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await loop.create_connection(lambda: _End(self, self.down, self.up), *self.link.target)
        except (OSError, TimeoutError):
            self.abort()

    def target_connected(self, target: asyncio.Transport) -> None:
        if self not in self.link.pipes:  # Cut while dialling.
            target.abort()
            return
        self._attach(target, source_of=self.down, sink_of=self.up)

    def _attach(self, end: asyncio.Transport, *, source_of: Flow, sink_of: Flow) -> None:
        end.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._ends.append(end)
        source_of.attach_source(end)
        sink_of.attach_sink(end)

    def reshape(self) -> None:
        self.up.release()
        self.down.release()
        if not self.link.shape.is_black_hole:
            self.dial()

    def end_lost(self, inbound: Flow, outbound: Flow) -> None:
        """Tell the other end, one delay later; forget the pipe when that one is gone, too."""
        outbound.close()
        if inbound.is_closed:
            self.link.pipes.discard(self)
        else:
            inbound.feed(Mark.LOST)

    def _on_flow_finished(self) -> None:
        if self.up.is_finished and self.down.is_finished:
            for end in self._ends:
                end.close()

    def abort(self) -> None:
        """Lose the connection at both ends, with all that is under way."""
        self.link.pipes.discard(self)
        for flow in (self.up, self.down):
            flow.close()
        for end in self._ends:
            end.abort()


class _End(asyncio.Protocol):
    """One end of a pipe: reads into `inbound`, is written to by `outbound`."""

    def __init__(self, pipe: Pipe, inbound: Flow, outbound: Flow) -> None:
        self._pipe = pipe
        self._inbound = inbound
        self._outbound = outbound

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        end = cast(asyncio.Transport, transport)
        if self._inbound is self._pipe.up:
            self._pipe.client_connected(end)
        else:
            self._pipe.target_connected(end)

    def data_received(self, data: bytes) -> None:
        self._inbound.feed(data)

    def eof_received(self) -> bool:
        self._inbound.feed(Mark.END)
        return True  # Half-closed: the other direction may go on.

    def pause_writing(self) -> None:
        self._outbound.set_peer_full(is_full=True)

    def resume_writing(self) -> None:
        self._outbound.set_peer_full(is_full=False)

    def connection_lost(self, _error: Exception | None) -> None:
        self._pipe.end_lost(self._inbound, self._outbound)


class Link:
    """A listening port, the target behind it, and the connections between them."""

    def __init__(self, name: str, port: int, target: tuple[str, int], shape: Shape) -> None:
        self.name = name
        self.port = port
        self.target = target
        self.shape = shape
        self.pipes: set[Pipe] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, "127.0.0.1", self.port, backlog=512)

    async def close(self) -> None:
        """Refuse new connections and lose the ones there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for pipe in list(self.pipes):
            pipe.abort()
        await asyncio.sleep(0)

    async def reshape(self) -> None:
        """Make what the shape now says true."""
        if self.shape.is_cut:
            await self.close()
            return
        await self.open()
        for pipe in list(self.pipes):
            pipe.reshape()

    def _accept(self) -> _End:
        pipe = Pipe(self)
        return _End(pipe, pipe.up, pipe.down)


def find_links(links: dict[str, Link], name: str | None) -> Iterable[Link]:
    """Return the named link, all of them for None."""
    if name is None:
        return links.values()
    if name not in links:
        raise ValueError(f"there is no link {name!r}: the links are {', '.join(links)}")
    return [links[name]]
