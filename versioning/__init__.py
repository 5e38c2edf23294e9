"""stampline: caches consistent across datacenters, without deleting anything."""

from typing import TYPE_CHECKING, Any

from versioning.errors import (
    ConfigError,
    LoadBudgetError,
    LoadFailedError,
    SerializeError,
    StamplineError,
)
from versioning.options import CacheOptions
from versioning.read import Read, Tier
from versioning.verdict import Verdict

if TYPE_CHECKING:
    from versioning.client.async_cache import AsyncVersionedCache
    from versioning.client.info import CacheInfo
    from versioning.client.sync_cache import VersionedCache

__all__ = [
    "AsyncVersionedCache",
    "CacheInfo",
    "CacheOptions",
    "ConfigError",
    "LoadBudgetError",
    "LoadFailedError",
    "Read",
    "SerializeError",
    "StamplineError",
    "Tier",
    "Verdict",
    "VersionedCache",
]

_HOMES = {
    "AsyncVersionedCache": "versioning.client.async_cache",
    "CacheInfo": "versioning.client.info",
    "VersionedCache": "versioning.client.sync_cache",
}


if not TYPE_CHECKING:  # to whom each name would be one of ours, of any type

    def __getattr__(name: str) -> Any:
        """Import the caches when they are asked for: a reader of stamps alone needs no Redis driver."""
        from importlib import import_module  # noqa: PLC0415

        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
