"""The cache inside the process: a cachetools LRU mapping, with hits that take no lock.

A hit reads one dict, which the interpreter does atomically. Recency is sampled: every 16th hit moves its entry to the
young end, so a hot key stays and most hits pay nothing. Writers take turns; a reader beside them sees an entry or
misses it, and a miss only costs a look into Redis.
"""

import threading
from typing import Final

from cachetools import Cache, LRUCache

from versioning.held import Held

SAMPLED: Final = 16

_peek = Cache.__getitem__


class LocalCache:
    def __init__(self, max_entries: int) -> None:
        self._lru: LRUCache[str, Held] = LRUCache(max_entries)
        self._lock = threading.Lock()
        self._hits = 0

    def __len__(self) -> int:
        return len(self._lru)

    def find(self, key: str) -> Held | None:
        try:
            held: Held = _peek(self._lru, key)
        except KeyError:
            return None
        self._hits += 1
        if not self._hits % SAMPLED:
            self._touch(key)
        return held

    def put(self, key: str, held: Held) -> None:
        with self._lock:
            self._lru[key] = held

    def after_fork(self) -> None:
        """Begin empty: the parent may have been cut off in the middle of a write, and its lock may never open again."""
        self._lru = LRUCache(self._lru.maxsize)
        self._lock = threading.Lock()

    def _touch(self, key: str) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._lru.get(key)
            finally:
                self._lock.release()
