"""Names whose data some replica lacks (P4), by the latest word on each; an index has two, of keys and of namespaces.
And the gap that stands for all names.

A bump (no GTID behind it) says nothing of the replicas. So while older entries are taken in, newest first, a name that
only bumps have named is kept as silent: the next older entry that speaks decides. All other names that are known are
decided already.
"""

from collections.abc import Container, Iterable

from versioning import stamp as stamps
from versioning.entries import Change, Gap, Generation, Replayed


def word_of(body: Change | Generation) -> bool | None:
    """Return whether some replica may lack its data; None: it says nothing of the replicas (a bump)."""
    return body.pending if body.pending or body.gtid or body.settled else None


class Pending:
    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.names: set[str] = set()
        self.is_covering = False

    def begin_covering(self) -> None:
        self.is_covering = True

    def end_covering(self) -> None:
        self.is_covering = False
        self.silent.clear()

    def newer(self, names: Iterable[str], body: Change | Generation, known: Container[str]) -> None:
        """Take in the next entry; ``known`` are the names of those before it."""
        word = word_of(body)
        if word is None:
            if self.is_covering:
                self.silent.update(name for name in names if name not in known)
            return
        if word:
            self.names.update(names)
        else:
            self.names.difference_update(names)
        self.silent.difference_update(names)

    def older(self, names: Iterable[str], body: Change | Generation, known: Container[str]) -> None:
        """Take in the entry below all others; ``known`` are the names of those above it."""
        word = word_of(body)
        for name in names:
            if name in known and name not in self.silent:
                continue
            if word:
                self.names.add(name)
            if word is None:
                self.silent.add(name)
            else:
                self.silent.discard(name)

    def forget(self, name: str) -> None:
        self.names.discard(name)

    def clear(self) -> None:
        self.end_covering()
        self.names.clear()


class PendingGap:
    """The last gap, as long as some replica may lack what it stands for, whatever the key.

    It ends with one that is not pending, and by a settled replay. A gap without position says nothing of one that has:
    pending, it waits for that one's position too.
    """

    def __init__(self) -> None:
        self.stamp = stamps.ZERO
        """``stamp.ZERO``: there is none."""
        self._gtid = ""
        self._is_decided = self._is_plain_seen = False

    def begin_covering(self) -> None:
        self._is_decided = self._is_plain_seen = False

    def newer(self, stamp: int, body: Gap | Replayed) -> None:
        match body:
            case Gap(pending=True):
                self.stamp, self._gtid = stamp, body.gtid or (self._gtid if self.stamp else "")
            case Gap() if body.gtid or not self._gtid:
                self.stamp = stamps.ZERO
            case Replayed(settled=True):
                self.stamp = stamps.ZERO
        self._decide(body)

    def older(self, stamp: int, body: Gap | Replayed) -> None:
        """Take in the entry below all others."""
        if not self._is_decided and isinstance(body, Gap) and body.pending and (body.gtid or not self._is_plain_seen):
            self.stamp, self._gtid = self.stamp or stamp, body.gtid
        self._decide(body)

    def _decide(self, body: Gap | Replayed) -> None:
        if isinstance(body, Replayed):
            self._is_decided |= body.settled
        else:
            self._is_decided |= bool(body.gtid)
            self._is_plain_seen |= not body.pending

    def forget(self, below: int) -> None:
        """Forget one that was not said again for a window: nobody waits for it any more."""
        if self.stamp < below:
            self.stamp = stamps.ZERO
