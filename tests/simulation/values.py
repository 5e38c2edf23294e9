"""The Redis of the cached values, and a process's connection to it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tests.simulation.network import Line, Server
from tests.simulation.process import BASE_MS
from versioning.backends.base import Answer, Fill
from versioning.backends.memory import MemoryValues

if TYPE_CHECKING:
    from tests.simulation.world import World


class ValueServer(Server):
    def __init__(self, world: "World") -> None:
        super().__init__("values", world.loop, world.rng)
        self.store = MemoryValues(self.now_ms)

    def now_ms(self) -> int:
        return BASE_MS + int(self.loop.time() * 1000)


class ValueClient:
    """An ``AsyncValueBackend``."""

    def __init__(self, server: ValueServer, line: Line) -> None:
        self._store = server.store
        self._line = line

    async def _ask(self, operation: Callable[[], Any]) -> Any:
        return await self._line.ask(operation)

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._ask(lambda: self._store.get(key))
        return found

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        found: list[bytes | None] = await self._ask(lambda: self._store.get_many(keys))
        return found

    async def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        answers: list[Answer] = await self._ask(lambda: self._store.try_lease(seen, token, ttl_ms))
        return answers

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        stored: list[bool] = await self._ask(lambda: self._store.fill(fills))
        return stored

    async def release(self, keys: Sequence[str], token: str) -> None:
        await self._ask(lambda: self._store.release(keys, token))

    async def aclose(self) -> None:
        """Nothing to close."""
