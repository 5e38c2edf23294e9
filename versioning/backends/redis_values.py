"""Cached values and leases on Redis, for threads and for asyncio: the same commands, one round trip each.

A lease lives at ``lease:{<key>}`` (``lease:<key>`` where a prefix brings a hash tag of its own), in the slot of its
value, so that one script serves both. A Redis that does not answer within the timeout is an error, and the caller goes
to its loader. A script that is sent again (Redis had forgotten it, or had closed an idle connection) has the effect of
one that was sent once.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final, Self

import redis.exceptions

from versioning.backends.base import Answer, BackendError, Fill
from versioning.backends.redis_border import Border, RedirectError, ScriptMissingError
from versioning.backends.redis_connect import RedisAddress, aclose, close
from versioning.backends.redis_lanes import Lanes
from versioning.backends.redis_nodes import NodeLanes
from versioning.backends.redis_nodes_async import NodePipelines
from versioning.backends.redis_pipeline import Pipeline
from versioning.backends.redis_scripts import FILL, LEASE, RELEASE, Call, Script, packed
from versioning.backends.redis_slots import Command
from versioning.keys import has_hash_tag

TIMEOUT_MS: Final = 50
"""A read that takes longer than this costs more than the database would."""

KEYS_AT_ONCE: Final = 1_000
"""In one command: Redis answers in a millisecond."""

TOLD_AGAIN_S: Final = 60.0
"""Every read may meet the same error."""

_log = logging.getLogger("stampline.values")


class _ToldBorder(Border):
    """Says in the log, now and then, what caches only count: to a reader a wrong password is a miss like any other."""

    _told_s = float("-inf")

    def translate(self, error: Exception) -> BackendError:
        found = super().translate(error)
        now_s = time.monotonic()
        if now_s - self._told_s >= TOLD_AGAIN_S and not isinstance(found, ScriptMissingError | RedirectError):
            self._told_s = now_s
            _log.warning("cached values cannot be shared: %s", found)
        return found


class _Names:
    """Where values and leases lie, and the calls of the scripts on them."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._has_tag = has_hash_tag(prefix)

    def value(self, key: str) -> str:
        return self._prefix + key

    def values(self, keys: Sequence[str]) -> list[str]:
        return [self._prefix + key for key in keys]

    def _lease(self, key: str) -> str:
        # Where the application's prefix has a hash tag, that decides the slot of both. Added, not formatted: the latter
        # makes the name of an Enum's member, where it is added as its text.
        value = self.value(key)
        return "lease:" + value if self._has_tag else "lease:{" + value + "}"

    def leases(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Call]:
        return [((self.value(key), self._lease(key)), (token, str(ttl_ms), head)) for key, head in seen.items()]

    def fills(self, fills: Sequence[Fill]) -> list[Call]:
        return [
            ((self.value(fill.key), self._lease(fill.key)), (fill.data, str(fill.life_ms), fill.lease_token))
            for fill in fills
        ]

    def releases(self, keys: Sequence[str], token: str) -> list[Call]:
        return [((self._lease(key),), (token,)) for key in keys]


def _reads(names: Sequence[str]) -> list[bytes]:
    """Sent together, answered one by one: each has the timeout to itself, and lets other clients in."""
    return [packed("MGET", *names[first : first + KEYS_AT_ONCE]) for first in range(0, len(names), KEYS_AT_ONCE)]


def _single_reads(names: Sequence[str]) -> list[Command]:
    """Where each key may lie elsewhere."""
    return [(name, packed("GET", name)) for name in names]


def _name(call: Call) -> str:
    keys, _ = call
    return keys[0]


def _named(script: Script, calls: Sequence[Call]) -> list[Command]:
    return [(_name(call), script.command(call)) for call in calls]


def _answer(reply: int | bytes) -> Answer:
    return reply if isinstance(reply, bytes) else bool(reply)


class RedisValues:
    """A ``ValueBackend``: safe to share between threads."""

    def __init__(self, address: RedisAddress, *, prefix: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self._border = _ToldBorder(str(address))
        self._names = _Names(prefix)
        address.check_tls()
        self._client: Any = None if address.kind == "cluster" else address.connect(timeout_ms)
        self._lanes = None if self._client is None else Lanes(self._client.connection_pool)
        self._nodes = NodeLanes(address, self._border, timeout_ms)
        """Asked where there are no lanes."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    def get(self, key: str) -> bytes | None:
        name = self._names.value(key)
        command = packed("GET", name)
        with self._border:
            return self._nodes.ask(name, command) if self._lanes is None else self._lanes.ask(command)  # type: ignore[no-any-return]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        names = self._names.values(keys)
        with self._border:
            if self._lanes is None:
                return self._nodes.ask_all(_single_reads(names))
            if len(names) <= KEYS_AT_ONCE:
                return self._lanes.ask(packed("MGET", *names))  # type: ignore[no-any-return]
            return list(chain.from_iterable(self._lanes.ask_all(_reads(names))))

    def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        return list(map(_answer, self._run(LEASE, self._names.leases(seen, token, ttl_ms))))

    def fill(self, fills: Sequence[Fill]) -> list[bool]:
        return list(map(bool, self._run(FILL, self._names.fills(fills))))

    def release(self, keys: Sequence[str], token: str) -> None:
        self._run(RELEASE, self._names.releases(keys, token))

    def close(self) -> None:
        if self._lanes is None:
            self._nodes.close()
        else:
            self._lanes.give_back()
            close(self._client)

    def _run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        with self._border:
            try:
                return self._run_known(script, calls)
            except (redis.exceptions.NoScriptError, ScriptMissingError):
                if self._lanes is None:
                    self._nodes.load(map(_name, calls), script.load)
                else:
                    self._lanes.ask(script.load)
                return self._run_known(script, calls)

    def _run_known(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        if self._lanes is None:
            return self._nodes.ask_all(_named(script, calls))
        return self._lanes.ask_all(list(map(script.command, calls)))


class AsyncRedisValues:
    """An ``AsyncValueBackend``: belongs to one event loop."""

    def __init__(self, address: RedisAddress, *, prefix: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self._border = _ToldBorder(str(address))
        self._names = _Names(prefix)
        address.check_tls()
        self._client: Any = None if address.kind == "cluster" else address.connect_async(timeout_ms)
        pool = None if self._client is None else self._client.connection_pool
        self._pipeline = None if pool is None else Pipeline(pool, self._border, timeout_ms)
        self._nodes = NodePipelines(address, self._border, timeout_ms)
        """Asked where there is no pipeline."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    async def get(self, key: str) -> bytes | None:
        name = self._names.value(key)
        command = packed("GET", name)
        if self._pipeline is None:
            return await self._nodes.ask(name, command)  # type: ignore[no-any-return]
        return await self._pipeline.ask(command)  # type: ignore[no-any-return]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        names = self._names.values(keys)
        if self._pipeline is None:
            return await self._nodes.ask_all(_single_reads(names))
        if len(names) <= KEYS_AT_ONCE:
            return await self._pipeline.ask(packed("MGET", *names))  # type: ignore[no-any-return]
        return list(chain.from_iterable(await self._pipeline.ask_all(_reads(names))))

    async def try_lease(self, seen: Mapping[str, bytes], token: str, ttl_ms: int) -> list[Answer]:
        return list(map(_answer, await self._run(LEASE, self._names.leases(seen, token, ttl_ms))))

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        return list(map(bool, await self._run(FILL, self._names.fills(fills))))

    async def release(self, keys: Sequence[str], token: str) -> None:
        await self._run(RELEASE, self._names.releases(keys, token))

    async def aclose(self) -> None:
        if self._pipeline is None:
            await self._nodes.aclose()
        else:
            await self._pipeline.aclose()
            await aclose(self._client)

    async def _run(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        try:
            return await self._run_known(script, calls)
        except ScriptMissingError:
            if self._pipeline is None:
                await self._nodes.load(map(_name, calls), script.load)
            else:
                await self._pipeline.ask(script.load)
            return await self._run_known(script, calls)

    async def _run_known(self, script: Script, calls: Sequence[Call]) -> list[Any]:
        if self._pipeline is None:
            return await self._nodes.ask_all(_named(script, calls))
        return await self._pipeline.ask_all(map(script.command, calls))
