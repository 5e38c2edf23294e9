"""The pipeline of an event loop: all commands go down one connection, and those of one turn of the loop in one write.

Law: replies come in the order of the commands, so whoever waits is found by counting; a connection that has lost count,
time or its peer is closed, and everyone who waits on it gets the error. One to a Redis that says it is a replica gets
no more commands and is closed after its last reply: the address may lead to another one by now. A reader that is
cancelled takes nothing away from the others: its reply is read and dropped.

The connection is one of redis-py's own pool, which connects, authenticates, speaks TLS and asks the sentinels. Its
streams are left out: they, and a connection for each command under way, are most of what an asyncio read costs.
"""

import asyncio
from collections import deque
from collections.abc import Collection, Iterable
from itertools import chain, islice
from typing import Any, Final

import hiredis
import redis

from versioning.backends.base import LoginRefusedError
from versioning.backends.redis_border import Border, leads_no_more
from versioning.backends.redis_lanes import STAY_S
from versioning.backends.redis_slots import ASKING

UNDER_WAY_MAX: Final = 512
"""Commands sent and not answered; the others wait their turn. Redis answers so many in a few milliseconds, so that the
timeout, which begins when a command is sent, is not used up by those in front of it."""

IN_MOTION_MAX: Final = 10
"""Timeouts after which a reply is late though bytes come or go all the time. A value of megabytes takes longer than
one: it would never arrive, and each try would take the connection from everybody else."""

Future = asyncio.Future[Any]
_Asked = dict[bytes, list[Future]]
"""Commands, and who waits for the reply to each."""
_UNFINISHED: Final = object()


class Pipeline:
    """Belongs to one event loop. ``ask`` sends nothing by itself: connecting and writing follow in the same turn."""

    def __init__(self, pool: Any, border: Border, timeout_ms: int) -> None:
        self.border = border
        self.timeout_s = timeout_ms / 1000
        self._pool = pool
        self._asked: _Asked = {}
        """Not sent yet. Who asks the same meanwhile shares the reply."""
        self._asked_importing: _Asked = {}
        """Those of ``ask_importing``."""
        self._is_flush_due = False
        self._link: _Link | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._lost: list[_Link] = []

    def ask(self, command: bytes) -> Future:
        """Return the future reply to a packed command; it may raise BackendError. May be cancelled at any time."""
        return self._ask(command, self._asked)

    def ask_importing(self, command: bytes) -> Future:
        """The same of a node of a Cluster that the slot is still being moved to."""
        return self._ask(command, self._asked_importing)

    def _ask(self, command: bytes, asked: _Asked) -> Future:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        try:
            self.border.knock()
        except LoginRefusedError as refused:
            future.set_exception(refused)
            return future
        sharing = asked.get(command)
        if sharing is not None:
            sharing.append(future)
            return future
        asked[command] = [future]
        if not self._is_flush_due:
            self._is_flush_due = True
            loop.call_soon(self.flush)
        return future

    async def ask_all(self, commands: Iterable[bytes]) -> list[Any]:
        """Return the replies to several; raises the first error among them."""
        return await asyncio.gather(*map(self.ask, commands))

    def flush(self) -> None:
        """Send what has been asked, as far as there is room for it."""
        self._is_flush_due = False
        if not (self._asked or self._asked_importing):
            return
        if self._link is None:
            if self._connecting is None or self._connecting.done():  # an eager task may be, before it is kept here
                self._connecting = asyncio.create_task(self._connect(), name="stampline-pipeline")
            return
        if self._link.is_leaving:
            return
        if (room := UNDER_WAY_MAX - len(self._link.waiting)) > 0:
            now, self._asked = _divided(self._asked, room)
            if now:
                self._link.send(b"".join(now), now.values())
        if self._asked_importing and (room := UNDER_WAY_MAX - len(self._link.waiting)) > 1:
            now, self._asked_importing = _divided(self._asked_importing, room // 2)
            # Two replies each, and nobody waits for the first.
            replies = chain.from_iterable(([], waiting) for waiting in now.values())
            self._link.send(b"".join(ASKING + command for command in now), list(replies))

    def lose(self, link: "_Link") -> None:
        """Do without this connection; the next command asks the pool for another."""
        self._lost.append(link)
        if self._link is link:
            self._link = None
            self.flush()

    async def aclose(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait((connecting,))
        closed = redis.ConnectionError("the cache is closed")
        self._refuse(closed)
        if self._link is not None:
            self._link.fail(closed)
        await self._give_back()

    async def _connect(self) -> None:
        try:
            await self._give_back()
            self._link = _Link(self, await self._pool.get_connection())
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may be left waiting
            self._refuse(error)
        except asyncio.CancelledError:
            self._refuse(redis.ConnectionError("the cache is closed"))
            raise
        finally:
            self._connecting = None
        self.flush()

    def _refuse(self, error: Exception) -> None:
        asked = [*self._asked.values(), *self._asked_importing.values()]
        self._asked, self._asked_importing = {}, {}
        for waiting in asked:
            _fail(waiting, self.border, error)

    async def _give_back(self) -> None:
        while self._lost:
            connection = self._lost.pop().connection
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class _Link(asyncio.Protocol):
    """One connection, from the pool's hands until it is lost."""

    def __init__(self, pipeline: Pipeline, connection: Any) -> None:
        self.connection = connection
        self.waiting: deque[list[Future]] = deque()
        """Who waits for each command sent, oldest first."""
        self.is_leaving = False
        self._pipeline = pipeline
        self._sent = self._answered = 0
        self._batches: deque[tuple[float, int]] = deque()
        """When each write must be answered, and the number of its last command."""
        self._timer: asyncio.TimerHandle | None = None
        self._moved_s = 0.0
        """When some of the replies came, or of what is sent went: many that are large take longer than one may."""
        self._written = self._unsent = self._gone = 0
        """Bytes: written in all; and as the transport said last, not sent yet, and sent."""
        self._is_lost = False
        self._loop = asyncio.get_running_loop()
        self._stays_until_s = self._loop.time() + STAY_S
        # The driver has no public way to its transport, nor to the classes of its errors, which the border knows.
        parse_error, self._transport = connection._parser.parse_error, connection._writer.transport  # noqa: SLF001
        self._replies = hiredis.Reader(replyError=parse_error, notEnoughData=_UNFINISHED)
        self._driver = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def send(self, data: bytes, waiting: Collection[list[Future]]) -> None:
        """Send commands; ``waiting``: for the reply to each."""
        self.waiting.extend(waiting)
        self._sent += len(waiting)
        self._transport.write(data)
        self._written += len(data)
        if not self._unsent:
            self._look_at_the_buffer()
        must_answer_s = self._loop.time() + self._pipeline.timeout_s
        self._batches.append((must_answer_s, self._sent))
        if self._timer is None:
            self._timer = self._loop.call_at(must_answer_s, self._look_at_the_clock)

    def data_received(self, data: bytes) -> None:
        self._moved_s = self._loop.time()
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not _UNFINISHED:
                if type(reply) is not hiredis.PushNotification:
                    self._answer(reply)
        except (IndexError, hiredis.HiredisError) as error:
            self.fail(redis.InvalidResponse(f"not a reply to what was asked: {error}"))
            return
        while self._batches and self._batches[0][1] <= self._answered:
            self._batches.popleft()
        if self.is_leaving and not self.waiting:
            self.fail(redis.ConnectionError("this Redis leads no more"))
        self._pipeline.flush()

    def _answer(self, reply: Any) -> None:
        waiting = self.waiting.popleft()
        self._answered += 1
        if isinstance(reply, Exception):
            self.is_leaving |= leads_no_more(reply) and self._loop.time() >= self._stays_until_s
            _fail(waiting, self._pipeline.border, reply)
            return
        for future in waiting:
            if not future.done():
                future.set_result(reply)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if not self._batches:
            return
        if self._look_at_the_buffer():
            self._moved_s = self._loop.time()
        timeout_s, must_answer_s = self._pipeline.timeout_s, self._batches[0][0]
        latest_s = must_answer_s + (IN_MOTION_MAX - 1) * timeout_s
        must_answer_s = min(max(must_answer_s, self._moved_s + timeout_s), latest_s)
        if must_answer_s <= self._loop.time():
            self.fail(redis.TimeoutError("no reply in time"))
        else:
            self._timer = self._loop.call_at(must_answer_s, self._look_at_the_clock)

    def _look_at_the_buffer(self) -> bool:
        """Return whether of what could not be sent at once some has gone since the last look."""
        gone_before, was_unsent = self._gone, self._unsent
        self._unsent = self._transport.get_write_buffer_size()
        self._gone = self._written - self._unsent
        return was_unsent > 0 and self._gone > gone_before

    def eof_received(self) -> None:
        # At once, and not when the transport has closed: a turn later someone would have sent a command for nothing.
        self.fail(redis.ConnectionError("connection closed by server"))

    def connection_lost(self, error: Exception | None) -> None:
        self._driver.connection_lost(error)
        self.fail(error or redis.ConnectionError("connection closed"))

    def fail(self, error: Exception) -> None:
        """Close the connection and tell everyone who waits on it. The first reason counts."""
        if self._is_lost:
            return
        self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._transport.abort()
        while self.waiting:
            _fail(self.waiting.popleft(), self._pipeline.border, error)
        self._pipeline.lose(self)


def _divided(asked: _Asked, room: int) -> tuple[_Asked, _Asked]:
    """Return the first that there is room for, and the others."""
    if room >= len(asked):
        return asked, {}
    # A dict's first keys are slow to find behind those that were deleted: not one by one.
    return {command: asked.pop(command) for command in list(islice(asked, room))}, asked


def _fail(waiting: list[Future], border: Border, error: Exception) -> None:
    for future in waiting:
        if not future.done():
            future.set_exception(border.translate(error))
