"""The source: binlog to stream A, for ever. Each connection starts at the stream's own checkpoint and never guesses.

What ends a connection, and the answer:

- the link or the server failed: connect again, with backoff and jitter;
- a login was refused: the same, but rarely;
- the server no longer has our position, or the stream no longer has a checkpoint: say so with a gap, and replay one
  window (P3);
- the stream was set back: read again from its checkpoint;
- an event that cannot be read, or a stream with other key templates: stop with the named error.
"""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Final

import structlog

from replicator.binlog.stream import LinkOptions
from replicator.errors import (
    MySqlAuthenticationError,
    PositionLostError,
    PreflightError,
    SourceError,
    UnsupportedEventError,
)
from replicator.mysql import MySqlClient, ServerFacts, server_facts
from replicator.position import PositionFormatError
from replicator.retry import Backoff
from replicator.source.appender import Appender, Identity, RewoundError
from replicator.source.batch import Rules
from replicator.source.handover import Item, ReadUpTo
from replicator.source.history import find_replay_start
from replicator.source.options import SourceOptions
from replicator.source.preflight import check_server, check_tables
from replicator.source.progress import Progress, Replay
from replicator.source.reader import BinlogReader
from replicator.source.stats import SourceStats
from versioning.backends.base import AuthenticationError, BackendError, DigestRefusedError, StreamBackend
from versioning.checkpoint import Checkpoint
from versioning.errors import StamplineError

# One append blocks Redis for its length: a thousand keys take well under a millisecond.
BATCH_KEYS_MAX: Final = 20_000
BATCH_ITEMS_MAX: Final = 500
# Server ids up here collide neither with servers, which people number from 1, nor (likely) with each other.
_SERVER_IDS: Final = range(1 << 31, (1 << 32) - 1)

log = structlog.get_logger()


async def check_source(options: SourceOptions, stream: StreamBackend) -> None:
    """Raises ONE error that names the fix: PreflightError, SourceError or BackendError. Changes nothing."""
    await asyncio.to_thread(_check_mysql, options)
    await stream.state()


async def run_source(
    options: SourceOptions, stream: StreamBackend, *, stop: asyncio.Event, stats: SourceStats | None = None
) -> None:
    """Runs until `stop`. Raises what `check_source` raises, later only DigestRefusedError and UnsupportedEventError."""
    await check_source(options, stream)
    source = _Source(options, stream, stats or SourceStats())
    work = asyncio.create_task(source.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        # An append that is cut off may or may not have happened: compare-and-append sorts that out next time.
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def _check_mysql(options: SourceOptions) -> None:
    client = MySqlClient(options.mysql)
    try:
        check_server(client, server_facts(client))
        check_tables(client, options.tables)
    finally:
        client.close()


class _Source:
    def __init__(self, options: SourceOptions, stream: StreamBackend, stats: SourceStats) -> None:
        self._options = options
        self._stats = stats
        self._log = log.bind(source=options.name, mysql=str(options.mysql))
        self._backoff = Backoff(random.random)
        identity = Identity(options.writer, options.tables.digest(), options.adopt_digest)
        rules = Rules(options.heartbeat_ms, options.keys_per_entry, options.generation_spread_ms, options.window_ms)
        self._appender = Appender(stream, identity, rules, now_ms=_now_ms, stats=stats)
        self._lost = ""
        """Why the stored position is of no use; empty while it is."""

    async def run(self) -> None:
        while True:
            try:
                await self._follow()
            except (UnsupportedEventError, PreflightError, DigestRefusedError) as error:
                self._note("source_stopped", error, _reason(error))
                raise
            except PositionLostError as error:
                self._note("position_lost", error)
                self._lost = str(error)
                await asyncio.sleep(self._backoff.next_s())
            except RewoundError as error:
                self._note("stream_rewound", error)
                self._lost = ""  # of a checkpoint that is gone; the one stored now is judged anew
                await asyncio.sleep(self._backoff.next_s())
            except (MySqlAuthenticationError, AuthenticationError) as error:
                self._note("login_refused", error)
                await asyncio.sleep(self._backoff.denied_s())
            except (SourceError, BackendError) as error:
                self._note("connection_lost", error)
                await asyncio.sleep(self._backoff.next_s())

    async def _follow(self) -> None:
        """One binlog connection, from the stream's checkpoint on. Never returns by itself."""
        link = self._link_options()
        facts, progress = await self._begin(link)
        reader = BinlogReader(
            self._options.mysql, self._options.tables, link, keys_max=self._options.keys_max, stats=self._stats
        )
        reader.start(facts, progress)
        self._stats.connections += 1
        self._log.info("binlog_reading", position=str(progress.position), flavor=facts.flavor)
        try:
            while True:
                items = await reader.handover.take()
                self._stats.is_connected = 1
                self._stats.last_error = ""
                for part in _parts(items):
                    await self._append(part)
        finally:
            self._stats.is_connected = 0
            await reader.stop()

    async def _begin(self, link: LinkOptions) -> tuple[ServerFacts, Progress]:
        """Where to go on from: the checkpoint, or after a gap the start of a replay."""
        stored = await self._appender.stored()
        client = MySqlClient(self._options.mysql)
        try:
            facts = await asyncio.to_thread(server_facts, client)
            if stored is not None and not self._lost:
                try:
                    return facts, self._resume(stored, facts)
                except (PositionFormatError, PositionLostError) as error:
                    self._lost = str(error)
            now_ms = _now_ms()
            start = await asyncio.to_thread(
                find_replay_start, client, facts, link, wanted_ms=now_ms - self._options.window_ms
            )
        finally:
            await asyncio.to_thread(client.close)
        reason = self._lost or "the stream has no checkpoint of this source"
        progress = Progress(start.position, Replay(start.since_ms, now_ms))
        await self._appender.begin(stored, progress, reason, facts.flavor)
        self._log.warning("replay_began", reason=reason, position=str(start.position), since_ms=start.since_ms)
        self._lost = ""
        return facts, progress

    def _resume(self, stored: Checkpoint, facts: ServerFacts) -> Progress:
        progress = self._appender.resume(stored, facts.flavor)
        if not facts.position.covers(progress.position):
            raise PositionLostError(f"the server's binlog ends at {facts.position}, ours went to {progress.position}")
        return progress

    async def _append(self, items: list[Item]) -> None:
        """Until it is done: what was read is kept while Redis is away."""
        while True:
            try:
                await self._appender.append(items)
            except AuthenticationError as error:
                self._note("redis_login_refused", error)
                await asyncio.sleep(self._backoff.denied_s())
            except BackendError as error:
                self._note("append_failed", error)
                await asyncio.sleep(self._backoff.next_s())
            else:
                self._backoff.reset()
                return

    def _link_options(self) -> LinkOptions:
        server_id = self._options.server_id or random.choice(_SERVER_IDS)
        return LinkOptions(server_id, self._options.heartbeat_ms, self._options.read_timeout_ms, threading.Event())

    def _note(self, event: str, error: StamplineError, reason: str = "") -> None:
        self._stats.last_error = str(error)
        self._stats.count_failure(reason or event)
        self._log.warning(event, error=str(error))


def _reason(error: StamplineError) -> str:
    """Tell apart, in the count of failures, why a source stopped."""
    match error:
        case UnsupportedEventError():
            return "unsupported_event"
        case DigestRefusedError():
            return "other_templates"
    return "source_stopped"


def _parts(items: list[Item]) -> Iterator[list[Item]]:
    """Pieces of a size that Redis takes in one go; a transaction is never divided."""
    part: list[Item] = []
    keys = 0
    for item in items:
        part.append(item)
        keys += 0 if isinstance(item, ReadUpTo) else len(item.keys)
        if keys >= BATCH_KEYS_MAX or len(part) >= BATCH_ITEMS_MAX:
            yield part
            part, keys = [], 0
    if part:
        yield part


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
