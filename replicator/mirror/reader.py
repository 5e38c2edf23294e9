"""Reads the origin's stream across the WAN: every entry once, in order, one link delay after its append.

Subscribe first, then catch up by pages, then take what is pushed as long as each entry names the one before it. A hole
is read from the stream. What the stream does not have either was deleted from its middle, and reading goes on behind
it; where what was read last is gone too it is another stream, a break that ends this reader (BrokenOriginError). A
silent link is a dead link; and since a stream that was cut short looks idle, its end is compared now and then (P2).
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import structlog

from replicator.mirror.options import Break, LostLink, MirrorOptions, MirrorStats
from replicator.mirror.position import MirrorPosition
from replicator.mirror.queue import BrokenOriginError
from replicator.mirror.resume import Resume, is_there
from replicator.tasks import first_of
from versioning import stamp as stamps
from versioning.backends.base import AuthenticationError, BackendError, StreamBackend, UnavailableError
from versioning.backoff import Backoff
from versioning.entries import Entry
from versioning.paging import PageSize

PAGE_ENTRIES: Final = 1_000

log = structlog.get_logger()


class _SilenceError(Exception):
    """Nothing was pushed for too long. A TimeoutError would be taken for one of the driver's on its way out."""


class OriginReader:
    """``take`` gets each entry, and ``tear`` before it the one in front of which others are gone; ``room`` waits until
    the next one may come."""

    def __init__(
        self,
        origin: StreamBackend,
        resume: Resume,
        take: Callable[[Entry], None],
        room: Callable[[], Awaitable[None]],
        *,
        tear: Callable[[Entry], None],
        options: MirrorOptions,
        stats: MirrorStats,
        backoff: Backoff,
    ) -> None:
        self._origin = origin
        self._take = take
        self._room = room
        self._tear = tear
        self._options = options
        self._stats = stats
        self._backoff = backoff
        self._stamp = resume.position.stamp
        self._nonce = resume.position.nonce
        self._is_started = self._stamp != stamps.ZERO
        self._page = PageSize(PAGE_ENTRIES)
        self._is_held_up = False
        """There is no room: what has come stays unread."""

    async def run(self) -> None:
        """Read until cancelled; raises BrokenOriginError, or what ``take`` raises."""
        while True:
            try:
                await self._read()
            except AuthenticationError as error:
                await self._pause(LostLink.ACCESS_DENIED, error, self._backoff.denied_s())
            except BackendError as error:
                await self._pause(LostLink.LINK_LOST, error, self._backoff.next_s())
            except _SilenceError:
                silence = UnavailableError(f"the origin was silent for {self._options.silence_ms} ms")
                # The silence was pause enough.
                await self._pause(LostLink.SILENT, silence, Backoff(random.random).next_s())

    async def _pause(self, reason: LostLink, error: Exception, pause_s: float) -> None:
        self._stats.is_connected = 0
        self._stats.count_reconnect(reason)
        self._stats.last_error = str(error)
        log.warning("origin_link_lost", reason=reason, error=str(error), retry_s=round(pause_s, 2))
        await asyncio.sleep(pause_s)

    async def _read(self) -> None:
        async with self._origin.subscribe() as pushed:
            await self._catch_up()
            self._stats.is_connected = 1
            await first_of(self._follow(pushed), self._check())

    async def _follow(self, pushed: AsyncIterator[Entry | None]) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.silence_ms / 1000):
                    entry = await anext(pushed, None)
            except TimeoutError as error:
                raise _SilenceError from error
            if entry is None:
                raise UnavailableError("the origin ended the subscription")
            if entry.stamp > self._stamp:
                if self._joins(entry):
                    await self._accept(entry)
                else:
                    await self._catch_up()
            self._backoff.reset()

    async def _catch_up(self) -> None:
        while page := await self._read_page():
            for entry in page:
                if entry.stamp <= self._stamp:
                    continue
                if not self._joins(entry):
                    await self._check_torn(entry)
                    self._tear(entry)
                await self._accept(entry)

    async def _check_torn(self, entry: Entry) -> None:
        if not await is_there(self._origin, MirrorPosition(self._stamp, self._nonce)):
            text = f"origin entry {stamps.text(entry.stamp)} does not follow {stamps.text(self._stamp)}"
            raise BrokenOriginError(Break.ORIGIN_HOLE, f"{text}, which is gone")

    async def _read_page(self) -> list[Entry]:
        count = self._page.entries
        try:
            page = await self._origin.read_after(self._stamp, count=count)
        except UnavailableError:
            self._page.missed(count)
            raise
        self._page.came(len(page))
        return page

    def _joins(self, entry: Entry) -> bool:
        # An unreadable entry may hide its nonces; it counts as a gap anyway.
        return not self._is_started or "" in {self._nonce, entry.nonce} or entry.previous == self._nonce

    async def _accept(self, entry: Entry) -> None:
        self._is_held_up = True
        await self._room()
        self._is_held_up = False
        self._take(entry)
        self._stamp, self._nonce, self._is_started = entry.stamp, entry.nonce, True

    async def _check(self) -> None:
        """Compare the end of the origin's stream with what was read, beside the reading."""
        while True:
            await asyncio.sleep(self._options.check_ms / 1000)
            held_stamp, held_nonce = self._stamp, self._nonce
            newest = await self._origin.read_before(None, count=1)
            if not self._is_started and not newest:
                continue
            if not newest or newest[0].stamp < held_stamp:
                raise BrokenOriginError(Break.ORIGIN_SHORTENED, "the origin's stream ends before what was read of it")
            if newest[0].stamp == held_stamp and newest[0].nonce != held_nonce:
                raise BrokenOriginError(Break.STAMP_REUSED, "the origin's last entry has another nonce than was read")
            if newest[0].stamp > self._stamp:
                await self._check_it_comes(newest[0].stamp)

    async def _check_it_comes(self, stamp: int) -> None:
        """A push that does not come within a silence was lost, though the link seems to live."""
        await asyncio.sleep(self._options.silence_ms / 1000)
        if self._stamp < stamp and not self._is_held_up:
            raise UnavailableError("the origin's pushes do not come through")
