"""I6: for one change of one key, one load; and nothing that goes wrong makes a process load a key again and again.

A process that has loaded a key does so again only after the stream had a new word on it, or when the value has become
too old to be served unproven. Without a fault the same holds for all processes together, but for cold keys, which need
no lease (P10); and a change is stamped once: stamped twice, it would be loaded twice. But where mirrors know of no
databases it is stamped again after each delay.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING

from tests.simulation import limits
from tests.simulation.checkers.base import Checker
from tests.simulation.history import LoadBegun
from tests.simulation.process import BASE_MS
from tests.simulation.world import World
from versioning.entries import Change, Entry
from versioning.limits import DEGRADED_JITTER_MIN
from versioning.pending import word_of
from versioning.spread import moment_ms
from versioning.stamp import STAMP_MAX

if TYPE_CHECKING:
    from tests.simulation.streams import StreamServer

AGAIN_S = limits.CACHE.degraded_ttl_ms / 1000 * DEGRADED_JITTER_MIN - 1.1
"""The youngest that an unproven value is too old at; a clock may step by a second meanwhile."""

CLOCKS_MS = 600
"""A reader's clock may be that far ahead when a key's moment in a generation comes."""


class NoStorm(Checker):
    name = "I6"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._last: dict[Hashable, tuple[float, tuple[int, int]]] = {}

    def on_append(self, server: "StreamServer", entries: list[Entry]) -> None:
        world = self.world
        if not world.is_calm or world.is_timed or server is not world.stream_b:
            return
        for entry in entries:
            keys = entry.body.keys if isinstance(entry.body, Change) else ()
            for key in keys:
                *earlier, last = world.history.namings[key]
                if any(naming.number == last.number for naming in earlier):
                    self.violate(f"nothing has failed, and commit {last.number} is stamped twice for {key}")

    def on_load(self, begun: LoadBegun) -> None:
        if begun.is_forced and begun.has_forgotten:
            # What comes of it is vouched for by nobody, and takes the place of what was.
            self._last.pop((begun.reader, begun.incarnation, begun.key), None)
        if begun.is_forced or self._is_pending(begun.key, begun.watermark) or self._is_pending(begun.key, STAMP_MAX):
            return
        is_shared = self.world.is_calm and not begun.is_cold
        who = "all processes" if is_shared else begun.reader
        by: Hashable = (begun.key,) if is_shared else (begun.reader, begun.incarnation, begun.key)
        # What a follower forgets between verdict and load may be the reason, even where the stream has lost it.
        words = self._words(begun, STAMP_MAX if begun.has_forgotten else begun.watermark)
        last_s, last_words = self._last.get(by, (-AGAIN_S, (-1, -1)))
        self._last[by] = (begun.at_s, self._words(begun, begun.fill_stamp))
        if self._is_bumped(begun.key, begun.fill_stamp):
            # What was said before that the process may not have read yet: such a value is provisional, too.
            del self._last[by]
        is_again = words == last_words and begun.at_s - last_s < AGAIN_S
        if is_again and not self._is_pending_by_what_is_left(begun.key):
            self.violate(
                f"{begun.reader} loads {begun.key}, which {who} loaded {begun.at_s - last_s:.3f} s ago, "
                "and nothing was said of it since"
            )

    def on_load_failed(self, begun: LoadBegun) -> None:
        self._last.pop((begun.reader, begun.incarnation, begun.key), None)

    def _is_pending(self, key: str, until: int) -> bool:
        """Such a value is provisional: it lives for a second. So does what was loaded just before it was settled."""
        return any(
            is_pending
            for words in self._said_of(key)
            for is_pending in [is_pending for stamp, is_pending in words if stamp <= until][-3:]
        )

    def _is_bumped(self, key: str, fill_stamp: int) -> bool:
        """Whether the last that was said of it up to there says nothing of the replicas."""
        history, namespace = self.world.history, key.partition(":")[0]
        named = history.namings.get(key, ())[: history.namings_until(key, fill_stamp)][-1:]
        aged = [body for stamp, body in history.agings if stamp <= fill_stamp and namespace in body.namespaces][-1:]
        return any(not naming.number for naming in named) or any(word_of(body) is None for body in aged)

    def _is_pending_by_what_is_left(self, key: str) -> bool:
        """A failover may take back that it was settled. What was trimmed a process may have read before."""
        lost = self.world.history.lost
        return any(
            next((is_pending for stamp, is_pending in reversed(words) if stamp not in lost), False)
            for words in self._said_of(key)
        )

    def _said_of(self, key: str) -> tuple[list[tuple[int, bool]], list[tuple[int, bool]]]:
        """Return stamps, and whether they left it pending: of what names the key, and of its generations."""
        history, namespace = self.world.history, key.partition(":")[0]
        named = [(naming.stamp, naming.is_pending) for naming in history.namings.get(key, ())]
        aged = [
            (stamp, body.pending)
            for stamp, body in history.agings
            if namespace in body.namespaces and word_of(body) is not None
        ]
        return named, aged

    def _words(self, begun: LoadBegun, watermark: int) -> tuple[int, int]:
        """Count what was said up to the watermark: entries that name the key, and generations whose moment has come."""
        history, namespace = self.world.history, begun.key.partition(":")[0]
        now_ms = BASE_MS + int(begun.at_s * 1000) + CLOCKS_MS
        aged = sum(
            stamp <= watermark
            and namespace in body.namespaces
            and moment_ms(begun.key, body.start_ms, body.spread_ms) <= now_ms
            for stamp, body in history.agings
        )
        return history.namings_until(begun.key, watermark), aged
