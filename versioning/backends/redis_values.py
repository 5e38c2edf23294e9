"""Cached values and leases on Redis, for threads and for asyncio: the same commands, one round trip each.

A lease lives at ``lease:{<key>}``, in the slot of its value, so that one script serves both. No command is sent twice:
a Redis that does not answer within the timeout is an error, and the caller goes to its loader.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, Self

from versioning.backends.base import Fill
from versioning.backends.redis_connect import RedisAddress, aclose, close, translated

TIMEOUT_MS: Final = 50
"""A read that takes longer than this costs more than the database would."""

_LUA: Final = files("versioning.backends") / "lua"
_FILL: Final = (_LUA / "fill.lua").read_text()
_RELEASE: Final = (_LUA / "release.lua").read_text()


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
        self._address = str(address)
        self._names = _Names(prefix)
        self._is_cluster = address.kind == "cluster"
        with translated(self._address):
            self._client = address.connect(timeout_ms)
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    def get(self, key: str) -> bytes | None:
        with translated(self._address):
            return self._client.get(self._names.value(key))  # type: ignore[no-any-return]

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with translated(self._address):
            read = self._client.mget_nonatomic if self._is_cluster else self._client.mget
            return read(self._names.values(keys))  # type: ignore[no-any-return]

    def try_lease(self, keys: Sequence[str], token: str, ttl_ms: int) -> list[bool]:
        with translated(self._address):
            if len(keys) == 1:
                return [bool(self._client.set(self._names.lease(keys[0]), token, nx=True, px=ttl_ms))]
            with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.set(self._names.lease(key), token, nx=True, px=ttl_ms)
                return [bool(granted) for granted in pipe.execute()]

    def fill(self, fills: Sequence[Fill]) -> list[bool]:
        with translated(self._address):
            if len(fills) == 1 or self._is_cluster:
                return [bool(self._fill(*self._fill_arguments(fill))) for fill in fills]
            with self._client.pipeline(transaction=False) as pipe:
                for fill in fills:
                    self._fill(*self._fill_arguments(fill), client=pipe)
                return [bool(stored) for stored in pipe.execute()]

    def release(self, keys: Sequence[str], token: str) -> None:
        with translated(self._address):
            for key in keys:
                self._release([self._names.lease(key)], [token])

    def close(self) -> None:
        close(self._client)

    def _fill_arguments(self, fill: Fill) -> tuple[list[str], list[Any]]:
        return [self._names.value(fill.key), self._names.lease(fill.key)], [fill.data, fill.life_ms, fill.lease_token]


class AsyncRedisValues:
    """An ``AsyncValueBackend``: belongs to one event loop."""

    def __init__(self, address: RedisAddress, *, prefix: str = "", timeout_ms: int = TIMEOUT_MS) -> None:
        self._address = str(address)
        self._names = _Names(prefix)
        self._is_cluster = address.kind == "cluster"
        self._client = address.connect_async(timeout_ms)
        self._fill = self._client.register_script(_FILL)
        self._release = self._client.register_script(_RELEASE)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        return cls(RedisAddress.parse(url), **options)

    async def get(self, key: str) -> bytes | None:
        with translated(self._address):
            return await self._client.get(self._names.value(key))  # type: ignore[no-any-return]

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        with translated(self._address):
            read = self._client.mget_nonatomic if self._is_cluster else self._client.mget
            return await read(self._names.values(keys))  # type: ignore[no-any-return]

    async def try_lease(self, keys: Sequence[str], token: str, ttl_ms: int) -> list[bool]:
        with translated(self._address):
            if len(keys) == 1:
                return [bool(await self._client.set(self._names.lease(keys[0]), token, nx=True, px=ttl_ms))]
            async with self._client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.set(self._names.lease(key), token, nx=True, px=ttl_ms)
                return [bool(granted) for granted in await pipe.execute()]

    async def fill(self, fills: Sequence[Fill]) -> list[bool]:
        with translated(self._address):
            if len(fills) == 1 or self._is_cluster:
                return [bool(await self._fill(*self._fill_arguments(fill))) for fill in fills]
            async with self._client.pipeline(transaction=False) as pipe:
                for fill in fills:
                    await self._fill(*self._fill_arguments(fill), client=pipe)
                return [bool(stored) for stored in await pipe.execute()]

    async def release(self, keys: Sequence[str], token: str) -> None:
        with translated(self._address):
            for key in keys:
                await self._release([self._names.lease(key)], [token])

    async def aclose(self) -> None:
        await aclose(self._client)

    def _fill_arguments(self, fill: Fill) -> tuple[list[str], list[Any]]:
        return [self._names.value(fill.key), self._names.lease(fill.key)], [fill.data, fill.life_ms, fill.lease_token]
