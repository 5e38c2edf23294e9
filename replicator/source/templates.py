"""Key templates that change while a source runs: read again when asked, refused when bad, never mixed with the old.

How the sources of one stream change over, one after the other:

1. The first one is asked (SIGHUP). It reads its settings again, ends its binlog connection and appends, at the stream's
   checkpoint and in one append, a generation of every namespace whose templates differ, with the digest of the new
   ones. Everything before that position was stamped by the old templates, everything behind it is by the new.
2. The next append of the others is refused for its digest. They write nothing, and read their own settings again every
   few seconds, until these give the stream's digest; then they go on from the stream's checkpoint.

Only who was asked may change the digest of a stream, and once per asking: two files that differ never take turns. Where
the stream loses that change (a failover) who made it makes it again, by itself: it was asked, and nobody has been since
(`Appender.may_change_again`). Whoever is refused may be asked too, though its templates are in force there already; and
where the stream loses its templates altogether (a flush) it lets those go first who have them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from replicator.errors import SourceError
from replicator.tables import WatchedTables
from versioning.client.waiting import wait
from versioning.errors import ConfigError

LOOK_AGAIN_S: Final = 2.0
"""While refused: a look costs one small file, and one small read of the stream's Redis where the file has changed."""

GIVE_WAY_LOOKS: Final = 5
"""So often, 10 s, whoever was refused leaves a stream without templates (flushed) to those who have its last ones: they
are back within the longest backoff, 5 s. Then it takes the stream: whoever does so replays the window.
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Change:
    """What new templates make of a stream's old entries."""

    namespaces: tuple[str, ...]
    """Whose values may lack changes: to be aged out."""
    reason: str


@dataclass(frozen=True, slots=True)
class InForce:
    """One state of the templates, replaced whole: a connection keeps to the one that it began with."""

    tables: WatchedTables
    before: WatchedTables | None = None
    may_adopt: bool = False
    """A person has asked for these tables, whatever the stream was written with; true until that is done."""

    def change_from(self, digest: str) -> Change:
        """Return what to age out in a stream that was written with the templates of ``digest``."""
        before = self.before
        is_known = before is not None and before.digest() == digest
        namespaces = self.tables.namespaces if before is None or not is_known else _differing(before, self.tables)
        what = "key templates changed" if is_known else "key templates taken over"
        return Change(tuple(sorted(namespaces)), f"{what}: {digest[:12]} to {self.tables.digest()[:12]}")


class Templates:
    def __init__(
        self, tables: WatchedTables, read: Callable[[], WatchedTables] | None = None, *, may_adopt: bool = False
    ) -> None:
        """``read`` reads the settings again, and raises ConfigError or SourceError for what cannot be watched.

        Without it the tables stay what they are.
        """
        self.current = InForce(tables, may_adopt=may_adopt)
        self._read = read
        self._asked = asyncio.Event()
        self._refused_for = ""
        """The digest that the stream had when it refused ours; empty once it has taken them since."""
        self._bare_looks = 0
        """How often in a row the stream had none at all since."""
        self._refusal = ""

    @property
    def can_change(self) -> bool:
        return self._read is not None

    def ask(self) -> None:
        """Somebody has changed the settings."""
        self._asked.set()

    def done(self, state: InForce) -> None:
        """The stream has taken the templates of this state: the right to change it is spent."""
        self._refused_for = ""
        if self.current is state:
            self.current = replace(state, may_adopt=False)

    def standing(self, digest: str) -> str:
        """Return the digest to go by: the stream's own or, where it has none any more, for a while its last one."""
        if digest or not self._refused_for:
            self._bare_looks = 0
            return digest
        self._bare_looks += 1
        return self._refused_for if self._bare_looks <= GIVE_WAY_LOOKS else ""

    async def asked_for(self) -> None:
        """Return when there are new tables in force, or the old ones anew, because somebody asked."""
        while True:
            await self._asked.wait()
            if await self._look():
                return

    async def look_again(self, wanted: str) -> None:
        """The stream has the digest ``wanted``: look whether the settings give it by now, or somebody asks."""
        self._refused_for = wanted
        await wait(self._asked, LOOK_AGAIN_S)
        await self._look(only=wanted)

    async def _look(self, *, only: str = "") -> bool:
        """Whether there is a new state. Unless somebody asked, only tables of the digest ``only`` are taken."""
        is_asked = self._asked.is_set()
        self._asked.clear()
        assert self._read is not None  # noqa: S101
        try:
            tables = await asyncio.to_thread(self._read)
        except asyncio.CancelledError:  # the connection has ended meanwhile: the next one is asked again
            if is_asked:
                self._asked.set()
            raise
        except (ConfigError, SourceError) as error:
            self._refuse(str(error), is_asked=is_asked)
            return False
        digest, current = tables.digest(), self.current
        is_new = digest != current.tables.digest()
        if is_new and (is_asked or digest == only):
            self.current = InForce(tables, current.tables, is_asked)
        elif is_asked and self._refused_for:
            self.current = replace(current, may_adopt=True)
        else:
            if is_asked:
                _log.info("templates_unchanged", digest=digest[:12])
            return False
        _log.info("templates_read", digest=digest[:12], namespaces=sorted(tables.namespaces))
        return True

    def _refuse(self, refusal: str, *, is_asked: bool) -> None:
        if is_asked or refusal != self._refusal:
            _log.error("templates_refused", error=refusal, hint="the old ones stay in force; mend it and ask again")
        self._refusal = refusal


def _differing(before: WatchedTables, after: WatchedTables) -> frozenset[str]:
    """Namespaces that some row change names by one of them and not by the other."""
    return frozenset(namespace for namespace, *_ in _made(before) ^ _made(after))


def _made(tables: WatchedTables) -> frozenset[tuple[str, str, str]]:
    return frozenset(
        (template.namespace, str(spec.name), template.text) for spec in tables.specs for template in spec.templates
    )
