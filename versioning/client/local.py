"""The cache inside the process: a dict in the order of use, bounded, that readers look into without a lock.

A hit reads the dict, which the interpreter does atomically, and moves its entry to the young end now and then
(``touch``). Writers take turns; a reader beside them sees an entry or misses it, and a miss only costs a look into
Redis.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from versioning.held import Held

MARKS: Final = 8
"""Points in time noted for each turnover of the cache."""


class LocalCache:
    """``clock`` returns monotonic time in ms."""

    def __init__(self, max_entries: int, clock: Callable[[], int]) -> None:
        self.held: OrderedDict[str, Held] = OrderedDict()
        """The same dict for the life of the cache, the least used first."""
        self._max_entries = max_entries
        self._clock = clock
        self._puts = 0
        self._marks = deque([(0, clock())])
        """How many puts there were until when; of the last ``max_entries`` puts, since all of those are held."""
        self._lock = threading.Lock()

    @property
    def remembers_since_ms(self) -> int:
        """Whatever was put since then is still held."""
        return self._marks[0][1]

    def __len__(self) -> int:
        return len(self.held)

    def find(self, key: str) -> Held | None:
        return self.held.get(key)

    def put(self, key: str, held: Held) -> None:
        self.put_many({key: held})

    def put_many(self, fresh: Mapping[str, Held]) -> None:
        held = self.held
        # Let go of behind the lock: what ends with a value is the application's code, and may read the cache.
        gone = []
        with self._lock:
            for key, one in fresh.items():
                gone.append(held.get(key))
                held[key] = one
                held.move_to_end(key)
            while len(held) > self._max_entries:
                gone.append(held.popitem(last=False)[1])
            self._count(len(fresh))

    def touch(self, key: str) -> None:
        """Note that ``key`` is in use."""
        # One step of the interpreter, and no lock: a thread interrupted between taking one without waiting for it and
        # the ``try`` that gives it back would leave it taken for ever, and every miss of the process waiting.
        with suppress(KeyError):
            self.held.move_to_end(key)
            # It pushes the others towards the end as a put does. That two threads lose one is rare, and little.
            self._puts += 1

    def after_fork(self) -> None:
        """Begin empty: the parent may have been cut off in the middle of a write, and its lock may never open again."""
        self.held.clear()
        self._marks = deque([(self._puts, self._clock())])
        self._lock = threading.Lock()

    def _count(self, puts: int) -> None:
        self._puts += puts
        marks = self._marks
        if self._puts - marks[-1][0] >= self._max_entries / MARKS:
            marks.append((self._puts, self._clock()))
            while self._puts - marks[0][0] > self._max_entries - self._max_entries / MARKS:
                marks.popleft()
