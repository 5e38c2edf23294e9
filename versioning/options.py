"""Settings of a cache, checked once, when they are made. The defaults are the protocol's (``limits``)."""

import math
import re
from dataclasses import dataclass, fields
from typing import Final

from versioning import limits
from versioning.errors import ConfigError
from versioning.keys import has_hash_tag

NAME_PATTERN: Final = r"^[A-Za-z0-9._-]{1,64}$"

_MAY_BE_ZERO: Final = frozenset({"local_ttl_ms", "degraded_ttl_ms", "lease_wait_ms", "serve_stale_ms"})


def check_whole(name: str, value: object, *, least: int) -> None:
    """Raises ConfigError for all but a whole number from ``least`` (0 or 1) on: Redis takes no fraction of a ms."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        wanted = "more than zero" if least else "zero or more"
        raise ConfigError(f"{name} is {value!r}", hint=f"it must be a whole number, {wanted}")


def check_stream_name(name: object) -> None:
    """Raises ConfigError for what no source can have written to: a reader would follow nothing, and never know why."""
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"stream_name is {name!r}", hint="it must be the name of the sources' settings, [stream] name"
        )


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Every process that shares cached values should use the same. Raises ConfigError."""

    local_ttl_ms: int = limits.LOCAL_TTL_MS
    """Longest life in the process. 0: nothing is kept there."""
    redis_ttl_ms: int = limits.REDIS_TTL_MS
    local_max_entries: int = 100_000
    degraded_ttl_ms: int = limits.DEGRADED_TTL_MS
    """Age up to which a value is served that can be proven neither current nor superseded."""
    max_lag_ms: int = limits.MAX_LAG_MS
    window_ms: int = limits.WINDOW_MS
    provisional_ttl_ms: int = limits.PROVISIONAL_TTL_MS
    lease_ttl_ms: int = 2_000
    """Longer than a normal load: after it, one more process loads."""
    lease_wait_ms: int = 3_000
    """How long a reader waits for the refill of another process, or for the load budget, before it loads by itself.

    Above ``lease_ttl_ms``: when a leader dies, one of the waiting takes its lease over, instead of all loading at once.
    """
    max_loads_per_s: float | None = None
    """Calls of loaders per second and process; None: no limit."""
    serve_stale_ms: int = 0
    """While a changed key is refilled its readers get the old value, until this long after its latest change.

    Under asyncio nobody waits: the refill runs beside the readers. With threads, the one that refills waits for it.
    """
    prefix: str = ""
    """In front of every key in Redis; stamps do not have it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.type is int:
                check_whole(field.name, getattr(self, field.name), least=int(field.name not in _MAY_BE_ZERO))
        self._check_rate()
        slack_ms = limits.GATE_LIMIT_MS + limits.CLOCK_ERROR_MS
        if self.redis_ttl_ms + slack_ms > self.window_ms:
            raise ConfigError(
                f"redis_ttl_ms {self.redis_ttl_ms} does not fit into window_ms {self.window_ms}",
                hint=f"a change must be remembered longer than a copy lives: window_ms >= redis_ttl_ms + {slack_ms}",
            )
        for name in ("degraded_ttl_ms", "max_lag_ms", "serve_stale_ms"):
            if (value := getattr(self, name)) >= limits.PROMISE_MS:
                hint = f"< {limits.PROMISE_MS}"
                raise ConfigError(f"{name} {value} breaks the bound on staleness", hint=hint)
        self._check_prefix()

    def _check_rate(self) -> None:
        rate = self.max_loads_per_s
        if rate is not None and not (isinstance(rate, int | float) and 0 < rate < math.inf):
            raise ConfigError(f"max_loads_per_s is {rate!r}", hint="it must be a number more than zero, or None")

    def _check_prefix(self) -> None:
        if not isinstance(self.prefix, str):
            raise ConfigError(f"prefix is {self.prefix!r}", hint="it must be a string")
        if "}" in self.prefix and not has_hash_tag(self.prefix):
            # On a cluster a value and its lease would have different slots, and every read would go to the loader.
            hint = "write a hash tag as {tag}, or no brace at all"
            raise ConfigError(f"prefix {self.prefix!r} has a brace that closes no hash tag", hint=hint)

    def life_ms(self, *, is_provisional: bool) -> int:
        """Life of a value in Redis, counted from its fill time."""
        return self.provisional_ttl_ms if is_provisional else self.redis_ttl_ms
