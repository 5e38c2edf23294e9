"""What goes over the eviction channel: a list of keys, or one namespace."""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

CHANNEL = "delete-on-change"
PREFIX = "delete:"
"""In front of every cached value in Redis."""


@dataclass(frozen=True)
class Evict:
    keys: tuple[str, ...] = ()
    namespace: str = ""
    """All keys of it; empty: the keys alone."""


def pack(keys: Sequence[str] = (), namespace: str = "") -> bytes:
    return orjson.dumps({"keys": keys, "namespace": namespace})


def unpack(data: bytes) -> Evict:
    message = orjson.loads(data)
    return Evict(tuple(message["keys"]), message["namespace"])
