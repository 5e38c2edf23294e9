"""Where a binlog connection begins: at the stream's checkpoint or, where that is lost, with a gap and a replay (P3)."""

import asyncio
import time
from dataclasses import dataclass, replace

import structlog

from replicator.binlog.stream import LinkOptions
from replicator.errors import PositionLostError, ServerBehindError
from replicator.mysql import MySqlClient, ServerFacts, is_only_replica, server_facts
from replicator.position import PositionFormatError
from replicator.source.appender import AWAITED_MS, Appender, Identity
from replicator.source.history import find_replay_start, may_have_begun
from replicator.source.options import SourceOptions
from replicator.source.preflight import check_server, check_writers
from replicator.source.progress import Progress, Replay
from replicator.source.templates import InForce, Templates
from replicator.tables import WatchedTables
from versioning.backends.base import DigestRefusedError, StreamBackend
from versioning.checkpoint import Checkpoint
from versioning.client.clock import unix_ms

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Lost:
    """A checkpoint that nobody can go on from, as long as it is the stored one."""

    checkpoint: Checkpoint | None
    reason: str
    damaged_file: str = ""
    """A replay that began in it, or before it, would end there again."""


class Beginning:
    """Of one source: it remembers which checkpoint is lost."""

    def __init__(self, options: SourceOptions, templates: Templates, stream: StreamBackend, appender: Appender) -> None:
        self._options = options
        self._templates = templates
        self._stream = stream
        self._appender = appender
        self._lost: _Lost | None = None
        self._awaited: tuple[Checkpoint, float] | None = None
        """Another source's, further than our server has come, and since when (monotonic, s) it is that one."""
        self._log = log.bind(source=options.name, mysql=str(options.mysql))

    def lose(self, error: PositionLostError) -> None:
        """The server does not have what the checkpoint says."""
        self._lost = _Lost(self._appender.believed, str(error), error.damaged_file)

    async def find(self, link: LinkOptions, templates: InForce) -> tuple[ServerFacts, Progress]:
        """Return what the server is, and where to go on. Raises SourceError, BackendError, DigestRefusedError."""
        stored, digest = await self._agree(templates)
        client = MySqlClient(self._options.mysql)
        try:
            facts = await asyncio.to_thread(server_facts, client)
            # It may have come back with other settings, or be another server behind the same name.
            await asyncio.to_thread(check_server, client, facts)
            progress = await self._resume(stored, client, facts, link)
            if progress is None:
                progress = await self._begin_replay(stored, client, facts, link)
            else:
                progress = await self._change_templates(progress, digest, templates)
        finally:
            await asyncio.to_thread(client.close)
        self._appender.identity = self._identity(templates.tables)
        self._templates.done(templates)
        return facts, progress

    async def _agree(self, templates: InForce) -> tuple[Checkpoint | None, str]:
        """The stream's checkpoint and its digest, at one moment.

        Raises DigestRefusedError or OtherWriterError where we may not write.
        """
        state = await self._stream.state()
        identity = self._appender.identity = self._identity(templates.tables, may_adopt=templates.may_adopt)
        check_writers(state.checkpoints, identity.writer, unix_ms())
        if await self._appender.may_change_again(state):
            identity = self._appender.identity = replace(identity, adopt_digest=True)
        digest = self._templates.standing(state.digest)
        if digest not in {"", identity.digest} and not identity.adopt_digest:
            raise DigestRefusedError(digest, identity.digest)
        return state.checkpoints.get(identity.writer), state.digest

    async def _resume(
        self, stored: Checkpoint | None, client: MySqlClient, facts: ServerFacts, link: LinkOptions
    ) -> Progress | None:
        """Go on behind the checkpoint; None: it is lost. Raises ServerBehindError where it may yet come by."""
        if self._lost is not None and self._lost.checkpoint != stored:
            self._lost = None  # Another source has answered it already: the one stored now is judged anew.
        if stored is None or self._lost is not None:
            return None
        try:
            progress = self._appender.resume(stored, facts.flavor)
            await self._check_end(stored, progress, client, facts)
            await self._check_file(progress, client, facts, link)
        except (PositionFormatError, PositionLostError) as error:
            self._lost = _Lost(stored, str(error))
            return None
        return progress

    async def _check_end(self, stored: Checkpoint, progress: Progress, client: MySqlClient, facts: ServerFacts) -> None:
        """Raises PositionLostError where this history surely is another one: its anchors are for the connection to
        prove. And ServerBehindError where it is a replica's, which lags behind the server of another source.
        """
        if progress.may_be_of(facts.position):
            self._awaited = None
            return
        what = f"the server's binlog ends at {facts.position}, ours went to {progress.position}"
        if self._is_awaited(stored) and await asyncio.to_thread(is_only_replica, client, facts):
            raise ServerBehindError(f"{what}: this one is a replica that lags behind that of another source")
        raise PositionLostError(what)

    def _is_awaited(self, stored: Checkpoint) -> bool:
        """Whoever moves the checkpoint on has a server that has all of it; what nobody moves may be lost."""
        if self._awaited is None or self._awaited[0] != stored:
            self._awaited = (stored, time.monotonic())
        return time.monotonic() < self._awaited[1] + AWAITED_MS / 1000

    @staticmethod
    async def _check_file(progress: Progress, client: MySqlClient, facts: ServerFacts, link: LinkOptions) -> None:
        """Raises PositionLostError where a replay began with a file that this server does not have."""
        file, position = progress.file, progress.position
        if file is not None and not await asyncio.to_thread(may_have_begun, client, facts, link, file, position):
            raise PositionLostError(f"the server no longer has the binlog file {file.name} with which a replay began")

    async def _begin_replay(
        self, stored: Checkpoint | None, client: MySqlClient, facts: ServerFacts, link: LinkOptions
    ) -> Progress:
        lost = self._lost or _Lost(stored, "the stream has no checkpoint of this source")
        now_ms = unix_ms()
        start = await asyncio.to_thread(
            find_replay_start,
            client,
            facts,
            link,
            wanted_ms=now_ms - self._options.window_ms,
            damaged_file=lost.damaged_file,
        )
        since_ms = min(start.since_ms, now_ms)
        progress = Progress(start.position, Replay(since_ms, now_ms), file=start.file)
        await self._appender.begin(stored, progress, lost.reason, facts.flavor, end=facts.position)
        self._log.warning("replay_began", reason=lost.reason, position=str(start.position), since_ms=since_ms)
        self._lost = None
        return progress

    async def _change_templates(self, progress: Progress, digest: str, templates: InForce) -> Progress:
        if digest not in {"", self._appender.identity.digest}:
            change = templates.change_from(digest)
            progress = await self._appender.change_templates(change.namespaces, change.reason, before=digest)
            self._log.warning("templates_changed", reason=change.reason, namespaces=change.namespaces)
        return progress

    def _identity(self, tables: WatchedTables, *, may_adopt: bool = False) -> Identity:
        return Identity(self._options.writer, tables.digest(), may_adopt)
