"""The observer's loop: changes come from the follower, looks fall due, outcomes are counted and wrong values named."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from replicator.audit.check import Checks
from replicator.audit.judge import BUSY, Outcome, Result, of_change
from replicator.audit.look import Looker
from replicator.audit.schedule import Look, Schedule
from replicator.audit.tally import Tally
from versioning import stamp as stamps
from versioning.backends.base import StreamBackend
from versioning.client.follower import Follower
from versioning.client.waiting import wait
from versioning.entries import Change, Entry
from versioning.keys import namespace_of
from versioning.liveness import Now

TICK_S: Final = 0.05
LOOKS_MAX: Final = 64
"""Looks at one time; one more would only wait for the database's single connection."""

log = structlog.get_logger()


class Observer:
    def __init__(
        self,
        looker: Looker,
        schedule: Schedule,
        checks: Checks,
        *,
        clock: Callable[[], Now],
        confirm_ms: int,
    ) -> None:
        self.tally = Tally()
        self._looker = looker
        self._schedule = schedule
        self._checks = checks
        self._clock = clock
        self._confirm_ms = confirm_ms
        self._last_doubt = ""
        self._looks: set[asyncio.Task[None]] = set()

    def follow(self, follower: Follower) -> None:
        follower.entry_callbacks.append(self.offer)

    def offer(self, entry: Entry) -> None:
        """Take a change into the sample, where the rate allows and a check knows a key of it."""
        now_ms = self._clock().monotonic_ms
        if not isinstance(entry.body, Change) or not self._schedule.is_open(now_ms):
            return
        keys = [key for key in entry.body.keys if self._checks.of(key) is not None]
        if keys:
            self._schedule.take(keys, entry.stamp, now_ms)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until ``stop``; looks that are not due by then are not made."""
        try:
            while not stop.is_set():
                for look in self._schedule.due(self._clock().monotonic_ms):
                    self._begin(look)
                await wait(stop, TICK_S)
        finally:
            for task in self._looks:
                task.cancel()
            await asyncio.gather(*self._looks, return_exceptions=True)

    def _begin(self, look: Look) -> None:
        if len(self._looks) >= LOOKS_MAX:
            self.tally.add(namespace_of(look.key), look.after_s, BUSY)
            self._doubt(BUSY)
            return
        task = asyncio.create_task(self._look(look))
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    async def _look(self, look: Look) -> None:
        sight = await self._looker.look(look.key, self._confirm_ms)
        outcome = of_change(look.stamp, sight.outcome, sight.header)
        self.tally.add(namespace_of(look.key), look.after_s, outcome)
        if outcome.result is Result.INCONCLUSIVE:
            self._doubt(outcome)
        elif outcome.result is Result.WRONG:
            fill = stamps.text(sight.header.fill_stamp) if sight.header else None
            log.error(
                "wrong_value_seen",
                key=look.key,
                after_s=look.after_s,
                stamp=stamps.text(look.stamp),
                fill_stamp=fill,
                reason=outcome.reason,
                hint=f"stampline audit --key {look.key}",
            )

    def _doubt(self, outcome: Outcome) -> None:
        if outcome.reason != self._last_doubt:
            self._last_doubt = outcome.reason
            log.warning("look_inconclusive", reason=outcome.reason)


async def history_of(stream: StreamBackend, matches: Callable[[Entry], bool], most: int) -> tuple[Entry, ...]:
    """Return the newest entries that match, newest first. Reads the whole stream where there are fewer."""
    found: list[Entry] = []
    before: int | None = None
    while len(found) < most:
        page = await stream.read_before(before, count=1_000)
        if not page:
            break
        found += [entry for entry in page if matches(entry)]
        before = page[-1].stamp
    return tuple(found[:most])
