"""Settings that cannot work are refused when they are made, in one line that names the fix."""

from typing import Any

import pytest

from versioning.errors import ConfigError
from versioning.options import CacheOptions, check_stream_name


def test_the_defaults_stand() -> None:
    assert CacheOptions().window_ms > CacheOptions().redis_ttl_ms


@pytest.mark.parametrize("prefix", ["shop:", "{shop}:", "{shop:"])
def test_a_prefix_may_be_a_hash_tag(prefix: str) -> None:
    assert CacheOptions(prefix=prefix).prefix == prefix


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"redis_ttl_ms": 35 * 60_000}, "window_ms"),
        ({"local_ttl_ms": -1}, "local_ttl_ms"),
        ({"redis_ttl_ms": 0}, "redis_ttl_ms"),
        ({"local_max_entries": 0}, "local_max_entries"),
        ({"max_loads_per_s": 0}, "max_loads_per_s"),
        ({"max_loads_per_s": float("nan")}, "max_loads_per_s"),
        ({"max_loads_per_s": float("inf")}, "max_loads_per_s"),
        ({"max_loads_per_s": "10"}, "max_loads_per_s"),
        ({"local_ttl_ms": "900000"}, "local_ttl_ms"),
        ({"redis_ttl_ms": 30 * 60 * 1e3}, "redis_ttl_ms"),
        ({"local_max_entries": None}, "local_max_entries"),
        ({"local_max_entries": True}, "local_max_entries"),
        ({"prefix": None}, "prefix"),
        ({"prefix": b"shop:"}, "prefix"),
        ({"degraded_ttl_ms": 300_000}, "degraded_ttl_ms"),
        ({"serve_stale_ms": 300_000}, "serve_stale_ms"),
        ({"prefix": "shop}:"}, "prefix"),
        ({"prefix": "{}shop:"}, "prefix"),
    ],
)
def test_what_breaks_a_promise_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        CacheOptions(**options)
    assert refused.value.hint
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [None, "", "two words", "{stampline}", "x\n", "x" * 65])
def test_a_stream_that_no_source_can_have_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match="stream_name"):
        check_stream_name(name)
    check_stream_name("tracker-eu.1")
