"""What a database has answered: a word of another mirror's may come seconds after it was true.

A database that went back after that word and has caught up since shows it in the answers between only.
"""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from replicator.position import Position

SAMPLE_MS: Final = 250
KEPT: Final = 64
"""16 s: longer than between two looks at the stream (``check_ms``), a wait of the gate, clocks a second apart."""


@dataclass(slots=True)
class _Answer:
    begun_ms: int
    asked_ms: int
    """Monotonic: when the last question was asked that had it."""
    position: Position


@dataclass(slots=True)
class Answers:
    """Times are monotonic."""

    _first: _Answer | None = None
    _last: deque[_Answer] = field(default_factory=lambda: deque(maxlen=KEPT))
    """One for each ``SAMPLE_MS``, fewer where nothing has changed."""

    def take(self, asked_ms: int, position: Position) -> None:
        if self._first is None:
            self._first = _Answer(asked_ms, asked_ms, position)
        last = self._last[-1] if self._last else None
        if last is None or (last.position != position and asked_ms - last.begun_ms >= SAMPLE_MS):
            self._last.append(_Answer(asked_ms, asked_ms, position))
        else:
            last.asked_ms, last.position = asked_ms, position

    def after(self, ms: int) -> Position | None:
        """Return the first known answer to a question that was asked later; None where none was."""
        if self._first is not None and self._first.asked_ms > ms:
            return self._first.position
        if not self._last or self._last[-1].asked_ms <= ms:  # As where the word came at once.
            return None
        return self._last[bisect_right(self._last, ms, key=_asked_ms)].position


def _asked_ms(answer: _Answer) -> int:
    return answer.asked_ms
