"""Cached values and leases on Redis, for threads and for asyncio: the same commands, one round trip each.

A lease lives at ``lease:{<key>}``, in the slot of its value, so that one script serves both. No command is sent twice:
a Redis that does not answer within the timeout is an error, and the caller goes to its loader.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, Self

from hiredis import pack_command

from versioning.backends.base import Fill
from versioning.backends.redis_connect import Border, RedisAddress, aclose, close
from versioning.backends.redis_lanes import Lanes
from versioning.backends.redis_pipeline import Pipeline

TIMEOUT_MS: Final = 50
"""A read that takes longer than this costs more than the database would."""

_LUA: Final = files("versioning.backends") / "lua"
_FILL: Final = (_LUA / "fill.lua").read_text()
_RELEASE: Final = (_LUA / "release.lua").read_text()


def _packed(*words: str) -> bytes:
    packed: bytes = pack_command(words)  # type: ignore[arg-type]  # its stubs know tuples of one
    return packed


class _Names:
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def value(self, key: str) -> str:
        return self._prefix + key

    def values(self, keys: Sequence[str]) -> list[str]:
        return [self._prefix + key for key in keys]

    def lease(self, key: str) -> str:
        return f"lease:{{{self._prefix}{key}}}"


class RedisValues:
    """A ``ValueBackend``: safe to share between threads."""

    def __init__(self, address: RedisAddress, *, prefix: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self._border = Border(str(address))
        self._names = _Names(prefix)
        self._is_cluster = address.kind == "cluster"
        with self._border:
            self._client = address.connect(timeout_ms)
        self._lanes = None if self._is_cluster else Lanes(self._client.connection_pool)
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    def get(self, key: str) -> bytes | None:
        name = self._names.value(key)
        with self._border:
            if self._lanes is None:
                return self._client.get(name)  # type: ignore[no-any-return]
            return self._lanes.ask(_packed("GET", name))  # type: ignore[no-any-return]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        names = self._names.values(keys)
        with self._border:
            if self._lanes is None:
                return self._client.mget_nonatomic(names)  # type: ignore[no-any-return]
            return self._lanes.ask(_packed("MGET", *names))  # type: ignore[no-any-return]

    def try_lease(self, keys: Sequence[str], token: str, ttl_ms: int) -> list[bool]:
        with self._border:
            if len(keys) == 1:
                return [bool(self._client.set(self._names.lease(keys[0]), token, nx=True, px=ttl_ms))]
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.set(self._names.lease(key), token, nx=True, px=ttl_ms)
                return [bool(granted) for granted in pipe.execute()]

    def fill(self, fills: Sequence[Fill]) -> list[bool]:
        with self._border:
            if len(fills) == 1 or self._is_cluster:
                return [bool(self._fill(*self._fill_arguments(fill))) for fill in fills]
            with self._client.pipeline(transaction=False) as pipe:
                for fill in fills:
                    self._fill(*self._fill_arguments(fill), client=pipe)
                return [bool(stored) for stored in pipe.execute()]

    def release(self, keys: Sequence[str], token: str) -> None:
        with self._border:
            for key in keys:
                self._release([self._names.lease(key)], [token])

    def close(self) -> None:
        if self._lanes is not None:
            self._lanes.give_back()
        close(self._client)

    def _fill_arguments(self, fill: Fill) -> tuple[list[str], list[Any]]:
        return [self._names.value(fill.key), self._names.lease(fill.key)], [fill.data, fill.life_ms, fill.lease_token]


class AsyncRedisValues:
    """An ``AsyncValueBackend``: belongs to one event loop."""

    def __init__(self, address: RedisAddress, *, prefix: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self._border = Border(str(address))
        self._names = _Names(prefix)
        self._is_cluster = address.kind == "cluster"
        self._client = address.connect_async(timeout_ms)
        self._pipeline = None if self._is_cluster else Pipeline(self._client.connection_pool, self._border, timeout_ms)
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    async def get(self, key: str) -> bytes | None:
        name = self._names.value(key)
        if self._pipeline is not None:
            return await self._pipeline.ask(_packed("GET", name))  # type: ignore[no-any-return]
        with self._border.translated():
            return await self._client.get(name)  # type: ignore[no-any-return]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        names = self._names.values(keys)
        if self._pipeline is not None:
            return await self._pipeline.ask(_packed("MGET", *names))  # type: ignore[no-any-return]
        with self._border.translated():
            return await self._client.mget_nonatomic(names)  # type: ignore[no-any-return]

    async def try_lease(self, keys: Sequence[str], token: str, ttl_ms: int) -> list[bool]:
        with self._border.translated():
            if len(keys) == 1:
                return [bool(await self._client.set(self._names.lease(keys[0]), token, nx=True, px=ttl_ms))]
            async with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.set(self._names.lease(key), token, nx=True, px=ttl_ms)
                return [bool(granted) for granted in await pipe.execute()]

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        with self._border.translated():
            if len(fills) == 1 or self._is_cluster:
                return [bool(await self._fill(*self._fill_arguments(fill))) for fill in fills]
            async with self._client.pipeline(transaction=False) as pipe:
                for fill in fills:
                    await self._fill(*self._fill_arguments(fill), client=pipe)
                return [bool(stored) for stored in await pipe.execute()]

    async def release(self, keys: Sequence[str], token: str) -> None:
        with self._border.translated():
            for key in keys:
                await self._release([self._names.lease(key)], [token])

    async def aclose(self) -> None:
        if self._pipeline is not None:
            await self._pipeline.aclose()
        await aclose(self._client)

    def _fill_arguments(self, fill: Fill) -> tuple[list[str], list[Any]]:
        return [self._names.value(fill.key), self._names.lease(fill.key)], [fill.data, fill.life_ms, fill.lease_token]
