"""From settings to backends."""

from versioning.backends.redis_stream import RedisStream
from versioning.backends.redis_values import AsyncRedisValues
from versioning.cli.sections import StreamSection, ValuesSection


def open_stream(section: StreamSection, *, version_keys: bool) -> RedisStream:
    """``version_keys`` for whoever writes the stream that caches follow (P12)."""
    return RedisStream.from_url(
        section.full_url(),
        name=section.name,
        window_ms=section.window_ms,
        version_keys=version_keys,
        wait_replicas=section.wait_replicas,
    )


def open_values(section: ValuesSection, *, extra_prefix: str = "") -> AsyncRedisValues:
    return AsyncRedisValues.from_url(
        section.full_url(), prefix=extra_prefix + section.prefix, timeout_ms=section.timeout_ms
    )
