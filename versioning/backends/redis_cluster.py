"""The driver's asyncio client of a cluster, used so that one failure does not make the next.

Where a command fails, the driver closes the idle connections of its node, and before the next one it reads the topology
anew; it does both beside other commands, which take the connections it is closing and fail in turn. Twenty readers that
begin at once keep that going for as long as there are readers, on a cluster that lacks nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import redis.exceptions

from versioning.backends.redis_border import RAISED

_ELSEWHERE: Final = (redis.exceptions.AskError, redis.exceptions.ClusterError)
"""Answers that the slot is, or may soon be, at another node. All others leave what is known as it is."""

AT_ONCE_MAX: Final = 64
"""Commands. The driver has a hundred connections for each node, and refuses whoever comes when all are in use."""

_HARMLESS: Final = (redis.exceptions.ResponseError, redis.exceptions.MaxConnectionsError)
"""Says nothing of a node: that one answered, or that it was not asked."""


class ClusterClient:
    """Law: the topology is read at the start and after each failure, and only while no command is under way."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._is_known = False
        self._learning: asyncio.Task[None] | None = None
        self._under_way = 0
        self._is_quiet = asyncio.Event()

    async def ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        """Return the reply to a command of this client. Raises what the driver raises on purpose."""
        async with self._turns:
            try:
                return await self._ask(command)
            except redis.exceptions.MovedError:  # The driver follows those of its own commands, not of what we send it.
                return await self._ask(command)

    def forget(self) -> None:
        """What was known of the topology has led nowhere: read it before the next command."""
        self._is_known = False

    async def learn(self) -> None:
        """Read the topology, unless it is known."""
        if not self._is_known:
            await self._learn()

    async def _ask(self, command: Callable[[], Awaitable[Any]]) -> Any:
        await self.learn()
        self._under_way += 1
        try:
            return await command()
        except Exception as error:
            self._is_known &= isinstance(error, _HARMLESS) and not isinstance(error, _ELSEWHERE)
            if isinstance(error, RAISED):
                raise
            # Its own mistake: a connection that was closed by another command is None to it.
            raise redis.exceptions.ConnectionError(f"the driver failed: {error}") from error
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_quiet.set()

    async def _learn(self) -> None:
        """Once for all who wait; whoever of them is cancelled takes nobody along."""
        if self._learning is None:
            self._learning = asyncio.create_task(self._learn_alone(), name="stampline-topology")
            self._learning.add_done_callback(self._end_learning)
        await asyncio.shield(self._learning)

    async def _learn_alone(self) -> None:
        while self._under_way:
            self._is_quiet.clear()
            await self._is_quiet.wait()
        await self._client.aclose()  # Else the driver asks nobody, unless it has seen the failure itself.
        await self._client.initialize()
        self._is_known = True

    def _end_learning(self, task: asyncio.Task[None]) -> None:
        self._learning = None
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits any more

    async def aclose(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait((self._learning,))
