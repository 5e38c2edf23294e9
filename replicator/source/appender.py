"""Appends batches to stream A against the checkpoint we believe in (P1), and draws the conclusion of each refusal.

Ahead of us: another source was first. Its checkpoint becomes ours, what it covers is dropped, we go on. Behind us, of
another history, or gone: the stream lost what we wrote (RewoundError), and only reading again from there repairs it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from replicator.position import Flavor, Position, PositionFormatError
from replicator.retry import STAND_BACK_S
from replicator.source.anchor import Trail
from replicator.source.batch import Batch, Rules, plan
from replicator.source.handover import Item
from replicator.source.progress import Progress, Replay
from replicator.source.stats import SourceStats
from replicator.source.template_changes import Made, TemplateChanges, Tried
from versioning.backends.base import Append, BackendError, CheckpointRefusedError, StreamBackend, StreamState
from versioning.checkpoint import Checkpoint
from versioning.client.nonces import new_nonces
from versioning.entries import Body, Change, Gap, Generation, Heartbeat, NewEntry, Replayed
from versioning.errors import StamplineError

log = structlog.get_logger()

AWAITED_MS: Final = 10_000
"""For so long our server may lag behind the one that another source reads: until then nobody says a heartbeat."""

OUTRUN_TRIES: Final = 1_000
"""One try is enough unless the other source appends every few ms."""


class RewoundError(StamplineError):
    """The stream's checkpoint is not a continuation of ours: start again from what is stored."""

    def __init__(self, stored: Checkpoint | None, what: str = "was set back to") -> None:
        super().__init__(f"the stream's checkpoint {what} {stored.position if stored else 'nothing'}")


@dataclass(frozen=True, slots=True)
class Identity:
    writer: str
    digest: str
    adopt_digest: bool


@dataclass(frozen=True, slots=True)
class Belief:
    """What this source takes for the stream's checkpoint, and how far it has come itself. Replaced whole."""

    stored: Checkpoint
    said: Progress
    """What `stored` says."""
    reached: Progress
    """`said`, or ahead of it by transactions that needed no entry."""
    flavor: Flavor


class Appender:
    def __init__(
        self, stream: StreamBackend, identity: Identity, rules: Rules, *, now_ms: Callable[[], int], stats: SourceStats
    ) -> None:
        self._stream = stream
        self.identity = identity
        """Exchanged between two connections, never during one."""
        self.trail: Trail | None = None
        """Of the connection that the items come from."""
        self._rules = rules
        self._now_ms = now_ms
        self._stats = stats
        self._belief: Belief | None = None
        self._changes = TemplateChanges(stream, rules.window_ms)
        self._adopted_ms: int | None = None
        """When we took over another source's; not since the items' connection began, which proves that one itself."""
        self._above = 0
        self._untold = 0
        """Stamp behind our last change that no position tells of, while the position is the one it was written with."""

    @property
    def believed(self) -> Checkpoint | None:
        """What this source takes for the stream's checkpoint."""
        return self._belief.stored if self._belief else None

    async def stored(self) -> Checkpoint | None:
        return await self._stream.checkpoint(self.identity.writer)

    def resume(self, stored: Checkpoint, flavor: Flavor) -> Progress:
        """Believe in this checkpoint; returns what it says. Raises PositionFormatError."""
        progress = Progress.decode(stored.position, flavor)
        self._adopted_ms = None
        self._belief, self._untold = Belief(stored, progress, progress, flavor), 0
        return progress

    async def begin(
        self, expected: Checkpoint | None, progress: Progress, reason: str, flavor: Flavor, *, end: Position
    ) -> None:
        """Append the gap that opens a replay (P3). Raises RewoundError when another source did so first.

        ``end``: the server's last commit by now. What is older than the replay no entry names: only a replica that has
        all up to there is known to lack none of it.
        """
        read_ms = progress.replay.since_ms if progress.replay else 0
        self._adopted_ms = None
        try:
            await self._append(Batch((Gap(reason, str(end)),), progress, read_ms, 0, 0), expected, flavor)
        except CheckpointRefusedError as refusal:
            raise RewoundError(refusal.stored) from refusal
        self._changes.last = None  # the stream has our templates by this gap now

    async def change_templates(self, namespaces: tuple[str, ...], reason: str, *, before: str) -> Progress:
        """Append the generation that begins new templates, at the stream's checkpoint; returns where to go on.

        ``before``: the stream's digest until then, by which the namespaces were found.
        The sources with the old ones are still writing: they are outrun, for they need longer than one look. Nothing is
        appended when another source has changed to the same templates meanwhile. Raises RewoundError, BackendError;
        the first also when it has changed to yet others.
        """
        for _ in range(OUTRUN_TRIES):
            belief = self._held()
            position, spread_ms = str(belief.reached.position), self._rules.generation_spread_ms
            body = Generation(namespaces, self._now_ms(), spread_ms, reason, gtid=position)
            try:
                await self._append_to(belief, Batch((body,), belief.reached, belief.stored.read_ms, 0, 0))
            except CheckpointRefusedError:
                state = await self._stream.state()
                self._adopt(state.checkpoints.get(self.identity.writer))
                if state.digest == before:
                    continue
                if state.digest != self.identity.digest:
                    raise RewoundError(self._held().stored, "has yet other key templates, it is") from None
            except BackendError:
                self._changes.last = Tried(before, self.identity.digest, body)
                raise
            else:
                self._changes.last = Made(before, self.identity.digest, self._above, self._held().stored.nonce)
            return self._held().reached
        raise RewoundError(self._held().stored)

    async def may_change_again(self, state: StreamState) -> bool:
        """See ``TemplateChanges.may_make_again``."""
        return await self._changes.may_make_again(state, self.identity.digest)

    async def append(self, items: Sequence[Item]) -> None:
        """Append what these items need. Raises RewoundError, DigestRefusedError, BackendError (then try again)."""
        while not await self._try_append(items):
            pass

    async def _try_append(self, items: Sequence[Item]) -> bool:
        """False: refused, and the stream's checkpoint is ours now."""
        belief = self._held()
        self._check_history(items, belief)
        batch = plan(items, belief.reached, belief.stored.read_ms, rules=self._rules, now_ms=self._now_ms())
        try:
            if batch.bodies:
                await self._append_to(belief, batch)
            else:
                self._belief = replace(belief, reached=batch.progress)
        except CheckpointRefusedError as refusal:
            self._stats.appends_refused += 1
            if self._untold and await self._stream.read_one(self._untold) is None:
                raise RewoundError(refusal.stored) from refusal
            self._adopt(refusal.stored)
            await asyncio.sleep(STAND_BACK_S)
            return False
        self._stats.transactions_covered += batch.covered
        # What a clock that ran ahead has said would make a source look ready until the right time is there.
        known_ms = self._stats.read_ms if self._stats.read_ms <= self._now_ms() else 0
        self._stats.read_ms = max(known_ms, batch.proven_ms)
        return True

    def _check_history(self, items: Sequence[Item], belief: Belief) -> None:
        """Raises RewoundError where another source's checkpoint is of a history that our server does not have.

        It was stopped, or its Redis away, while the server was replaced by one without its last transactions: what it
        held of them went in behind our back, and would count as what the new one has written under their numbers.
        """
        if self._adopted_ms is None or not items:
            return
        last, reached = items[-1], belief.reached
        missed = self.trail.missed(reached.position, reached.anchors, last.position) if self.trail else ""
        if missed:
            raise RewoundError(belief.stored, f"has another transaction {missed}, it is")
        if last.position.covers(reached.position):
            return
        # A replay does not move what its checkpoint has read: until it ends, that is of long ago.
        since_ms = max(belief.stored.read_ms, self._adopted_ms)
        if min(max(item.read_ms for item in items), self._now_ms()) > since_ms + AWAITED_MS:
            raise RewoundError(belief.stored, "has what our server seems to lack, it is")

    def _held(self) -> Belief:
        assert self._belief is not None, "resume or begin comes first"  # noqa: S101
        return self._belief

    async def _append_to(self, belief: Belief, batch: Batch) -> None:
        await self._append(batch, belief.stored, belief.flavor)

    async def _append(self, batch: Batch, expected: Checkpoint | None, flavor: Flavor) -> None:
        entries = tuple(map(NewEntry, new_nonces(len(batch.bodies)), batch.bodies))
        checkpoint = Checkpoint(batch.progress.encode(), batch.read_ms, entries[-1].nonce)
        request = Append(
            entries,
            clock_ms=self._now_ms(),
            writer=self.identity.writer,
            expected=expected,
            checkpoint=checkpoint,
            above=self._above,
            digest=self.identity.digest,
            adopt_digest=self.identity.adopt_digest,
        )
        try:
            stamps = await self._stream.append(request)
        except BackendError:
            self._stats.appends_failed += 1
            raise
        self._above = max(self._above, *stamps)
        is_kept = self._belief is not None and self._belief.said.position == batch.progress.position
        self._untold = stamps[-1] if batch.is_untold else self._untold if is_kept else 0
        self._belief = Belief(checkpoint, batch.progress, batch.progress, flavor)
        self._count(batch)

    def _adopt(self, stored: Checkpoint | None) -> None:
        """Another writer was first, or the stream lost our writes."""
        if stored is None:
            raise RewoundError(stored)
        belief = self._held()
        try:
            theirs = Progress.decode(stored.position, belief.flavor)
        except PositionFormatError as error:
            raise RewoundError(stored) from error
        is_further = theirs.position.covers(belief.said.position)
        if not (is_further and _is_of_the_same_replay(belief.said.replay, theirs.replay, stored.read_ms)):
            raise RewoundError(stored)
        self._adopted_ms = self._now_ms()
        self._belief = Belief(stored, theirs, theirs, belief.flavor)

    def _count(self, batch: Batch) -> None:
        stats = self._stats
        stats.appends += 1
        stats.entries += len(batch.bodies)
        now_ms = self._now_ms()
        for body in batch.bodies:
            _count_body(stats, body)
            if isinstance(body, Change | Generation):
                stats.commit_latency.observe(now_ms - body.committed_ms)
            if isinstance(body, Generation):
                log.warning("generation", namespaces=body.namespaces, reason=body.reason, gtid=body.gtid)


def _is_of_the_same_replay(ours: Replay | None, theirs: Replay | None, read_ms: int) -> bool:
    """No replay where we are in one: ended by now, or never begun, its gap being lost.

    That lost checkpoint may well be further than where the replay begins: the numbers of a server that was set back.
    """
    return theirs == ours or (ours is not None and theirs is None and read_ms > ours.until_ms)


def _count_body(stats: SourceStats, body: Body) -> None:
    match body:
        case Change():
            stats.keys += len(body.keys)
        case Heartbeat():
            stats.heartbeats += 1
        case Generation():
            stats.generations += 1
        case Gap():
            stats.gaps += 1
        case Replayed():
            stats.replays += 1
