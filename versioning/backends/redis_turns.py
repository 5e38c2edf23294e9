"""Turns at a Cluster: its driver has so many connections for each node, and refuses whoever comes when all are in use.

Who has no turn waits for one, as long as for a reply: a cluster that answers is slower under a burst, but not away.
"""

import asyncio
import os
import threading
import time
from typing import Final

import redis.exceptions

from versioning.backends.redis_lanes import FIRST_PAUSE_S, LONGEST_PAUSE_S

TURNS_MAX: Final = 64
"""Of the 100 connections; the others are for reading the topology, and for those that are being closed."""


class Turns:
    """Safe to share between threads, and to use after a fork.

    Held by name: a thread that was interrupted as it took or gave back its turn has the same one next time. A count
    would be wrong from then on, as it would in a child that was forked while another thread held one.
    """

    def __init__(self, wait_ms: int) -> None:
        self._wait_s = wait_ms / 1000
        self._pid = os.getpid()
        self._holders: set[int] = set()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._holders = os.getpid(), set()
        ends_s, pause_s = time.monotonic() + self._wait_s, FIRST_PAUSE_S
        while not self._take():
            if time.monotonic() >= ends_s:
                raise _no_turn()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def __exit__(self, *_: object) -> None:
        self._holders.discard(threading.get_ident())

    def _take(self) -> bool:
        me = threading.get_ident()
        self._holders.add(me)  # before the look: two who look at once may both wait, but not both go
        if len(self._holders) <= TURNS_MAX:
            return True
        self._holders.discard(me)
        return False


class AsyncTurns:
    """Belongs to one event loop. First come, first served."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(TURNS_MAX)

    async def __aenter__(self) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise _no_turn() from None

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


def _no_turn() -> redis.exceptions.MaxConnectionsError:
    return redis.exceptions.MaxConnectionsError(f"{TURNS_MAX} commands are under way, and none has ended in time")
