"""A mirror's side of the target stream: what it believes is there (P1), and what that says of the origin.

Law: ``stored`` is the checkpoint this mirror has seen in the stream, ``state`` the fold of every entry up to
``state.last``. After a refusal or a lost answer both are read again; when the entries do not join, the stream has lost
some: the whole window is read, and what is gone of what mirrors had said by themselves is due to be said again.
"""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from replicator.mirror.board import GateBoard
from replicator.mirror.fold import read_window
from replicator.mirror.options import MirrorOptions, MirrorStats
from replicator.mirror.position import MirrorPosition
from replicator.mirror.reasons import is_rewound
from replicator.mirror.state import MirrorState
from replicator.mirror.words import Named, is_lost_word, is_unapplied, own_origin
from versioning import stamp as stamps
from versioning.backends.base import Append, History, StreamBackend
from versioning.checkpoint import Checkpoint
from versioning.client.nonces import new_nonces
from versioning.entries import Body, Change, Entry, Gap, Generation, NewEntry, Origin
from versioning.liveness import Now

PAGE_ENTRIES: Final = 1_000

log = structlog.get_logger()

Bodies = Sequence[tuple[Body, Origin | None]]


class MirrorTarget:
    def __init__(
        self,
        stream: StreamBackend,
        options: MirrorOptions,
        stats: MirrorStats,
        clock: Callable[[], Now],
        board: GateBoard,
    ) -> None:
        self.stream = stream
        self._options = options
        self._board = board
        self.state = self._new_state()
        self.stored: Checkpoint | None = None
        self._stats = stats
        self._clock = clock
        self._above = stamps.ZERO
        self._has_read = False
        self._history = History()
        self._seen_ms = 0
        """Monotonic: when this mirror knew the whole stream last."""

    def _new_state(self) -> MirrorState:
        return MirrorState(self._options.origin_dc, self._options.window_ms, is_timed=not self._board)

    @property
    def read_ms(self) -> int:
        return self.stored.read_ms if self.stored else 0

    @property
    def position(self) -> MirrorPosition:
        """The last entry of the origin that is in the stream; ``stamp.ZERO`` for none."""
        return MirrorPosition.of(self.stored) or MirrorPosition()

    async def oldest(self) -> int:
        """Return the stamp of the oldest entry that is still there; raises BackendError."""
        page = await self.stream.read_after(stamps.ZERO, count=1)
        return page[0].stamp if page else stamps.ZERO

    async def notice_loss(self) -> bool:
        """Return whether the stream's Redis has failed over or restarted, or lost entries; raises BackendError.

        Then all that is pending is due to be said again, whether or not it is there: who began to read where it was
        trimmed or deleted, or behind someone else's entry, does not know of it.
        """
        before, now = self._history, await self.stream.history()
        self._history = now
        if before.server not in {"", now.server}:
            self.state.must_say_all()
        elif before.torn != now.torn:
            self.state.must_say_all(before=now.torn)
        else:
            return False
        return True

    async def sync(self) -> None:
        """Read the checkpoint and what is new; raises BackendError."""
        await self.adopt(await self.stream.checkpoint(self._options.writer))

    async def adopt(self, stored: Checkpoint | None) -> None:
        """Believe this checkpoint, and fold in the entries up to it."""
        asked_ms = self._clock().monotonic_ms
        if not await self._fold_new(stored):
            await self._read_window(stored)
        self.stored, self._seen_ms = stored, asked_ms
        self._above = max(self._above, self.state.last)

    async def _fold_new(self, stored: Checkpoint | None) -> bool:
        state = self.state
        if stored is None or not state.last:
            return False
        is_found = stored == self.stored or stored.nonce == state.nonce
        while page := await self.stream.read_after(state.last, count=PAGE_ENTRIES):
            for entry in page:
                if not state.follows(entry):
                    return False
                state.take(entry, self._clock().ms)
                self._hear(entry)
                is_found = is_found or entry.nonce == stored.nonce
            if is_found and len(page) < PAGE_ENTRIES:  # One way less in every race that is lost.
                break
        return is_found

    def _hear(self, entry: Entry) -> None:
        """Tell the gates what another mirror was told of the replicas."""
        body = entry.body
        is_own = own_origin(entry, self.state.dc)
        # A replay does not wait for the replicas longer than an entry may, and is not marked when it has.
        if not is_own or not isinstance(body, Change | Generation | Gap):
            return
        if is_unapplied(body):
            self._doubt(body)
        elif body.gtid:
            now = self._clock()
            # It was not there when this mirror knew the whole stream last, whatever the clocks say.
            age_ms = min(now.ms - stamps.ms_of(entry.stamp), now.monotonic_ms - self._seen_ms)
            self._board.promise([(body.gtid, age_ms)])

    def _doubt(self, body: Named | Gap) -> None:
        # Some name the furthest of what a database had, not how little that has now.
        if is_lost_word(body):
            self._board.note_lost(body.gtid)
            self._board.doubt_all()
        elif isinstance(body, Gap) and is_rewound(body.reason):
            self._board.doubt_all()
        else:
            self._board.doubt(body.gtid)

    async def _read_window(self, stored: Checkpoint | None) -> None:
        known, now_ms = self.state if self._has_read else None, self._clock().ms
        if known is not None and not self._board.has_watched(self._seen_ms):
            # What the stream has lost may have told so, in another mirror's words.
            known.rewind(now_ms)
            self._board.doubt_all()
        fold = await read_window(self.stream, self._new_state, known, now_ms)
        self.state = fold.carrying(MirrorPosition.of(stored))
        self._has_read, self._history = True, fold.history
        for body in (*(mark.body for mark in self.state.pendings()), *fold.lost):
            self._doubt(body)
        now_ms = self._clock().ms
        self._board.promise([(gtid, now_ms - told_ms) for gtid, told_ms in fold.acknowledged])
        if known is not None:
            self._board.hear_lost([body.gtid for body in fold.lost])

    def _position_text(self, position: MirrorPosition | None) -> str:
        if position is not None:
            return position.encode()
        # Before the first position there is nothing to say: a checkpoint without it would claim a start without a gap.
        assert self.stored is not None  # noqa: S101
        return self.stored.position

    async def append(self, bodies: Bodies, position: MirrorPosition | None, read_ms: int, now_ms: int) -> None:
        """Append all of it; ``position`` None leaves the origin position as stored.

        Raises CheckpointRefusedError, BackendError.
        """
        asked_ms, fresh = self._clock().monotonic_ms, new_nonces(len(bodies))
        entries = tuple(NewEntry(nonce, body, origin) for nonce, (body, origin) in zip(fresh, bodies, strict=True))
        checkpoint = Checkpoint(self._position_text(position), read_ms, entries[-1].nonce)
        batch = Append(
            entries,
            clock_ms=now_ms,
            writer=self._options.writer,
            expected=self.stored,
            checkpoint=checkpoint,
            above=self._above,
        )
        appended = await self.stream.append(batch)
        self._stats.appends += 1
        for stamp, new in zip(appended, entries, strict=True):
            self.state.take(Entry(stamp, new.nonce, self.state.nonce, new.body, new.origin), now_ms, is_ours=True)
        self.stored, self._seen_ms = checkpoint, asked_ms
        self._above = max(self._above, appended[-1])
