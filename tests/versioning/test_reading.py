"""What may be served of what is held (P5, P6): current values, unknown ones for a while, none past its own life."""

import pytest

from tests.versioning.processes import KEY, Datacenter, Process
from versioning.backends.base import Fill
from versioning.entries import Change
from versioning.limits import DEGRADED_JITTER_MIN, DEGRADED_TTL_MS
from versioning.liveness import Now
from versioning.read import Tier
from versioning.spread import scaled
from versioning.verdict import Verdict

MINUTE = 60


@pytest.fixture
def at() -> Datacenter:
    datacenter = Datacenter(second=10_000)
    datacenter.database[KEY] = "loaded"
    return datacenter


def ends_at_its_share(at: Datacenter, process: Process, tier: Tier) -> None:
    """From now on the value is served UNKNOWN for its own share of the degraded TTL, and no longer."""
    at.pass_s(scaled(KEY, DEGRADED_TTL_MS, DEGRADED_JITTER_MIN) / 1000)
    read = process.read()
    assert (read.tier, read.verdict) == (tier, Verdict.UNKNOWN)
    at.pass_s(0.001)
    assert process.read().tier is Tier.LOADED


def test_an_unknown_value_is_served_up_to_its_own_share_of_the_degraded_ttl(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    ends_at_its_share(at, process, Tier.LOCAL)


def test_a_lag_ends_no_value_at_once_and_each_at_its_own_share_of_the_degraded_ttl(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    at.pass_s(14 * MINUTE)
    process.hear()
    at.put("loaded", stamp=process.index.watermark, fill_second=at.second - 20 * MINUTE)
    ends_at_its_share(at, process, Tier.REDIS)


def test_below_the_horizon_a_value_ends_by_its_age(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    at.pass_s(14 * MINUTE)
    process.hear()
    process.index.horizon = process.index.watermark
    assert process.read().tier is Tier.LOADED


def test_a_local_copy_never_outlives_its_own_fill(at: Datacenter) -> None:
    process = Process(at)
    at.put("old", stamp=process.index.watermark, fill_second=at.second - 29 * MINUTE)
    assert process.read().tier is Tier.REDIS
    at.pass_s(MINUTE)
    process.hear()
    assert process.read().tier is Tier.LOADED


def test_the_local_ttl_ends_a_copy_that_redis_still_has(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    at.pass_s(15 * MINUTE)
    process.hear()
    assert process.read().tier is Tier.REDIS


def test_without_local_ttl_every_read_asks_redis_and_nothing_is_kept(at: Datacenter) -> None:
    process = Process(at, local_ttl_ms=0)
    process.read()
    assert [process.read().tier for _ in range(2)] == [Tier.REDIS, Tier.REDIS]
    assert not process.local


def test_a_provisional_value_past_its_life_is_a_miss_whatever_its_stamp(at: Datacenter) -> None:
    process = Process(at)
    at.put("old", stamp=process.index.watermark, fill_second=at.second - 2, is_provisional=True)
    assert process.read().tier is Tier.LOADED


def test_a_provisional_value_from_the_future_is_a_miss_whatever_its_stamp(at: Datacenter) -> None:
    process = Process(at)
    at.put("ahead", stamp=process.index.watermark, fill_second=at.second + 5, is_provisional=True)
    assert process.read().tier is Tier.LOADED


def test_a_value_from_the_future_is_served_when_fresh_and_a_miss_when_unknown(at: Datacenter) -> None:
    process = Process(at)
    at.put("ahead", stamp=process.index.watermark, fill_second=at.second + 5)
    read = process.read()
    assert (read.value, read.age_ms) == ("ahead", None)
    process.index.horizon = process.index.watermark + 1
    assert process.read().tier is Tier.LOADED


def test_a_wall_clock_set_back_makes_no_value_younger(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    process.index.forget()
    at.pass_s(241)
    at.now = Now(at.now.ms - 3_600_000, at.now.monotonic_ms)
    assert process.read().tier is Tier.LOADED


def test_a_wall_clock_set_back_prolongs_no_life(at: Datacenter) -> None:
    process = Process(at)
    process.learn(Change((KEY,), gtid="0-1-1", pending=True))
    process.read()
    at.pass_s(2)
    at.now = Now(at.now.ms - 3_600_000, at.now.monotonic_ms)
    process.hear()
    assert process.read().tier is Tier.LOADED


def test_a_wall_clock_set_back_during_a_load_prolongs_no_life_in_redis(at: Datacenter) -> None:
    process = Process(at)

    def load_meanwhile(keys: tuple[str, ...]) -> dict[str, str]:
        at.now = Now(at.now.ms - 3_600_000, at.now.monotonic_ms)
        return {KEY: "loaded"}

    process.read(load=load_meanwhile)
    at.pass_s(30 * MINUTE)
    assert at.values.get(KEY) is None


@pytest.mark.parametrize("stored", [b"", b"plain text that someone else stored", b"\x9eS\x02" + bytes(40)])
def test_a_value_without_our_header_is_a_miss_and_counted(at: Datacenter, stored: bytes) -> None:
    process = Process(at)
    at.values.fill([Fill(KEY, stored, 60_000)])
    assert process.read().value == "loaded"
    assert process.counters.foreign_headers == 1


def test_a_payload_the_serializer_cannot_read_is_a_miss_and_counted(at: Datacenter) -> None:
    process = Process(at)
    process.read()
    stored = at.values.get(KEY)
    assert stored is not None
    at.values.fill([Fill(KEY, stored[:-1], 60_000)])
    other = Process(at)
    assert other.read().value == "loaded"
    assert other.counters.unreadable_values == 1


def test_a_slow_loads_value_lives_no_longer_than_one_that_came_at_once(at: Datacenter) -> None:
    process = Process(at)

    def load_slowly(keys: tuple[str, ...]) -> dict[str, str]:
        at.pass_s(MINUTE)
        return {KEY: "late"}

    process.read(load=load_slowly)
    at.pass_s(29 * MINUTE - 0.001)
    assert at.values.get(KEY) is not None
    at.pass_s(0.001)
    assert at.values.get(KEY) is None
