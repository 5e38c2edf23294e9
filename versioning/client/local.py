"""The cache inside the process: a dict in the order of use, bounded, that readers look into without a lock.

A hit reads the dict, which the interpreter does atomically, and moves its entry to the young end now and then
(``touch``). Writers take turns; a reader beside them sees an entry or misses it, and a miss only costs a look into
Redis.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping

from versioning.held import Held


class LocalCache:
    def __init__(self, max_entries: int) -> None:
        self.held: OrderedDict[str, Held] = OrderedDict()
        """The same dict for the life of the cache, the least used first."""
        self._max_entries = max_entries
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.held)

    def find(self, key: str) -> Held | None:
        return self.held.get(key)

    def put(self, key: str, held: Held) -> None:
        self.put_many({key: held})

    def put_many(self, fresh: Mapping[str, Held]) -> None:
        held = self.held
        with self._lock:
            held.update(fresh)
            for key in fresh:
                held.move_to_end(key)
            while len(held) > self._max_entries:
                held.popitem(last=False)

    def touch(self, key: str) -> None:
        """Note that ``key`` is in use; not worth waiting for."""
        if self._lock.acquire(blocking=False):
            try:
                if key in self.held:
                    self.held.move_to_end(key)
            finally:
                self._lock.release()

    def after_fork(self) -> None:
        """Begin empty: the parent may have been cut off in the middle of a write, and its lock may never open again."""
        self.held.clear()
        self._lock = threading.Lock()
