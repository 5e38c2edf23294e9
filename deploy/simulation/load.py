"""Writers and readers of the demo: each update is followed until every ToC serves it; every read is checked."""

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from deploy.simulation.configs import TOCS, TTL_ONLY
from deploy.simulation.http import Answer, Client
from deploy.simulation.pace import pick_by_rank, ticks
from deploy.simulation.staleness import History
from deploy.simulation.world import World

TRACKERS = 200
UPDATES_PER_S = 5.0
READS_PER_S = 40.0
"""Per ToC, besides the reads that follow an update."""

POLL_S = 0.001
SEEN_DEADLINE_S = 10.0
HTTP_OK = 200


@dataclass
class Update:
    tracker: int
    version: int
    committed_s: float
    fresh_after_ms: dict[str, float] = field(default_factory=dict)
    """ToC -> time from commit to the first read that showed it; missing where none did by the deadline."""


@dataclass
class Reads:
    count: int = 0
    errors: int = 0
    staleness_ms: list[float] = field(default_factory=list)
    """Of the reads that were stale for certain."""


class Load:
    """Drives one world. Times are Unix seconds of this machine: ToB's commit time comes from the same clock."""

    def __init__(self, world: World, seed: int = 1) -> None:
        self.world = world
        self.updates: list[Update] = []
        self.reads = {name: Reads() for name in (*TOCS, TTL_ONLY)}
        self._history = History()
        self._pick = pick_by_rank(range(1, TRACKERS + 1), random.Random(seed))
        self._busy: set[int] = set()
        self._idle_clients: dict[str, list[Client]] = {}

    async def create_rows(self) -> None:
        """Make the trackers, each at version 0, and read each once everywhere: measuring begins with warm caches."""
        for number in range(1, TRACKERS + 1):
            await self._write("POST", "/trackers", number, 0)
        await asyncio.gather(*(self._warm(name) for name in self.reads))
        for reads in self.reads.values():
            reads.count, reads.errors = 0, 0
            reads.staleness_ms.clear()

    async def _warm(self, name: str) -> None:
        for tracker in range(1, TRACKERS + 1):
            await self._until_seen(name, Update(tracker, 0, time.time()))

    async def run(self, seconds: float) -> None:
        """Update and read for `seconds`, then wait until the last updates are seen."""
        ends_s = time.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            for name in self.reads:
                tasks.create_task(self._read_until(name, ends_s))
            async for _ in ticks(UPDATES_PER_S, ends_s):
                tasks.create_task(self._update())

    async def _update(self) -> None:
        tracker = self._pick()
        if tracker in self._busy:
            tracker = next(other for other in range(1, TRACKERS + 1) if other not in self._busy)
        self._busy.add(tracker)
        update = await self._write("PATCH", f"/trackers/{tracker}", tracker, self._history.version(tracker) + 1)
        self.updates.append(update)
        await asyncio.gather(*(self._until_seen(name, update) for name in TOCS))
        self._busy.discard(tracker)

    async def _write(self, method: str, path: str, tracker: int, version: int) -> Update:
        row: dict[str, Any] = {"extra": {"version": version}, "name": f"tracker {tracker}, version {version}"}
        if method == "POST":
            row |= {"tracker_id": f"T{tracker}", "status": "active", "tenant_id": tracker % 10}
        async with self._client("tob") as client:
            answer = await client.request(method, path, row)
        if answer.status >= 300:
            raise RuntimeError(f"ToB refused {method} {path}: {answer.status} {answer.body[:300]!r}")
        self._history.commit(tracker, version, time.time())
        return Update(tracker, version, answer.json()["committed_ms"] / 1000)

    async def _until_seen(self, name: str, update: Update) -> None:
        one_way_s = self.world.wan_ms / 1000
        await asyncio.sleep(max(update.committed_s + one_way_s - time.time(), 0))
        while time.time() < update.committed_s + SEEN_DEADLINE_S:
            if await self._read(name, update.tracker) >= update.version:
                update.fresh_after_ms[name] = (time.time() - update.committed_s) * 1000
                return
            await asyncio.sleep(POLL_S)

    async def _read_until(self, name: str, ends_s: float) -> None:
        async for _ in ticks(READS_PER_S, ends_s):
            await self._read(name, self._pick())

    async def _read(self, name: str, tracker: int) -> int:
        """Read once, check it, and return the version seen; -1 for an error."""
        reads = self.reads[name]
        sent_s = time.time()
        try:
            async with self._client(name) as client:
                answer = await client.get(f"/trackers/{tracker}")
        except OSError:
            reads.errors += 1
            return -1
        reads.count += 1
        if answer.status != HTTP_OK:
            reads.errors += self._history.version(tracker) > 0
            return -1
        version = _version(answer)
        staleness_s = self._history.staleness_s(tracker, version, sent_s)
        if staleness_s > 0:
            reads.staleness_ms.append(staleness_s * 1000)
        return version

    @asynccontextmanager
    async def _client(self, name: str) -> AsyncIterator[Client]:
        idle = self._idle_clients.setdefault(name, [])
        client = idle.pop() if idle else Client(self.world.http_ports[name], self.world.client_context)
        yield client
        idle.append(client)

    async def aclose(self) -> None:
        for client in itertools.chain(*self._idle_clients.values()):
            await client.__aexit__()


def _version(answer: Answer) -> int:
    return int(answer.json()["extra"]["version"])
