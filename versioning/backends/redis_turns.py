"""Turns at a Redis: the driver's pool has so many connections, and refuses whoever comes when all are in use.

Who has no turn waits for one while answers come: a Redis that answers is slower under a burst, but not away. Where
someone had a turn and got no answer, all who have waited as long as one may take are refused. That none has come yet
says less: many who connect at once, beside other work, take longer than that before the first of them has asked.
"""

import os
import threading
import time
from contextlib import suppress
from typing import Final

import redis.exceptions

TURNS_MAX: Final = 64
"""Of the 100 connections; the others are those that an interrupted thread may leave behind."""

WAIT_MAX: Final = 10
"""Timeouts after which who waits is refused though nobody failed: threads that were interrupted leave no turn free."""


class Turns:
    """First come, first served. Safe to share between threads, and to use after a fork.

    Held by name: a thread that was interrupted as it took or gave back its turn has the same one next time. A count
    would be wrong from then on, as it would in a child that was forked while another thread held one.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pid = os.getpid()
        self._queue: dict[int, threading.Lock] = {}
        """Threads in the order they came, and what each waits on. The first ``TURNS_MAX`` have a turn."""
        self._answered_s = self._failed_s = float("-inf")

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._pid, self._queue = os.getpid(), {}
        me = threading.get_ident()
        latch = self._queue.setdefault(me, threading.Lock())
        if not self._is_in_turn(me):
            self._wait(me, latch)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            self._answered_s = time.monotonic()
            woken = TURNS_MAX
        else:
            self._failed_s = time.monotonic()
            woken = None  # all: some have waited long enough to be refused by now
        self._leave(threading.get_ident(), woken)

    def _is_in_turn(self, me: int) -> bool:
        queue = self._queue
        return len(queue) <= TURNS_MAX or me in list(queue)[:TURNS_MAX]

    def _wait(self, me: int, latch: threading.Lock) -> None:
        began_s = time.monotonic()
        try:
            # The latch opens when the turn comes, also between the look and the wait.
            while not self._is_in_turn(me):
                latch.acquire(timeout=min(self._left_s(began_s), self._timeout_s))
        except BaseException:
            self._leave(me)
            raise

    def _left_s(self, began_s: float) -> float:
        """Until whoever has waited since then is refused, unless an answer comes. Raises MaxConnectionsError."""
        since_s = max(began_s, self._answered_s)
        timeouts = 1 if self._failed_s > since_s else WAIT_MAX
        left_s = since_s + timeouts * self._timeout_s - time.monotonic()
        if left_s <= 0:
            raise redis.exceptions.MaxConnectionsError("as many commands as may be are under way, and none ends")
        return left_s

    def _leave(self, me: int, woken: int | None = TURNS_MAX) -> None:
        queue = self._queue
        queue.pop(me, None)
        if len(queue) >= TURNS_MAX:
            for latch in list(queue.values())[:woken]:
                with suppress(RuntimeError):  # It is open: its thread does not wait, or another one has opened it.
                    latch.release()
