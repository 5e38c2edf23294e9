"""Other caches, each filled with the same entries. A missing library is named, not passed over."""

import datetime as dt
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import cachetools

from loadtests.bench.contract import PeerMissingError


def require(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise PeerMissingError(module.partition(".")[0]) from None


def ttl_cache(entries: Mapping[str, Any], ttl_s: float) -> Any:
    return _filled(cachetools.TTLCache(2 * len(entries), ttl_s), entries.items())


def lru_cache(entries: Mapping[str, Any]) -> Any:
    return _filled(cachetools.LRUCache(2 * len(entries)), entries.items())


def _filled(cache: Any, entries: Iterable[tuple[str, Any]]) -> Any:
    for key, value in entries:
        cache[key] = value
    return cache


def dogpile_memory(entries: Mapping[str, Any], ttl_s: float) -> Any:
    region = require("dogpile.cache").make_region().configure("dogpile.cache.memory", expiration_time=ttl_s)
    region.set_multi(dict(entries))
    return region


def theine(entries: Mapping[str, Any], ttl_s: float) -> Any:
    cache = require("theine").Cache(2 * len(entries))
    for key, value in entries.items():
        cache.set(key, value, dt.timedelta(seconds=ttl_s))
    return cache
