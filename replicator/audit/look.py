"""One look at one key: what is in Redis, what a reader would make of it, and what the row says."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from replicator.audit.check import Check, Checks
from replicator.audit.judge import (
    EQUAL,
    FOREIGN,
    MISSING,
    OVERTAKEN,
    UNCHECKED,
    UNREADABLE,
    Outcome,
    Result,
    difference,
    is_equal,
    is_served,
    no_answer,
    refusal,
)
from replicator.errors import SourceError
from versioning import header
from versioning.backends.base import BackendError
from versioning.errors import ConfigError, HeaderFormatError
from versioning.header import ValueHeader
from versioning.index import Index
from versioning.limits import CLOCK_ERROR_MS
from versioning.liveness import Now
from versioning.verdict import Verdict

CONFIRM_EVERY_S: Final = 0.1


class Values(Protocol):
    async def get(self, key: str) -> bytes | None: ...


class RowSource(Protocol):
    async def value(self, check: Check, arguments: tuple[object, ...]) -> Any: ...


@dataclass(frozen=True, slots=True)
class Sight:
    outcome: Outcome
    header: ValueHeader | None = None
    verdict: Verdict | None = None
    data: bytes = b""


class Looker:
    def __init__(
        self,
        index: Index,
        values: Values,
        rows: RowSource | None,
        checks: Checks,
        *,
        clock: Callable[[], Now],
        degraded_ttl_ms: int,
    ) -> None:
        self._index = index
        self._values = values
        self._rows = rows
        self._checks = checks
        self._clock = clock
        self._degraded_ttl_ms = degraded_ttl_ms

    async def look(self, key: str, confirm_ms: int) -> Sight:
        """Look, and again for ``confirm_ms`` at least where it seems wrong. No answer or value is a doubt."""
        try:
            return await self._look(key, confirm_ms)
        except (BackendError, SourceError, ConfigError) as error:
            return Sight(no_answer(str(error)))

    async def _look(self, key: str, confirm_ms: int) -> Sight:
        first = sight = await self.once(key)
        began = self._clock()
        while confirm_ms and sight.outcome.result is Result.WRONG and not self._is_confirmed(sight, began, confirm_ms):
            await asyncio.sleep(CONFIRM_EVERY_S)
            sight = await self.once(key)
            # The row may be read behind a commit whose stamp is under way, and behind a lagging replica.
            if sight.outcome.result is not Result.WRONG or sight.data != first.data:
                return Sight(OVERTAKEN, sight.header, sight.verdict, sight.data)
        return sight

    def _is_confirmed(self, sight: Sight, began: Now, confirm_ms: int) -> bool:
        """Whether no stamp under way can excuse it any more.

        As an outage begins, stamps stand still, and what they supersede is FRESH for up to ``max_lag``. So of a FRESH
        value a heartbeat must say that the source has read all there was when the row was read.
        """
        has_read = self._index.liveness.read_ms >= began.ms + CLOCK_ERROR_MS
        is_over = self._clock().monotonic_ms - began.monotonic_ms >= confirm_ms
        return is_over and (has_read or sight.verdict is not Verdict.FRESH)

    async def once(self, key: str) -> Sight:
        """Raises BackendError, SourceError, and ConfigError where the statement gives no JSON."""
        data = await self._values.get(key)
        if data is None:
            return Sight(MISSING)
        try:
            head, payload = header.unpack(data)
        except HeaderFormatError:
            return Sight(FOREIGN, data=data)
        now = self._clock()
        judged = verdict, _ = self._index.judge(key, head.fill_stamp, now)
        if not is_served(judged, key, head, now.ms, self._degraded_ttl_ms):
            return Sight(refusal(verdict, is_lagging=self._index.is_lagging(now)), head, verdict, data)
        return Sight(await self._compared(key, head, verdict, payload), head, verdict, data)

    async def _compared(self, key: str, head: ValueHeader, verdict: Verdict, payload: bytes) -> Outcome:
        check = self._checks.of(key)
        if check is None or self._rows is None:
            return UNCHECKED
        try:
            cached = None if head.is_absent else json.loads(payload)
        except ValueError:
            return UNREADABLE
        return EQUAL if is_equal(cached, await self._rows.value(*check)) else difference(verdict)
