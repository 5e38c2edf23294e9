"""How long to wait before the next try: doubling, jittered, bounded; much longer where only a person can help."""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.1
LONGEST_S: Final = 5.0
DENIED_S: Final = 30.0
"""A refused login is tried again this seldom: no storm, and no account locked."""


class Backoff:
    """`chance` returns a float in [0, 1); it is asked once for each wait."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._tries = 0

    def pause_s(self, *, is_denied: bool) -> float:
        return self.denied_s() if is_denied else self.next_s()

    def next_s(self) -> float:
        limit: float = min(LONGEST_S, FIRST_S * (1 << min(self._tries, 16)))
        self._tries += 1
        return limit * (0.5 + self._chance() / 2)

    def denied_s(self) -> float:
        return DENIED_S * (0.75 + self._chance() / 2)

    def reset(self) -> None:
        self._tries = 0
