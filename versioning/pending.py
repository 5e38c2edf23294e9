"""Names whose data some replica lacks (P4), by the latest word on each; an index has two, of keys and of namespaces.

A bump (no GTID behind it) says nothing of the replicas. So while older entries are taken in, newest first, a name that
only bumps have named is kept as silent: the next older entry that speaks decides. All other names that are known are
decided already.
"""

from collections.abc import Container, Iterable

from versioning.entries import Change, Generation


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
        if body.pending:
            self.names.update(names)
        elif body.gtid or body.settled:
            self.names.difference_update(names)
        else:
            if self.is_covering:
                self.silent.update(name for name in names if name not in known)
            return
        self.silent.difference_update(names)

    def older(self, names: Iterable[str], body: Change | Generation, known: Container[str]) -> None:
        """Take in the entry below all others; ``known`` are the names of those above it."""
        for name in names:
            if name in known and name not in self.silent:
                continue
            if body.pending:
                self.names.add(name)
            if body.pending or body.gtid or body.settled:
                self.silent.discard(name)
            else:
                self.silent.add(name)

    def clear(self) -> None:
        self.end_covering()
        self.names.clear()
