"""Many readers of one key, at all ToCs at once: who loads it after a change shows in the database's own count."""

import asyncio
import threading
import time
from typing import Self

from deploy.simulation.http import Client
from loadtests.worlds import LoadWorld

READERS_PER_TOC = 10
PAUSE_S = 0.02
WARM_READS = 5 * READERS_PER_TOC
WARM_DEADLINE_S = 10.0


class Hammer:
    def __init__(self, world: LoadWorld, tocs: tuple[str, ...], tracker: int) -> None:
        self.reads = 0
        self._ports = [world.http_ports[name] for name in tocs]
        self._path = f"/trackers/{tracker}"
        self._stop = False
        self._warm = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="hammer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def wait_warm(self) -> None:
        """Return when everybody has read a few times."""
        if not self._warm.wait(WARM_DEADLINE_S):
            raise TimeoutError(f"only {self.reads} reads of {self._path} after {WARM_DEADLINE_S:g} s")

    async def _run(self) -> None:
        await asyncio.gather(*(self._read(port) for port in self._ports for _ in range(READERS_PER_TOC)))

    async def _read(self, port: int) -> None:
        async with Client(port) as client:
            while not self._stop:
                began_s = time.monotonic()
                try:
                    await client.get(self._path)
                except OSError:
                    await asyncio.sleep(PAUSE_S)
                    continue
                self.reads += 1
                if self.reads >= WARM_READS:
                    self._warm.set()
                await asyncio.sleep(max(began_s + PAUSE_S - time.monotonic(), 0))
