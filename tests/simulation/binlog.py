"""What stands in for MySQL and the reader thread under the real source: a simulated binlog feeds its handover."""

import asyncio
import types
from typing import Any

from replicator.errors import MySqlUnavailableError, PositionLostError, SourceError
from replicator.mysql import ServerFacts
from replicator.position import Flavor, MariaDbPosition, Position
from replicator.source.anchor import Anchor, BinlogFile, Proof, Trail
from replicator.source.handover import Handover, ReadUpTo
from replicator.source.history import ReplayStart
from replicator.source.progress import Progress
from tests.simulation.limits import HEADER_LAG_MS, HEARTBEAT_MS, READ_TIMEOUT_MS
from tests.simulation.primary import Commit
from tests.simulation.process import Process, current

DELAY_S = 0.003


def is_cut(process: Process) -> bool:
    """Whether a source does not reach the primary."""
    return process.world.primary.is_cut or process.world.cable(process.name, "primary").is_cut


class SimulatedClient:
    """A connection to the primary, of the process that makes it."""

    def __init__(self, address: Any) -> None:
        self._process = current()
        self.primary = self._process.world.primary

    @property
    def is_cut(self) -> bool:
        return is_cut(self._process)

    def close(self) -> None:
        """Nothing to close."""


def server_facts(client: SimulatedClient) -> ServerFacts:
    primary = client.primary
    if client.is_cut:
        raise MySqlUnavailableError("the primary is not reached")
    return ServerFacts(Flavor.MARIADB, primary.server, True, primary.position_at(primary.told), {})


def check_server(client: SimulatedClient, facts: ServerFacts) -> None:
    """This primary is always fit to be read."""


def find_replay_start(
    client: SimulatedClient, facts: Any, options: Any, *, wanted_ms: int, damaged_file: str
) -> ReplayStart:
    """As the real one: the newest file surely begun before ``wanted_ms``, else the oldest. Times are true here."""
    if client.is_cut:
        raise MySqlUnavailableError("the primary is not reached")
    files = client.primary.files
    chosen = next((file for file in reversed(files) if file.began_ms + HEADER_LAG_MS <= wanted_ms), files[0])
    file = BinlogFile(client.primary.server, chosen.name, chosen.began_ms)
    return ReplayStart(client.primary.position_at(chosen.after), file, max(chosen.began_ms + 1_000, wanted_ms))


def may_have_begun(
    client: SimulatedClient, facts: ServerFacts, options: Any, file: BinlogFile, position: Position
) -> bool:
    """As the real one."""
    if client.is_cut:
        raise MySqlUnavailableError("the primary is not reached")
    if file.server_id != facts.server_id or any(one.name == file.name for one in client.primary.files):
        return True
    return client.primary.position_at(client.primary.purged) == position


def now_ms() -> int:
    return current().wall_ms()


async def _run_here(function: Any, *arguments: Any, **named: Any) -> Any:
    """Stands in for ``asyncio.to_thread``."""
    await asyncio.sleep(DELAY_S)
    return function(*arguments, **named)


ASYNCIO_WITHOUT_THREADS = types.SimpleNamespace(**{**vars(asyncio), "to_thread": _run_here})


class SimulatedReader:
    """The interface of ``replicator.source.reader.BinlogReader``."""

    def __init__(self, address: Any, tables: Any, options: Any, *, keys_max: int, stats: Any) -> None:
        process = current()
        self.handover = Handover(asyncio.get_running_loop(), weight_max=200_000)
        self._context = process.context
        self._process = process
        self._primary = process.world.primary
        self._loop = process.loop
        self._number = self._backlog_end = 0
        self._position: Position = MariaDbPosition()
        self._begins: Position = self._position
        """Of each domain, the server sends what is behind it."""
        self._proof = Proof(self._position, ())
        self.trail = Trail(self._position)
        self._anchor: Anchor | None = None
        self._is_stopped = False
        self._heard_s = 0.0
        self._is_pulling = False

    def start(self, facts: Any, progress: Progress) -> None:
        self._position = self._begins = progress.resume_from
        self._number, self._backlog_end = self._primary.common(self._position), self._primary.told
        self._proof, self.trail = Proof(progress.position, progress.anchors), Trail(self._position)
        self._heard_s = self._loop.time()
        # The server id tells a failover at once; where there is an anchor that is left to it, as a server that was set
        # back under its own id leaves it.
        is_lost = not progress.anchors and not self._primary.has(progress.position)
        if is_lost or self._number < self._primary.purged:
            self.handover.fail(PositionLostError("the binlog no longer has the position"))
            return
        self._primary.readers.append(self)
        self.hear()
        self._loop.call_later(HEARTBEAT_MS / 1000, self._beat, context=self._context)

    async def stop(self) -> None:
        self._end()
        self.handover.close()

    def _end(self) -> None:
        self._is_stopped = True
        if self in self._primary.readers:
            self._primary.readers.remove(self)

    def fail(self, error: SourceError) -> None:
        self._end()
        self.handover.fail(error)

    def hear(self) -> None:
        """Called at each commit."""
        if not self._is_pulling:
            self._is_pulling = True
            self._loop.call_later(DELAY_S, self._pull, context=self._context)

    def _pull(self) -> None:
        self._is_pulling = False
        if self._is_stopped or is_cut(self._process):
            return
        if self._number < self._primary.purged:
            self.fail(PositionLostError("the binlog no longer has the position"))
            return
        try:
            self._read()
        except PositionLostError as error:
            self.fail(error)

    def _read(self) -> None:
        """Hand over what is there, as the real one does: the anchor (``Proof``) comes before all that is new."""
        self._heard_s = self._loop.time()
        while self._number < self._primary.told:
            self._number += 1
            commit = self._primary.commits[self._number - 1]
            if not self._begins.includes(commit.gtid):
                self._take(commit)

    def _take(self, commit: Commit) -> None:
        """A position is what the connection began with and what it has read since."""
        gtid = commit.gtid
        self._anchor = Anchor(gtid, self._position.before(gtid), commit.committed_ms)
        self._position = self._position.after(gtid)
        self.trail.add(gtid, commit.committed_ms)
        self._proof.look_at(gtid, commit.committed_ms, self._position)
        read_ms = commit.committed_ms if commit.number > self._backlog_end else 0
        self.handover.put(commit.read(self._position, self._anchor, read_ms))

    def _beat(self) -> None:
        if self._is_stopped:
            return
        now_s = self._loop.time()
        if is_cut(self._process):
            if (now_s - self._heard_s) * 1000 > READ_TIMEOUT_MS:
                self.fail(MySqlUnavailableError("the binlog connection was silent"))
                return
        elif self._number >= self._primary.told:
            self._heard_s = now_s
            try:
                self._proof.end()
            except PositionLostError as error:
                self.fail(error)
                return
            self.handover.put(ReadUpTo(self._process.wall_ms(), self._position, self._anchor))
        else:
            self._pull()
        self._loop.call_later(HEARTBEAT_MS / 1000, self._beat, context=self._context)
