"""A bounded queue from the reader thread to the event loop: the reader waits when the loop is behind.

What is bounded is the number of keys held, not of items. `take` gives everything there is: one append carries it all.
"""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass

from replicator.errors import SourceError
from replicator.position import Position
from replicator.source.anchor import Anchor
from replicator.source.transaction import Transaction


@dataclass(frozen=True, slots=True)
class ReadUpTo:
    """Everything committed before `read_ms` is at or before `position` and has been handed over."""

    read_ms: int
    position: Position
    anchor: Anchor | None = None
    """Of `position`."""


Item = Transaction | ReadUpTo


class Handover:
    def __init__(self, loop: asyncio.AbstractEventLoop, *, weight_max: int) -> None:
        self._loop = loop
        self._weight_max = weight_max
        self._items: deque[Item] = deque()
        self._weight = 0
        self._error: SourceError | None = None
        self._lock = threading.Condition()
        self._is_closed = False
        self._arrived = asyncio.Event()
        self._is_awaited = True
        """The loop has seen that there is nothing, and must be told of what comes: waking it costs a system call."""

    def put(self, item: Item) -> None:
        """Called by the reader thread; blocks while too much is waiting."""
        with self._lock:
            while self._weight > self._weight_max and not self._is_closed:
                self._lock.wait()
            self._items.append(item)
            self._weight += _weight(item)
            is_awaited, self._is_awaited = self._is_awaited, False
        if is_awaited:
            self._wake()

    def fail(self, error: SourceError) -> None:
        """The last thing the reader says: raised by `take` when everything before it is taken."""
        with self._lock:
            self._error = error
        self._wake()

    def close(self) -> None:
        """Called by the loop: nobody takes any more, so nobody is kept waiting."""
        with self._lock:
            self._is_closed = True
            self._lock.notify_all()

    async def take(self) -> list[Item]:
        """Everything handed over since the last time, at least one item; raises the reader's error behind the last."""
        while True:
            self._arrived.clear()
            with self._lock:
                items, self._items, self._weight = list(self._items), deque(), 0
                self._lock.notify_all()
                error, self._is_awaited = self._error, not items
            if items:
                return items
            if error is not None:
                raise error
            await self._arrived.wait()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop is closed: nobody waits
            self.close()


def _weight(item: Item) -> int:
    return 1 + len(item.keys) if isinstance(item, Transaction) else 1
