"""What must be said again of pending entries: settled when the replicas have the data, renewed where it is forgotten.

A settled entry stamps its keys again, so that whatever was loaded from a replica that lagged is superseded. With no
database listed, time stands in for the replicas: the keys are stamped again after each delay, and settled with the
last.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from replicator.mirror import reasons
from replicator.mirror.options import BATCH_ENTRIES_MAX, BATCH_KEYS_MAX
from replicator.mirror.queue import IsApplied
from replicator.mirror.state import MirrorState
from replicator.mirror.words import Mark, spreading_from
from versioning.entries import Body, Change, Gap, Generation, Origin


class Again(NamedTuple):
    body: Body
    origin: Origin | None
    is_settled: bool


def due(state: MirrorState, now_ms: int, is_applied: IsApplied, *, window_ms: int, oldest: int) -> list[Again]:
    """Return what to write now, where databases are listed: one append at most.

    ``oldest``: stamp of the oldest entry in the target stream. Of a pending entry trimmed too soon a process that
    starts now would not learn.
    """

    def judge(mark: Mark) -> bool | None:
        if mark.is_placed and is_applied(mark.body.gtid):
            return True
        # Three chances in a window, and twice the time a follower needs to cover it.
        is_old = now_ms - mark.written_ms >= window_ms // 3 or state.is_forgotten(mark, now_ms)
        return False if is_old or mark.stamp < oldest else None

    return _all_due(state, judge, now_ms)


def due_by_time(state: MirrorState, now_ms: int, delays_ms: Sequence[int]) -> list[Again]:
    """The same where no database is listed."""

    def judge(mark: Mark) -> bool | None:
        *steps, last = (mark.since_ms + delay for delay in delays_ms)
        if now_ms >= last:
            return True
        return False if any(mark.written_ms < step <= now_ms for step in steps) else None

    return _all_due(state, judge, now_ms)


def _all_due(state: MirrorState, judge: Callable[[Mark], bool | None], now_ms: int) -> list[Again]:
    found: list[Again] = []
    keys = 0
    for mark, names in state.pendings():
        is_settled = judge(mark)
        if is_settled is None:
            continue
        keys += max(len(names), 1)
        if found and (keys > BATCH_KEYS_MAX or len(found) >= BATCH_ENTRIES_MAX):
            break
        found.append(Again(_said_again(mark, names, now_ms, state.is_poisoned, is_settled), mark.origin, is_settled))
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
            return Gap(reason, gap.gtid, pending=not is_settled)
