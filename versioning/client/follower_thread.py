"""A follower for programs of threads: the asyncio follower on a loop of its own, in a daemon thread.

``stop`` may be called from anywhere, at interpreter exit and in a forked child too: there the thread does not exist.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable

from versioning.backends.base import BackendError, StreamBackend
from versioning.client.backend import Opened
from versioning.client.follower import FIRST_READS_MAX_S, Follower, FollowerStats
from versioning.client.greenlets import loop_runner
from versioning.client.named import named
from versioning.index import Index
from versioning.liveness import Now

STOP_MAX_S = 2.0
TRY_AGAIN_S = 1.0
"""After which a thread whose loop could not be made tries again: within the time that ``stop`` waits."""

_log = logging.getLogger("stampline.follower")


class FollowerThread:
    def __init__(self, stream: Opened[StreamBackend], index: Index, clock: Callable[[], Now]) -> None:
        self.stats = FollowerStats()
        self._stream = stream
        self._index = index
        self._clock = clock
        self._pid = os.getpid()
        self._reads_wait_until_s = time.monotonic() + FIRST_READS_MAX_S
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._follower: Follower | None = None
        self._is_stopped = self._has_let_go = False
        self._has_started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stampline-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def has_begun(self) -> bool:
        """Also where ``start`` was interrupted as its thread ran already."""
        return self._thread.ident is not None

    def wait_started(self, wait_s: float) -> None:
        """Return when the window is covered, or the follower has given up waiting for that, or after ``wait_s``."""
        self._has_started.wait(wait_s)
        self._reads_wait_until_s = 0.0

    def wait_begun(self) -> None:
        """The same for reads, where nobody has waited for it yet."""
        if not self._has_started.is_set():
            self._has_started.wait(max(self._reads_wait_until_s - time.monotonic(), 0))

    def stop(self) -> None:
        if self._pid != os.getpid():
            return
        self._is_stopped = True
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(STOP_MAX_S)
            if self._thread.is_alive():
                self._let_go()

    def _let_go(self) -> None:
        """It hangs, as in a handler of logs: who follows next has the index and a connection for itself."""
        self._has_let_go = True
        self._stream.take()
        if self._follower is not None:
            self._follower.let_go()

    def _run(self) -> None:
        """Try until it is stopped: a loop needs files, of which the process may have none left for a moment."""
        while not self._is_stopped:
            try:
                with loop_runner() as runner:
                    runner.run(self._follow())
            except OSError as error:
                self._report(f"the follower cannot start: {error}")
            else:
                return
            finally:
                self._has_started.set()
            time.sleep(TRY_AGAIN_S)

    def _report(self, problem: str) -> None:
        if problem != self.stats.last_error:  # a process may have no file left for hours
            self.stats.last_error = problem
            _log.warning("%s", problem, extra=named("follower_failed", error=problem))

    async def _follow(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        if self._is_stopped:
            return
        stream = self._stream.get()
        follower = self._follower = Follower(stream, self._index, clock=self._clock)
        self.stats = follower.stats
        try:
            starting = asyncio.create_task(self._start(follower))
            await self._stop.wait()
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        finally:
            await follower.aclose()
            await self._close(stream)

    async def _start(self, follower: Follower) -> None:
        await follower.start()
        self._has_started.set()

    async def _close(self, stream: StreamBackend) -> None:
        if not self._has_let_go:
            self._stream.take()
        try:
            await stream.aclose()
        except BackendError as error:
            _log.debug("closing the stream: %s", error)
