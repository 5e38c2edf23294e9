"""From a commit in A to the first read in B that shows it: some updates are followed until every ToC serves them."""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Self

from deploy.simulation.http import Client
from loadtests.reads import versions_in
from loadtests.worlds import LoadWorld

POLL_S = 0.004
POLL_GROWTH = 0.03
"""Between two looks: this share of the time waited so far, so that the error stays a few percent."""

UNDER_WAY_MAX = 12


@dataclass(frozen=True)
class Seen:
    committed_s: float
    toc: str
    delay_ms: float | None
    """None: not before the prober gave up."""


class Prober:
    """Follows at most ``per_s`` updates a second, each for ``patience_s``, and few at a time: looking is load, too."""

    def __init__(self, world: LoadWorld, tocs: tuple[str, ...], *, per_s: float, patience_s: float) -> None:
        self.seen: list[Seen] = []
        self._ports = {name: world.http_ports[name] for name in tocs}
        self._one_way_s = world.wan_ms / 1000
        self._gap_s = 1 / per_s
        self._patience_s = patience_s
        self._next_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="prober", daemon=True)
        self._under_way: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result(2 * self._patience_s + 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def follow(self, row: int, version: int, committed_s: float) -> None:
        """Called by the writer; an update too soon after the last one followed is let go."""
        if committed_s >= self._next_s:
            self._next_s = committed_s + self._gap_s
            self._loop.call_soon_threadsafe(self._begin, row, version, committed_s)

    def _begin(self, row: int, version: int, committed_s: float) -> None:
        if len(self._under_way) >= UNDER_WAY_MAX:
            return
        for name in self._ports:
            task = self._loop.create_task(self._until_seen(name, row, version, committed_s))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _until_seen(self, toc: str, row: int, version: int, committed_s: float) -> None:
        await asyncio.sleep(max(committed_s + self._one_way_s - time.time(), 0))
        async with Client(self._ports[toc]) as client:
            while time.time() < committed_s + self._patience_s:
                if await self._read(client, row) >= version:
                    self.seen.append(Seen(committed_s, toc, (time.time() - committed_s) * 1000))
                    return
                await asyncio.sleep(POLL_S + POLL_GROWTH * (time.time() - committed_s - self._one_way_s))
        self.seen.append(Seen(committed_s, toc, None))

    async def _read(self, client: Client, row: int) -> int:
        try:
            answer = await client.get(f"/trackers/{row}")
        except OSError:
            return -1
        return next((version for _, version in versions_in(answer.body)), -1)

    async def _finish(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)
