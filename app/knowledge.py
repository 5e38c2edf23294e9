"""What the version service knows, and how far it may vouch for it (P8: never "fresh" out of ignorance)."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cachetools import LRUCache

from app.fanout import Fanout, event_of, gap_before
from versioning import stamp as stamps
from versioning.backends.base import BackendError, StreamBackend
from versioning.cli.describe import time_text
from versioning.cli.words import lag_text
from versioning.client.clock import system_clock
from versioning.client.follower import Follower
from versioning.entries import Change, Entry, Generation
from versioning.index import Index
from versioning.liveness import Now

DETAILS_MAX: Final = 10_000
DETAILS_TIMEOUT_S: Final = 0.5
"""A lookup answers from memory; where its change came from is worth no longer wait than this."""

READS_AT_ONCE: Final = 50
"""Of entries that lookups ask for."""

PAST_READS_AT_ONCE: Final = 25
"""Of pages for clients of ``/v1/stream`` that come back, all at once after a restart. The driver has 100 connections,
and refuses whoever wants one more: follower and bumps must find theirs."""


class Detail(NamedTuple):
    """Where an entry came from."""

    gtid: str
    committed_ms: int


class Knowledge:
    def __init__(self, stream: StreamBackend, index: Index, *, clock: Callable[[], Now] = system_clock) -> None:
        self.stream = stream
        self.index = index
        self.clock = clock
        self.fanout = Fanout()
        self.follower = Follower(stream, index, clock=clock)
        self.follower.entry_callbacks.append(self._take)
        self._details: LRUCache[int, Detail] = LRUCache(DETAILS_MAX)
        self._breaks_seen = 0
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self.past_reads = asyncio.Semaphore(PAST_READS_AT_ONCE)

    def _take(self, entry: Entry) -> None:
        if self.follower.stats.breaks != self._breaks_seen:
            self._breaks_seen = self.follower.stats.breaks
            self.fanout.publish(gap_before(entry, "the service's follower lost continuity"))
        self._remember(entry)
        self.fanout.publish(event_of(entry))

    def _remember(self, entry: Entry) -> None:
        if isinstance(entry.body, Change | Generation):
            self._details[entry.stamp] = Detail(entry.body.gtid, entry.body.committed_ms)

    @property
    def loss(self) -> str | None:
        """Why the stream is not read now, or None. A cause, not a doubt: what is known holds until it lags."""
        stats = self.follower.stats
        return f"unreachable: {stats.last_error}" if stats.last_error and not stats.is_connected else None

    def lag_text(self, now: Now) -> str:
        """Return why too little was heard of the source."""
        return self.loss or lag_text(self.index.liveness.lag_ms(now))

    def doubt(self, now: Now) -> str | None:
        """Return why nothing can be vouched for, or None."""
        if self.index.known_since is None:
            return self.loss or self._ignorance()
        return self.lag_text(now) if self.index.is_lagging(now) else None

    def _ignorance(self) -> str:
        if self.follower.is_covered and self.index.watermark:
            return f"the stream begins anew below {stamps.text(self.index.horizon)}, where the lost one had been"
        return "starting: the stream has not been read yet"

    def doubt_of_values(self, now: Now) -> str | None:
        """Return why no value can be vouched for, or None. Last stamps may be known for sure all the same."""
        doubt = self.doubt(now)
        if doubt is None and self.index.is_gap_pending:
            return "a gap is pending: some replica may lack what it stands for"
        return doubt

    def doubt_about(self, last: int, now: Now) -> str | None:
        """Return why ``last`` (``stamp.ZERO``: no change known) may not be a key's last stamp, or None."""
        index = self.index
        needed = last or index.watermark - (index.window_ms << stamps.SEQUENCE_BITS)
        if (doubt := self.doubt(now)) is not None or index.horizon <= needed:
            return doubt
        return f"incomplete: history is known since {time_text(stamps.ms_of(index.horizon))} only"

    def remembered(self, stamp: int) -> Detail | None:
        return self._details.get(stamp)

    async def details(self, wanted: Sequence[int]) -> dict[int, Detail]:
        """Return what is known of these entries; whatever cannot be had in time is missing."""
        missing = {stamp for stamp in wanted if stamp and stamp not in self._details}
        if missing and self.loss is None:
            try:
                async with asyncio.timeout(DETAILS_TIMEOUT_S), asyncio.TaskGroup() as group:
                    for stamp in missing:
                        group.create_task(self._read(stamp))
            except TimeoutError:
                pass
        return {stamp: self._details[stamp] for stamp in wanted if stamp in self._details}

    async def _read(self, stamp: int) -> None:
        async with self._reads:
            try:
                entry = await self.stream.read_one(stamp)
            except BackendError:
                return
        if entry is not None:
            self._remember(entry)
