"""The cache of a web process in the delete-on-change world: by time to live, and evicted by message."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from app.ttl_only import TtlOnlyCache
from loadtests.delete.messages import CHANNEL, Evict, unpack
from versioning.read import Read

RECONNECT_S = (0.05, 1.0)
SILENCE_S = 1.0

_log = logging.getLogger("loadtests.delete")


class DeleteOnChangeCache(TtlOnlyCache):
    def __init__(self, *args: Any, channel_url: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._channel_url = channel_url
        self._listener: asyncio.Task[None] | None = None
        self._overtaken: set[str] = set()
        """Keys evicted while a load of theirs is under way: its result may be the old one."""

    async def start(self) -> None:
        self._listener = asyncio.create_task(self._listen(), name="evictions")

    async def aclose(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await super().aclose()

    def evict(self, message: Evict) -> None:
        held = self._local
        keys = message.keys
        if message.namespace:
            keys = tuple(key for key in (*held, *self._flights) if key.startswith(f"{message.namespace}:"))
        for key in keys:
            held.pop(key, None)
        self._overtaken.update(key for key in keys if key in self._flights)

    async def _fetch(self, key: str, loader: Callable[[], Awaitable[Any]]) -> Read:
        read = await super()._fetch(key, loader)
        if key in self._overtaken:
            self._overtaken.discard(key)
            self._local.pop(key, None)
        return read

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                await self._listen_once()
                failures = 0
            except (redis.RedisError, OSError, TimeoutError) as error:
                failures += 1
                _log.warning("the eviction channel is lost: %s", error)
            least, most = RECONNECT_S
            await asyncio.sleep(min(most, least * 2**failures) * random.uniform(0.5, 1.0))

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(self._channel_url, retry=Retry(NoBackoff(), 0), health_check_interval=0)
        async with contextlib.aclosing(client), client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            # Whatever was said while nobody listened is lost: nothing held can be trusted.
            self._local.clear()
            while True:
                message = await channel.get_message(ignore_subscribe_messages=True, timeout=SILENCE_S)
                if message is None:
                    await channel.ping()
                elif message["type"] == "message":
                    self.evict(unpack(message["data"]))
