"""What a gap hides from a replay (P3): all that it stands for, if the replay was made before it.

A mirror that begins anew copies old replays of the origin once more, behind gaps of the target stream that stand for
what came after them.
"""

from dataclasses import dataclass, field

from replicator.mirror.words import Mark, just_after
from versioning import stamp as stamps


@dataclass(slots=True)
class Hidden:
    _gaps: list[tuple[int, int]] = field(default_factory=list)
    """Pairs of stamps: in the origin's stream, descending, and in the target, ascending. A newer gap stands for what
    the older ones do whose stamp in the origin is not above its own, so it takes their place."""

    def take(self, gap: Mark) -> None:
        """Take in the next gap of the target stream that is the origin's, or in its place."""
        while self._gaps and self._gaps[-1][0] <= gap.origin_stamp:
            self._gaps.pop()
        self._gaps.append((gap.origin_stamp, gap.stamp))

    def claimable_ms(self, replay: int) -> int:
        """Return since when (Unix ms) a replay of this stamp in the origin's stream may be claimed.

        A mirror's own gap has the place of the entry in front of it.
        """
        here = next((here for there, here in reversed(self._gaps) if there >= replay), stamps.ZERO)
        return just_after(here) if here else 0
