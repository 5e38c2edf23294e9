"""How long to wait before the next try: doubling, jittered, bounded; much longer where only a person can help."""

from collections.abc import Callable

FIRST_S = 0.1
LONGEST_S = 5.0
STAND_BACK_S = 0.02
"""How long a refused writer leaves the stream to the other one of its kind, which was faster. Under load it is then
refused once in so many milliseconds, not at every entry; when the other one dies, nothing comes later than by this."""

DENIED_S = 30.0
"""A refused login is tried again this seldom: no storm, and no account locked."""


class Backoff:
    """`chance` returns a float in [0, 1)."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._tries = 0

    def next_s(self) -> float:
        limit: float = min(LONGEST_S, FIRST_S * (1 << min(self._tries, 16)))
        self._tries += 1
        return limit * (0.5 + self._chance() / 2)

    def denied_s(self) -> float:
        return DENIED_S * (0.75 + self._chance() / 2)

    def reset(self) -> None:
        self._tries = 0
