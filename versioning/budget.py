"""The load budget of a process (P10): a token bucket that holds one second's worth of loads. Time is an argument."""

import math
import threading


class LoadBudget:
    """Shared by all threads of a process. ``per_s`` None: no limit."""

    def __init__(self, per_s: float | None) -> None:
        self._per_s = per_s
        self._capacity = max(per_s or 0.0, 1.0)
        self._tokens = self._capacity
        self._at_ms: int | None = None
        self._lock = threading.Lock()

    def take(self, monotonic_ms: int) -> bool:
        """Return whether one more load may begin now, and count it."""
        if self._per_s is None:
            return True
        with self._lock:
            self._refill(self._per_s, monotonic_ms)
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def give_back(self) -> None:
        """Return a token taken for a load that was not needed."""
        with self._lock:
            self._tokens = min(self._tokens + 1, self._capacity)

    def wait_ms(self) -> int:
        """Return the time until the next token, as of the last ``take``."""
        if self._per_s is None:
            return 0
        return math.ceil(max(1 - self._tokens, 0) / self._per_s * 1000)

    def _refill(self, per_s: float, monotonic_ms: int) -> None:
        # A thread may have read the clock before another one that was here first: no time is earned twice.
        before_ms = monotonic_ms if self._at_ms is None else self._at_ms
        self._at_ms = max(monotonic_ms, before_ms)
        self._tokens = min(self._tokens + (self._at_ms - before_ms) * per_s / 1000, self._capacity)
