"""The cache inside the process: a dict that readers look into without a lock, bounded by a cachetools LRU mapping.

The mapping keeps the order of use and says who goes; the dict holds the values. A hit reads the dict, which the
interpreter does atomically, and tells the mapping now and then (``touch``). Writers take turns; a reader beside them
sees an entry or misses it, and a miss only costs a look into Redis.
"""

import threading

from cachetools import LRUCache

from versioning.held import Held


class _Order(LRUCache[str, None]):
    """Keys by use; whoever drops out of it is gone."""

    def __init__(self, max_entries: int, held: dict[str, Held]) -> None:
        super().__init__(max_entries)
        self._held = held

    def popitem(self) -> tuple[str, None]:
        key, nothing = super().popitem()
        self._held.pop(key, None)
        return key, nothing


class LocalCache:
    def __init__(self, max_entries: int) -> None:
        self.held: dict[str, Held] = {}
        """The same dict for the life of the cache."""
        self._order = _Order(max_entries, self.held)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.held)

    def find(self, key: str) -> Held | None:
        return self.held.get(key)

    def put(self, key: str, held: Held) -> None:
        with self._lock:
            self._order[key] = None
            self.held[key] = held

    def touch(self, key: str) -> None:
        """Note that ``key`` is in use; not worth waiting for."""
        if self._lock.acquire(blocking=False):
            try:
                self._order.get(key)
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """Begin empty: the parent may have been cut off in the middle of a write, and its lock may never open again."""
        self.held.clear()
        self._order = _Order(int(self._order.maxsize), self.held)
        self._lock = threading.Lock()
