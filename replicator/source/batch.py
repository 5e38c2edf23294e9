"""From what was read to what is appended: pure, so that a refused batch is simply planned again from a new checkpoint.

A batch is whole transactions and the checkpoint behind the last of them. Transactions the checkpoint covers already
(another source was first) make no entries. A heartbeat joins when the last one is `heartbeat_ms` old.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from replicator.source.handover import Item
from replicator.source.progress import Progress
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


def plan(items: Iterable[Item], progress: Progress, read_ms: int, *, rules: Rules, now_ms: int) -> Batch:
    """What to append for these items when the stream's checkpoint is (`progress`, `read_ms`)."""
    bodies: list[Body] = []
    proven_ms, covered = 0, 0
    for item in items:
        position = progress.position
        if isinstance(item, Transaction):
            if item.gtid and position.includes(item.gtid) and not item.is_out_of_order:
                covered += 1
            else:
                bodies.extend(_bodies(item, progress, rules, now_ms))
        if item.position.covers(position):
            progress = progress.at(item.position, item.anchor)
            proven_ms = max(proven_ms, item.committed_ms if isinstance(item, Transaction) else item.read_ms)
        elif isinstance(item, Transaction) and item.gtid:
            # The checkpoint is of a source that reads another server of the same set: only add what was read here.
            progress = progress.at(position.after(item.gtid), item.anchor)
    proven_ms, position = min(proven_ms, now_ms), progress.position
    if progress.replay is not None and proven_ms >= progress.replay.until_ms + SECOND_MS:
        bodies.append(Replayed(progress.replay.since_ms, str(position)))
        progress = progress.replayed()
    if proven_ms - read_ms >= rules.heartbeat_ms * _DUE:
        bodies.append(Heartbeat(proven_ms, gtid=str(position)))
        read_ms = proven_ms
    return Batch(tuple(bodies), progress, read_ms, proven_ms, covered)


def _bodies(transaction: Transaction, progress: Progress, rules: Rules, now_ms: int) -> Iterator[Body]:
    replay = progress.replay
    if replay is not None and transaction.committed_ms + SECOND_MS <= replay.until_ms - rules.window_ms:
        return  # older than any cached copy
    committed_ms = min(transaction.committed_ms, now_ms)
    keys = transaction.keys
    for start in range(0, len(keys), rules.keys_per_entry):
        yield Change(keys[start : start + rules.keys_per_entry], transaction.gtid, committed_ms)
    for reason, namespaces in transaction.generations:
        yield Generation(
            namespaces, now_ms, rules.generation_spread_ms, reason, gtid=transaction.gtid, committed_ms=committed_ms
        )
