"""A working loop's pulse: the loop says when it turns, and whoever asks learns how long ago that was.

An HTTP server that answers proves nothing about the loop beside it. A loop that rests on purpose says for how long, so
that a patient back-off is never taken for a hang: to restart what waits for a refused login would be a storm of logins.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

LOOP_AGE_MAX_S: Final = 30.0
"""Three times the longest that one turn may wait for a server (a dead binlog link is noticed after 10 s)."""


class Pulse:
    def __init__(self, *, age_max_s: float = LOOP_AGE_MAX_S, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.has_begun = False
        """The loop has turned at least once, so whatever can fail before its first turn has not."""
        self._age_max_s = age_max_s
        self._clock_s = clock_s
        self._due_s = clock_s()
        self._leans_on: Self | None = None

    def beat(self, rest_s: float = 0.0) -> None:
        """The loop turns now; for the next ``rest_s`` it will rest on purpose. Any thread may call this."""
        self._due_s = self._clock_s() + rest_s
        self.has_begun = True

    @contextmanager
    def leaning_on(self, other: Self) -> Iterator[None]:
        """Inside the block the loop waits for another one: it is as alive as that."""
        self._leans_on = other
        try:
            yield
        finally:
            self._leans_on = None
            self.beat()

    @property
    def age_s(self) -> float:
        """How long the loop has not turned beyond what it meant to rest."""
        age_s = max(0.0, self._clock_s() - self._due_s)
        other = self._leans_on
        return age_s if other is None else min(age_s, other.age_s)

    @property
    def is_overdue(self) -> bool:
        return self.age_s > self._age_max_s

    def complaint(self) -> str | None:
        """Why the role does not count as alive, or None."""
        return f"the working loop has not turned for {self.age_s:.0f} s" if self.is_overdue else None
