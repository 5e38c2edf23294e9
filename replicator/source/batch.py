"""From what was read to what is appended: pure, so that a refused batch is simply planned again from a new checkpoint.

A batch is whole transactions and the checkpoint behind the last of them. Transactions the checkpoint covers already
(another source was first) make no entries. A heartbeat joins when the last one is `heartbeat_ms` old.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from replicator.source.anchor import Anchor
from replicator.source.commit_times import AHEAD_MAX_MS, HEADER_LAG_MS
from replicator.source.handover import Item
from replicator.source.progress import Progress, Replay
from replicator.source.transaction import Transaction
from versioning.entries import Body, Change, Generation, Heartbeat, Replayed

# Commit times are whole seconds: a commit shown as second s may have happened up to its end.
SECOND_MS = 1_000
# Heartbeats of the server come every `heartbeat_ms`, give or take; nearly that old is old enough.
_DUE = 0.8


@dataclass(frozen=True, slots=True)
class Rules:
    heartbeat_ms: int
    keys_per_entry: int
    generation_spread_ms: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Batch:
    bodies: tuple[Body, ...]
    progress: Progress
    read_ms: int
    """Time of the last heartbeat, in this batch or before it."""
    proven_ms: int
    """Up to when the items show the binlog to be read; 0 when they show nothing."""
    covered: int
    """Transactions left out because the checkpoint covers them."""
    is_untold: bool = False
    """Some entry's transaction is in no position: out of order, or without a GTID."""


def plan(items: Iterable[Item], progress: Progress, read_ms: int, *, rules: Rules, now_ms: int) -> Batch:
    """What to append for these items when the stream's checkpoint is (`progress`, `read_ms`)."""
    bodies: list[Body] = []
    position, anchors = progress.position, progress.anchors
    proven_ms, covered, is_untold = 0, 0, False
    for item in items:
        if isinstance(item, Transaction):
            if item.gtid and position.includes(item.gtid) and not item.is_out_of_order:
                covered += 1
            else:
                bodies += _bodies(item, progress.replay, rules, now_ms)
                is_untold |= item.is_out_of_order or not item.gtid
        if item.position.covers(position):
            position, anchors = item.position, _newest(item)
            proven_ms = max(proven_ms, item.read_ms)
        elif isinstance(item, Transaction) and item.gtid and not position.includes(item.gtid):
            # The checkpoint is of a source that reads another server of the same set: only add what was read here.
            unread = (anchor for anchor in anchors if not item.position.includes(anchor.gtid))
            position, anchors = position.after(item.gtid), (*_newest(item), *unread)
    has_moved = position != progress.position
    progress = progress.come_to(position, anchors)
    proven_ms = min(proven_ms, now_ms)
    if progress.replay is not None and proven_ms >= progress.replay.until_ms + SECOND_MS:
        bodies.append(Replayed(progress.replay.since_ms, str(position)))
        progress = progress.replayed()
    # The last heartbeat of a clock that has been put right since is no bound for the next one.
    bound_ms = 0 if read_ms > now_ms + AHEAD_MAX_MS else read_ms
    if proven_ms - bound_ms >= rules.heartbeat_ms * _DUE:
        bodies.append(Heartbeat(proven_ms, gtid=str(position)))
        read_ms = proven_ms
    if not bodies and has_moved and not proven_ms:
        # Of a backlog nothing is claimed anew; but a connection that is lost in it must not begin it again.
        bodies.append(Heartbeat(read_ms, gtid=str(position)))
    return Batch(tuple(bodies), progress, read_ms, proven_ms, covered, is_untold)


def _newest(item: Item) -> tuple[Anchor, ...]:
    return (item.anchor,) if item.anchor else ()


def _bodies(transaction: Transaction, replay: Replay | None, rules: Rules, now_ms: int) -> list[Body]:
    if replay is not None and 0 < transaction.committed_ms <= replay.until_ms - rules.window_ms - HEADER_LAG_MS:
        return []  # older than any cached copy
    committed_ms = min(transaction.committed_ms, now_ms)
    keys, gtid, most = transaction.keys, transaction.gtid, rules.keys_per_entry
    bodies: list[Body] = [Change(keys[start : start + most], gtid, committed_ms) for start in range(0, len(keys), most)]
    bodies += [
        Generation(namespaces, now_ms, rules.generation_spread_ms, reason, gtid=gtid, committed_ms=committed_ms)
        for reason, namespaces in transaction.generations
    ]
    return bodies
