"""The source: binlog to stream A, for ever. Each connection starts at the stream's own checkpoint and never guesses.

What ends a connection, and the answer:

- the link or the server failed: connect again, with backoff and jitter;
- the reader failed by a mistake of its own: the same, but counted and logged as what it is;
- a login was refused, or the server is none that a source can read (any more): the same, but rarely;
- the server no longer has our position, or the stream no longer has a checkpoint: say so with a gap, and replay one
  window (P3);
- the stream was set back: read again from its checkpoint;
- the stream has a writer of another name, so it is that of another MySQL: write nothing, look again now and then;
- an event that cannot be read: stop with the named error;
- a stream with other key templates: stop; but where they changed under a source that could write before, it writes
  nothing until its own settings give the same, or may change them (`templates`).
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from typing import Final

import structlog

from replicator.binlog.stream import LinkOptions
from replicator.errors import (
    MySqlAuthenticationError,
    OtherWriterError,
    PositionLostError,
    PreflightError,
    ReaderFailedError,
    ServerBehindError,
    SourceError,
    UnsupportedEventError,
)
from replicator.source.appender import Appender, Identity, RewoundError
from replicator.source.batch import Rules
from replicator.source.beginning import Beginning
from replicator.source.handover import Item, ReadUpTo
from replicator.source.options import SourceOptions
from replicator.source.preflight import check_mysql
from replicator.source.reader import BinlogReader
from replicator.source.stats import Failure, SourceStats
from replicator.source.stop import StopFlag
from replicator.source.templates import LOOK_AGAIN_S, Templates
from replicator.start import reach
from replicator.tables import WatchedTables
from replicator.tasks import first_of
from versioning.backends.base import AuthenticationError, BackendError, DigestRefusedError, StreamBackend
from versioning.backends.mysql_address import MySqlAddress
from versioning.backoff import Backoff
from versioning.client.clock import unix_ms
from versioning.client.pulse import Pulse
from versioning.errors import StamplineError

# One append blocks Redis for its length: a thousand keys take well under a millisecond.
BATCH_KEYS_MAX: Final = 20_000
BATCH_ITEMS_MAX: Final = 500
# Server ids up here collide neither with servers, which people number from 1, nor (likely) with each other.
_SERVER_IDS: Final = range(1 << 31, (1 << 32) - 1)

FLUSH_MAX_S: Final = 5.0

log = structlog.get_logger()


async def check_source(mysql: MySqlAddress, tables: WatchedTables, stream: StreamBackend) -> None:
    """Raises ONE error that names the fix: PreflightError, SourceError or BackendError. Changes nothing."""
    await asyncio.to_thread(check_mysql, mysql, tables)
    await stream.state()


async def run_source(
    options: SourceOptions,
    templates: Templates,
    stream: StreamBackend,
    *,
    stop: asyncio.Event,
    stats: SourceStats | None = None,
    pulse: Pulse | None = None,
) -> None:
    """Runs until `stop`. Raises what `check_source` raises, later only DigestRefusedError and UnsupportedEventError.

    Servers that are not available are waited for; UnreachedError where `stop` comes before they have answered.
    At its end it appends what it has read, if the stream takes it in time; the rest is read again by whoever goes on.
    """
    stats = stats or SourceStats()

    def note(error: StamplineError) -> None:
        stats.last_error = str(error)
        stats.count_failure(Failure.CONNECTION_LOST)

    tables = templates.current.tables
    await reach(lambda: check_source(options.mysql, tables, stream), stop=stop, note=note, pulse=pulse)
    source = _Source(options, templates, stream, stats, pulse)
    work = asyncio.create_task(source.run())
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and source.finish():
            await asyncio.wait({work}, timeout=FLUSH_MAX_S)
    finally:
        stopped.cancel()
        # An append that is cut off may or may not have happened: compare-and-append sorts that out next time.
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


class _Source:
    def __init__(
        self,
        options: SourceOptions,
        templates: Templates,
        stream: StreamBackend,
        stats: SourceStats,
        pulse: Pulse | None = None,
    ) -> None:
        self._options = options
        self._templates = templates
        self._stream = stream
        self._stats = stats
        self._pulse = pulse or Pulse()
        self._reading: StopFlag | None = None
        """Of the binlog connection there is."""
        self._is_finishing = False
        self._was_in_step = False
        """The stream has taken our templates before."""
        self._log = log.bind(source=options.name, mysql=str(options.mysql))
        self._backoff = Backoff(random.random)
        rules = Rules(options.heartbeat_ms, options.keys_per_entry, options.generation_spread_ms, options.window_ms)
        identity = Identity(options.writer, templates.current.tables.digest(), adopt_digest=False)
        self._appender = Appender(stream, identity, rules, now_ms=unix_ms, stats=stats)
        self._beginning = Beginning(options, templates, stream, self._appender)

    async def run(self) -> None:
        """Until `finish`, or what only a person can mend."""
        while not self._is_finishing:
            self._pulse.beat()
            try:
                await self._follow_until_asked()
            except DigestRefusedError as error:
                self._note(Failure.OTHER_TEMPLATES, error)
                if not (self._was_in_step and self._templates.can_change):
                    raise
                self._pulse.beat(LOOK_AGAIN_S)
                await self._templates.look_again(error.stored)
            except UnsupportedEventError as error:
                self._note(Failure.UNSUPPORTED_EVENT, error)
                raise
            except PositionLostError as error:
                self._note(Failure.POSITION_LOST, error)
                self._beginning.lose(error)
                await self._rest(self._backoff.next_s())
            except RewoundError as error:
                self._note(Failure.STREAM_REWOUND, error)
                await self._rest(self._backoff.next_s())
            except (MySqlAuthenticationError, AuthenticationError, OtherWriterError, PreflightError) as error:
                self._note(_failure(error), error)
                await self._rest(self._backoff.denied_s())
            except (SourceError, BackendError) as error:
                if self._is_finishing:
                    return
                self._note(_failure(error), error)
                await self._rest(self._backoff.next_s())

    def finish(self) -> bool:
        """Read no further, append what was read, and let `run` return. False: nothing is being read."""
        self._is_finishing = True
        if self._reading is not None:
            self._reading.set()
        return self._reading is not None

    async def _follow_until_asked(self) -> None:
        """Follow; returns when there are new templates to go on with."""
        if self._templates.can_change:
            await first_of(self._follow(), self._templates.asked_for())
        else:
            await self._follow()

    async def _follow(self) -> None:
        """One binlog connection, from the stream's checkpoint on. Never returns by itself."""
        templates, reading = self._templates.current, StopFlag()
        link = self._link_options(reading)
        with self._pulse.leaning_on(reading.pulse):
            facts, progress = await self._beginning.find(link, templates)
        self._was_in_step = True
        reader = BinlogReader(
            self._options.mysql, templates.tables, link, keys_max=self._options.keys_max, stats=self._stats
        )
        reader.start(facts, progress)
        self._appender.trail = reader.trail
        self._stats.connections += 1
        self._log.info("binlog_reading", position=str(progress.position), flavor=facts.flavor)
        self._reading = reading
        try:
            while True:
                with self._pulse.leaning_on(reading.pulse):
                    items = await reader.handover.take()
                self._stats.is_connected = 1
                self._stats.last_error = ""
                for part in _parts(items):
                    await self._append(part)
        finally:
            self._stats.is_connected, self._reading = 0, None
            await reader.stop()

    async def _append(self, items: list[Item]) -> None:
        """Until it is done: what was read is kept while Redis is away."""
        while True:
            try:
                await self._appender.append(items)
            except BackendError as error:
                is_denied = isinstance(error, AuthenticationError)
                self._note(Failure.REDIS_LOGIN_REFUSED if is_denied else Failure.APPEND_FAILED, error)
                await self._rest(self._backoff.pause_s(is_denied=is_denied))
            else:
                self._backoff.reset()
                return

    def _link_options(self, stop: StopFlag) -> LinkOptions:
        server_id = self._options.server_id or random.choice(_SERVER_IDS)
        return LinkOptions(server_id, self._options.heartbeat_ms, self._options.read_timeout_ms, stop)

    async def _rest(self, pause_s: float) -> None:
        self._pulse.beat(pause_s)
        await asyncio.sleep(pause_s)

    def _note(self, event: Failure, error: StamplineError) -> None:
        # It looks for other templates again every two seconds.
        if event is not Failure.OTHER_TEMPLATES or str(error) != self._stats.last_error:
            self._log.warning(event, error=str(error))
        self._stats.last_error = str(error)
        self._stats.count_failure(event)


def _failure(error: StamplineError) -> Failure:
    match error:
        case OtherWriterError():
            return Failure.OTHER_WRITER
        case PreflightError():
            return Failure.SERVER_UNFIT
        case MySqlAuthenticationError() | AuthenticationError():
            return Failure.LOGIN_REFUSED
        case ServerBehindError():
            return Failure.SERVER_BEHIND
        case ReaderFailedError():
            return Failure.READER_FAILED
    return Failure.CONNECTION_LOST


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
