"""The sizing formulas, and what the scale report makes of measurements."""

import pytest

from loadtests import scale, sizing
from loadtests.sizing import Measured


def measured(followers, cpu, bytes_per_entry=200.0, entries_per_s=20.0):
    out = followers * entries_per_s * bytes_per_entry
    return Measured(followers, entries_per_s, out, cpu, bytes_per_entry, 5.0)


def test_the_cost_of_a_delivery_is_the_slope_between_two_measurements():
    few, many = measured(10, 0.02), measured(1_000, 0.218)
    per_delivery_s = sizing.cpu_per_delivery(few, many)
    assert per_delivery_s == pytest.approx(1e-5)
    assert sizing.followers_per_redis(0.7, 0.0, 50.0, per_delivery_s) == pytest.approx(1_400)


def test_a_cost_that_cannot_be_seen_limits_nothing():
    assert sizing.cpu_per_delivery(measured(10, 0.02), measured(20, 0.01)) == 0
    assert sizing.followers_per_redis(0.7, 0.0, 50.0, 0.0) == float("inf")


def test_memory_follows_rate_and_window_not_the_number_of_keys():
    assert sizing.index_bytes(50.0, 2_100.0, 120.0) == 12_600_000


def test_formulas_that_hold_predict_the_measurement_between():
    result = scale.result([measured(10, 0.012), measured(100, 0.030), measured(1_000, 0.210)], 120.0)
    middle = result["rows"][1]
    assert middle["predicted_cpu"] == pytest.approx(0.030)
    assert middle["predicted_bytes_out_per_s"] == pytest.approx(middle["bytes_out_per_s"])
    assert result["example"]["redis_out_bytes_per_s"] == pytest.approx(500 * 52 * 200)
