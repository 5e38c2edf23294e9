"""What must be said again of pending entries: settled when the replicas have the data, renewed where it is forgotten.

A settled entry stamps its keys again, so that whatever was loaded from a replica that lagged is superseded. With no
database listed, time stands in for the replicas: the keys are stamped again after each delay, and settled with the
last.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from replicator.mirror import reasons
from replicator.mirror.gate import IsApplied
from replicator.mirror.options import BATCH_ENTRIES_MAX, BATCH_KEYS_MAX
from replicator.mirror.state import MirrorState
from replicator.mirror.words import Mark, spreading_from
from versioning import stamp as stamps
from versioning.entries import Body, Change, Gap, Generation, Origin

LOOK_ENTRIES: Final = 2_000
"""Pending entries looked at at once, some ms: an hour without a replica leaves hundreds of thousands."""


TAKEN_BACK_MS: Final = 30_000
"""For so long it is left to the mirror that has taken something back to settle it. One whose list of databases differs
would settle it at once, because its own replicas have it, and again and again: all that is pending, each second."""


class Again(NamedTuple):
    body: Body
    origin: Origin | None
    is_settled: bool


Judge = Callable[[Mark], bool | None]
"""True: settled; False: to be renewed; None: not due."""


def judge_by_replicas(state: MirrorState, now_ms: int, is_applied: IsApplied, *, window_ms: int, oldest: int) -> Judge:
    """Where databases are listed.

    ``oldest``: stamp of the oldest entry in the target stream. Of a pending entry trimmed too soon a process that
    starts now would not learn.
    """

    def judge(mark: Mark) -> bool | None:
        if mark.is_placed and is_applied(mark.body.gtid) and not _is_left_to_another(mark, now_ms):
            return True
        # Three chances in a window, and twice the time a follower needs to cover it.
        is_old = now_ms - mark.written_ms >= window_ms // 3 or state.is_forgotten(mark, now_ms)
        return False if is_old or mark.stamp < oldest else None

    return judge


def _is_left_to_another(mark: Mark, now_ms: int) -> bool:
    return mark.is_taken_back and now_ms - stamps.ms_of(mark.stamp) < TAKEN_BACK_MS


def judge_by_time(now_ms: int, delays_ms: Sequence[int]) -> Judge:
    """Where no database is listed."""

    def judge(mark: Mark) -> bool | None:
        *steps, last = (mark.since_ms + delay for delay in delays_ms)
        if now_ms >= last:
            return True
        return False if any(mark.written_ms < step <= now_ms for step in steps) else None

    return judge


class Look:
    """One look at all that is pending, a part at a time. What is said meanwhile is for the next one."""

    def __init__(self, state: MirrorState) -> None:
        self._left = state.pendings()[::-1]

    @property
    def is_over(self) -> bool:
        return not self._left

    def due(self, state: MirrorState, judge: Judge, now_ms: int) -> list[Again]:
        """Return what to write now of the next part: one append at most."""
        found: list[Again] = []
        left, keys = self._left, 0
        for _ in range(min(LOOK_ENTRIES, len(left))):
            mark = left[-1]
            names = state.held_by(mark)
            is_settled = judge(mark) if names or mark is state.gap else None
            if is_settled is not None:
                keys += max(len(names), 1)
                if found and (keys > BATCH_KEYS_MAX or len(found) >= BATCH_ENTRIES_MAX):
                    break
                again = _said_again(mark, names, now_ms, state.is_poisoned, is_settled)
                found.append(Again(again, mark.origin, is_settled))
            left.pop()
        return found


def _said_again(
    mark: Mark,
    names: tuple[str, ...],
    now_ms: int,
    is_poisoned: bool,  # noqa: FBT001
    is_settled: bool,  # noqa: FBT001
) -> Body:
    match mark.body:
        case Change() as change:
            return replace(change, keys=names, pending=not is_settled, settled=is_settled)
        case Generation() as generation:
            # What was loaded while the namespace was pending ends from now on, each key at its moment.
            told = spreading_from(generation, now_ms)
            return replace(told, namespaces=names, pending=not is_settled, settled=is_settled)
        case Gap() as gap:
            reason = reasons.said_again(gap.reason, is_poisoned=is_poisoned)
            return Gap(reason, gap.gtid if is_settled else mark.told_gtid, pending=not is_settled)
