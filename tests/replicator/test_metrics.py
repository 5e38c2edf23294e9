"""Counts of the replicator as metrics: base units, totals, labels without keys."""

from prometheus_client import generate_latest

from replicator.metrics import registry
from replicator.mirror.options import GateStats, MirrorStats
from replicator.source.stats import SourceStats


def test_a_source_exports_counters_gauges_and_times_in_seconds() -> None:
    stats = SourceStats(transactions=3, is_connected=1, read_ms=1_700_000_000_500, last_error="secret:1")
    text = generate_latest(registry("source", stats, "a")).decode()
    assert 'stampline_source_transactions_total{dc="a"} 3.0' in text
    assert 'stampline_source_connected{dc="a"} 1.0' in text
    assert 'stampline_source_read_timestamp_seconds{dc="a"} 1.7000000005e+09' in text
    assert "secret" not in text


def test_a_mirror_exports_each_gate_and_each_reason() -> None:
    stats = MirrorStats(held=4, gates={"b1": GateStats(is_up=1, applied="0-1-5"), "b2": GateStats(errors=2)})
    stats.count_break("trimmed")
    stats.count_reconnect("silent")
    text = generate_latest(registry("mirror", stats, "b")).decode()
    assert 'stampline_mirror_held{dc="b"} 4.0' in text
    assert 'stampline_mirror_gate_up{dc="b",gate="b1"} 1.0' in text
    assert 'stampline_mirror_gate_errors_total{dc="b",gate="b2"} 2.0' in text
    assert 'stampline_mirror_breaks_by_reason_total{dc="b",reason="trimmed"} 1.0' in text
    assert 'stampline_mirror_reconnects_total{dc="b",reason="silent"} 1.0' in text
