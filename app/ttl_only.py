"""The world without stampline: a local cache over Redis over the loader, by time to live alone. For comparison only.

A value may be as old as both lives together: Redis hands out a value near its end, and the local cache keeps it for a
full life of its own. Same reads, same headers as the real cache; the verdict is always UNKNOWN, for nobody checks.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson
from cachetools import TTLCache

from versioning import header
from versioning import stamp as stamps
from versioning.backends.base import AsyncValueBackend, BackendError, Fill
from versioning.client.clock import system_clock
from versioning.errors import HeaderFormatError
from versioning.header import ValueHeader
from versioning.liveness import Now
from versioning.read import Read, Tier
from versioning.verdict import Verdict

PREFIX: Final = "ttl:"

Loader = Callable[[], Awaitable[Any]]


class TtlOnlyCache:
    def __init__(
        self,
        values: AsyncValueBackend,
        *,
        local_ttl_ms: int,
        redis_ttl_ms: int,
        local_max_entries: int,
        clock: Callable[[], Now] = system_clock,
    ) -> None:
        self._values = values
        self._redis_ttl_ms = redis_ttl_ms
        self._clock = clock
        self._local: TTLCache[str, tuple[Any, int]] = TTLCache(
            local_max_entries, local_ttl_ms, timer=lambda: clock().monotonic_ms
        )
        self._flights: dict[str, asyncio.Task[Read]] = {}
        self._counts: Counter[str] = Counter()

    async def start(self) -> None:
        """Nothing to follow."""

    async def aclose(self) -> None:
        await self._values.aclose()

    async def get(self, key: str, loader: Loader) -> Any:
        return (await self.read(key, loader)).value

    async def read(self, key: str, loader: Loader) -> Read:
        held = self._local.get(key)
        if held is not None:
            return self._read(Tier.LOCAL, *held)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fetch(key, loader))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    def info(self) -> dict[str, int]:
        return dict(self._counts)

    async def _fetch(self, key: str, loader: Loader) -> Read:
        now = self._clock()
        found = await self._stored(key)
        tier = Tier.REDIS
        if found is None:
            tier, found = Tier.LOADED, (await loader(), now.ms)
            await self._store(key, *found)
        self._local[key] = found
        return self._read(tier, *found)

    async def _stored(self, key: str) -> tuple[Any, int] | None:
        try:
            data = await self._values.get(key)
            if data is None:
                return None
            head, payload = header.unpack(data)
        except (BackendError, HeaderFormatError):
            self._counts["redis_errors"] += 1
            return None
        return (None if head.is_absent else orjson.loads(payload)), head.fill_ms

    async def _store(self, key: str, value: Any, fill_ms: int) -> None:
        head = ValueHeader(stamps.ZERO, fill_ms, is_absent=value is None)
        data = header.pack(head, b"" if value is None else orjson.dumps(value))
        try:
            await self._values.fill([Fill(key, data, self._redis_ttl_ms)])
        except BackendError:
            self._counts["redis_errors"] += 1

    def _read(self, tier: Tier, value: Any, fill_ms: int) -> Read:
        self._counts[tier.value] += 1
        return Read(value, tier, stamps.ZERO, Verdict.UNKNOWN, max(self._clock().ms - fill_ms, 0))
