"""The watch: once a second it notes how the own follower does and asks the listed processes. Requests only read it."""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from typing import Final

from app.knowledge import Knowledge
from app.settings import ComponentSection
from app.site.board import Board
from app.site.fetch import SYSTEM_CAS, get_json
from app.site.history import History, Sample
from app.site.rates import Rates
from versioning.backends.tls import TlsFiles
from versioning.entries import Change, Entry, Heartbeat

POLL_S: Final = 1.0
RATES_SPAN_MS: Final = 10_000
RECENT_MAX: Final = 100


class SiteWatch:
    def __init__(
        self, knowledge: Knowledge, components: Sequence[ComponentSection], tls: TlsFiles = SYSTEM_CAS
    ) -> None:
        self.board = Board(components, knowledge.clock, fetch=partial(get_json, tls=tls))
        self.history = History()
        self.recent: deque[Entry] = deque(maxlen=RECENT_MAX)
        """The newest entries that are no heartbeats, oldest first."""
        self._knowledge = knowledge
        self._counts: Counter[str] = Counter(changes=0, keys=0)
        self._rates = Rates(RATES_SPAN_MS)
        knowledge.follower.entry_callbacks.append(self._take)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            async with asyncio.TaskGroup() as tasks:
                # The pace is kept however long the answers take.
                tasks.create_task(asyncio.sleep(POLL_S))
                tasks.create_task(self.board.ask_all())

    def look(self) -> None:
        """Note how the follower does now."""
        now, index = self._knowledge.clock(), self._knowledge.index
        self._rates.add(now.monotonic_ms, dict(self._counts))
        rates = self.rates()
        if not self._knowledge.follower.is_covered:
            return  # Nothing is observed before the window is read; that is no lag.
        self.history.add(
            Sample(
                now.ms,
                index.liveness.lag_ms(now),
                index.liveness.replica_lag_ms(now),
                rates["changes"],
                rates["keys"],
                index.pending_count,
            )
        )

    def rates(self) -> dict[str, float]:
        """Changes and keys per second, over the last ten."""
        return self._rates.per_s() or dict.fromkeys(self._counts, 0.0)

    def _take(self, entry: Entry) -> None:
        if isinstance(entry.body, Heartbeat):
            return
        self.recent.append(entry)
        # What settles a pending key is the same change once more.
        if isinstance(entry.body, Change) and not entry.body.settled:
            self._counts["changes"] += 1
            self._counts["keys"] += len(entry.body.keys)
