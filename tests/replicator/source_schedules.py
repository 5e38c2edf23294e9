"""Sources of one MySQL on schedules made by chance: commits, failovers that lose some, stops, a Redis that fails over.

The sources are the real ones between the binlog's events and the stream (`Assembler`, `plan`, `Appender`); server, link
and stream are in memory, and time is steered. Whoever takes a server's place has a part of its log, and hands the same
numbers out again. Each heartbeat is held against the log that is in force: what it vouches for is stamped, or hidden by
a gap.
"""

import contextlib
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from replicator.binlog.events import Committed, GroupBegan, HeartbeatReceived
from replicator.errors import PositionLostError
from replicator.position import Flavor, Position
from replicator.source.anchor import BinlogFile, Trail
from replicator.source.appender import Appender, Identity, RewoundError
from replicator.source.batch import SECOND_MS, Rules
from replicator.source.handover import Item, ReadUpTo
from replicator.source.progress import Progress, Replay
from replicator.source.stats import SourceStats
from replicator.source.transaction import Assembler
from replicator.tables import TableSpec, WatchedTables
from tests.replicator.mysql_twin import Commit, Kind, Server
from versioning import stamp as stamps
from versioning.backends.base import Append, BackendError, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.checkpoint import Checkpoint
from versioning.entries import Change, Gap, Heartbeat, Replayed
from versioning.keys import KeyTemplate
from versioning.limits import REPLAY_SLACK_MS, WINDOW_MS

TABLES: Final = WatchedTables((TableSpec("shop", "item", (KeyTemplate.parse("item:{id}"),)),))
RULES: Final = Rules(heartbeat_ms=500, keys_per_entry=2, generation_spread_ms=30_000, window_ms=WINDOW_MS)
START_MS: Final = 1_700_000_000_000
HOUR_MS: Final = 3_600_000
STALL_MS: Final = 15_000


class Stream:
    """That of `MemoryStream`, over a link that loses requests and answers."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def append(self, batch: Append) -> list[int]:
        luck = self._world.chance.random()
        if luck < 0.03:
            raise UnavailableError("before")
        found = await self._world.stream.append(batch)
        self._world.check_heartbeats(batch)
        if luck > 0.97:
            raise UnavailableError("after")
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world.stream, name)


class Source:
    def __init__(self, world: "World") -> None:
        self.world = world
        self.restart()

    def restart(self) -> None:
        """What it held is gone."""
        stream: Any = Stream(self.world)
        identity = Identity("source:a", "d", adopt_digest=False)
        self.appender = Appender(stream, identity, RULES, now_ms=lambda: self.world.now_ms, stats=SourceStats())
        self.lost: tuple[Checkpoint | None, str] | None = None
        self._end_connection()

    async def stop(self) -> None:
        """Killed; or asked to, so that what it has read is appended if the stream takes it."""
        held = [*self._taken, *self.waiting]
        if held and self.world.chance.random() < 0.5:
            with contextlib.suppress(BackendError, RewoundError):
                await self.appender.append(held)
        self.restart()

    def _end_connection(self) -> None:
        self.server: Server | None = None
        self.waiting: list[Item] = []
        self._taken: list[Item] = []
        self.failure: PositionLostError | None = None

    async def step(self) -> None:
        try:
            if self.server is None:
                await self._connect()
            elif self.world.chance.random() < 0.5:
                self._read()
            else:
                await self._append()
        except PositionLostError as error:
            self.lost = (self.appender.believed, str(error))
            self._end_connection()
        except RewoundError:
            self._end_connection()

    async def _connect(self) -> None:
        server, world = self.world.primary, self.world
        stored = await self.appender.stored()
        if self.lost is not None and self.lost[0] != stored:
            self.lost = None
        try:
            progress = await self._begin(stored, server)
        except BackendError:
            return
        trail = Trail(progress.resume_from)
        self.appender.trail = trail
        end, stats = server.place(len(server.log)), SourceStats()
        self._assembler = Assembler(
            progress, TABLES, {}, end=end, trail=trail, keys_max=9, stats=stats, now_ms=lambda: world.now_ms
        )
        self._unread = server.sends(progress.resume_from)
        self._sent = len(server.log)
        self._said_ms = 0
        self.server = server

    async def _begin(self, stored: Checkpoint | None, server: Server) -> Progress:
        if stored is not None and self.lost is None:
            progress = self.appender.resume(stored, server.kind.flavor)
            if progress.may_be_of(server.position()) and self.world.may_have_begun(progress.file):
                return progress
            self.lost = (stored, "the binlog is not the one that it is of")
        reason = self.lost[1] if self.lost else "none"
        start, file, since_ms = self.world.replay_start()
        progress = Progress(start, Replay(since_ms, self.world.now_ms), file=file)
        await self.appender.begin(stored, progress, reason, server.kind.flavor, end=server.position())
        self.lost = None
        return progress

    def _read(self) -> None:
        server = self.server
        assert server is not None
        if not server.is_up or self.failure is not None:
            self._leave()
            return
        self._unread += range(self._sent, len(server.log))
        self._sent = len(server.log)
        count = self.world.chance.randint(1, 6)
        now, self._unread = self._unread[:count], self._unread[count:]
        try:
            for index in now:
                self._feed(server.log[index], server.place(index + 1))
            if not self._unread:
                self._assembler.feed(HeartbeatReceived(self.world.now_ms))
        except PositionLostError as error:
            self.failure = error
        else:
            if not self._unread and self._assembler.is_between:
                self._hand_over(ReadUpTo(self.world.now_ms, self._assembler.position, self._assembler.anchor))

    def _feed(self, commit: Commit, end: str) -> None:
        """As `BinlogReader` does: of what nobody watches, one sign of life each half heartbeat."""
        self._assembler.feed(GroupBegan(commit.gtid, is_open=True))
        read = self._assembler.feed(Committed(commit.committed_ms // 1000 * 1000, end, commit.changed_ms))
        assert read is not None
        if commit.key:
            self.waiting.append(read._replace(keys=(commit.key,)))
        elif self.world.now_ms - self._said_ms >= RULES.heartbeat_ms / 2:
            self._hand_over(ReadUpTo(min(read.read_ms, self.world.now_ms), read.position, read.anchor))

    def _hand_over(self, item: ReadUpTo) -> None:
        self._said_ms = self.world.now_ms
        self.waiting.append(item)

    def _leave(self) -> None:
        """The connection's error comes behind what was handed over."""
        if self.waiting or self._taken:
            return
        failure = self.failure
        self._end_connection()
        if failure is not None:
            raise failure

    async def _append(self) -> None:
        if not self._taken:
            count = self.world.chance.randint(0, len(self.waiting))
            self._taken, self.waiting = self.waiting[:count], self.waiting[count:]
        if self._taken:
            with contextlib.suppress(BackendError):
                await self.appender.append(self._taken)
                self._taken = []


class World:
    def __init__(self, seed: int, kind: Kind) -> None:
        self.chance = random.Random(seed)
        self.now_ms = START_MS
        self.stream = MemoryStream(lambda: self.now_ms)
        self.primary = Server(1, kind)
        self._numbers = 0
        self._kept = self.stream.snapshot()
        self.sources = [Source(self) for _ in range(self.chance.choice([1, 2, 3]))]
        self._awake = list(self.sources)

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            await self._turn()
        for _ in range(150 + steps):
            self.now_ms += 100
            for source in self.sources:
                await source.step()
        await self._check_end()

    async def _turn(self) -> None:
        turns = {
            self._step: 650,
            self._commit: 250,
            self._wait: 30,
            self._wait_for_hours: 2,
            self._pause: 30,
            self._stop: 10,
            self._keep: 5,
            self._fail_redis_over: 5,
            self._flush: 1,
            self._fail_over: 12,
        }
        (turn,) = self.chance.choices(list(turns), list(turns.values()))
        await turn()

    async def _step(self) -> None:
        if self._awake:
            await self.chance.choice(self._awake).step()

    async def _wait(self) -> None:
        self.now_ms += self.chance.choice([100, 1_000, 3_000, 20_000])

    async def _wait_for_hours(self) -> None:
        self.now_ms += self.chance.randint(1, 4) * HOUR_MS // 2

    async def _pause(self) -> None:
        self._awake = [source for source in self.sources if self.chance.random() < 0.6]

    async def _stop(self) -> None:
        await self.chance.choice(self.sources).stop()

    async def _keep(self) -> None:
        self._kept = self.stream.snapshot()

    async def _fail_redis_over(self) -> None:
        self.stream.restore(self._kept)

    async def _flush(self) -> None:
        self.stream.flush()

    async def _commit(self) -> None:
        self.now_ms += self.chance.choice([1, 30, 300, 900])
        self._numbers += 1
        key = f"item:{self._numbers}" if self.chance.random() < 0.6 else ""
        took_ms = self.chance.choice([0, 0, 0, 1_500])
        changed_ms = (self.now_ms - took_ms) // 1000 * 1000
        self.primary.log.append(Commit(self.primary.next_gtid(self.chance), changed_ms, self.now_ms, key))

    async def _fail_over(self) -> None:
        """To a replica that lacks the last commits, or to the server itself without them; not within a second."""
        old, chance = self.primary, self.chance
        old.is_up = False
        self.now_ms += chance.randint(2_000, 9_000)
        number = chance.choice([old.number, old.number + 1])
        log = old.log[: len(old.log) - chance.choice([0, 0, 1, 2, 5])]
        if number != old.number and old.kind.domains > 1:
            domain, missing = str(chance.randrange(old.kind.domains)), chance.choice([0, 1, 2])
            theirs = [commit for commit in log if commit.gtid.startswith(f"{domain}-")]
            log = [commit for commit in log if commit not in theirs[len(theirs) - missing :]]
        self.primary = replace(old, number=number, log=list(log), is_up=True)
        await self._pause()
        if old.kind.flavor is Flavor.FILE:
            self._number_files(is_other=number != old.number)

    def _number_files(self, *, is_other: bool) -> None:
        """A server set back goes on in the file where it was; another one has files of its own."""
        server = self.primary
        if is_other:
            server.file, server.offset = 1, 4
            log = [replace(commit, gtid=server.next_gtid(self.chance)) for commit in server.log]
            server.log = log
        elif server.log:
            file, _, offset = server.log[-1].gtid.partition("/")
            server.file, server.offset = int(file.partition(".")[2]), int(offset)
        else:
            server.file, server.offset = 1, 4

    def replay_start(self) -> tuple[Position, BinlogFile, int]:
        """As `find_replay_start` finds it: a file begun before the window, or the oldest there is."""
        log, wanted_ms = self.primary.log, self.now_ms - RULES.window_ms
        first = sum(commit.committed_ms < wanted_ms - HOUR_MS for commit in log)
        if self.chance.random() < 0.2:  # older files were purged
            first = self.chance.randint(first, len(log))
        since_ms = max(wanted_ms, log[first - 1].committed_ms + SECOND_MS if first else 0)
        return self.primary.position(first), self._file_behind(first), min(since_ms, self.now_ms)

    def may_have_begun(self, file: BinlogFile | None) -> bool:
        if file is None or file.server_id != self.primary.number:
            return True
        first = int(file.name)
        return first <= len(self.primary.log) and file == self._file_behind(first)

    def _file_behind(self, first: int) -> BinlogFile:
        """A file begins with the commit before it; its name here is the number of those."""
        before = self.primary.log[:first]
        return BinlogFile(self.primary.number, str(first), before[-1].committed_ms if before else 0)

    def check_heartbeats(self, batch: Append) -> None:
        for new in batch.entries:
            if isinstance(new.body, Heartbeat):
                self._check_stamped(new.body.read_ms, new.body)

    async def _check_end(self) -> None:
        bodies = [entry.body for entry in self._entries()]
        last_ms = max((body.read_ms for body in bodies if isinstance(body, Heartbeat)), default=0)
        assert last_ms >= self.now_ms - STALL_MS, "nobody vouches any more"
        self._check_stamped(self.now_ms - STALL_MS, "the end")

    def _check_stamped(self, before_ms: int, claim: object) -> None:
        """What was committed before is stamped, or values that may lack it are below the horizon."""
        stamped: set[str] = set()
        horizon_ms = 0
        for entry in self._entries():
            match entry.body:
                case Change():
                    stamped.update(entry.body.keys)
                case Gap():
                    horizon_ms = stamps.ms_of(entry.stamp)
                case Replayed():
                    horizon_ms = entry.body.since_ms + REPLAY_SLACK_MS
        oldest_ms = max(horizon_ms, self.now_ms - RULES.window_ms)
        for commit in self.primary.log:
            if commit.key and oldest_ms < commit.committed_ms < before_ms:
                assert commit.key in stamped, f"{commit} is not stamped: {claim}"

    def _entries(self) -> Iterator[Any]:
        return iter(self.stream._entries)
