"""Counts of the replicator as metrics: base units, totals, labels without keys."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from replicator import metric_names
from replicator.metrics import NOT_EXPORTED, registry
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
    stats.count_break("origin_torn")
    stats.count_reconnect("silent")
    text = generate_latest(registry("mirror", stats, "b")).decode()
    assert 'stampline_mirror_held_entries{dc="b"} 4.0' in text
    assert 'stampline_mirror_gate_up{dc="b",gate="b1"} 1.0' in text
    assert 'stampline_mirror_gate_errors_total{dc="b",gate="b2"} 2.0' in text
    assert 'stampline_mirror_breaks_total{dc="b",reason="origin_torn"} 1.0' in text
    assert 'stampline_mirror_breaks_total{dc="b",reason="stamp_reused"} 0.0' in text
    assert 'stampline_mirror_reconnects_total{dc="b",reason="silent"} 1.0' in text


def test_a_source_names_what_failed() -> None:
    stats = SourceStats()
    stats.count_failure("unsupported_event")
    text = generate_latest(registry("source", stats, "a")).decode()
    assert 'stampline_source_failures_total{dc="a",reason="unsupported_event"} 1.0' in text
    assert 'stampline_source_failures_total{dc="a",reason="login_refused"} 0.0' in text


@pytest.mark.parametrize("kind", [SourceStats, MirrorStats, GateStats])
def test_every_count_is_exported_or_says_why_not(kind: type) -> None:
    tables = (metric_names.COUNTERS, metric_names.GAUGES, metric_names.TIMES, metric_names.HISTOGRAMS)
    known = {*NOT_EXPORTED, *metric_names.BY_REASON, *metric_names.GATE}.union(*tables)
    assert {field.name for field in fields(kind)} <= known


def test_every_reason_in_the_code_begins_at_zero() -> None:
    folder = Path(__file__).parents[2] / "replicator"
    mirror = "".join(path.read_text() for path in (folder / "mirror").glob("*.py"))
    source = (folder / "source" / "run.py").read_text()
    used = {
        "failures_by_reason": re.findall(r'_note\(\s*"(\w+)"', source),
        "reconnects_by_reason": re.findall(r'(?:_reconnect|_pause)\([^)\n]*?"(\w+)"', mirror),
        "breaks_by_reason": [
            *re.findall(r'(?:BrokenOriginError|TargetLostError)\(\s*"(\w+)"', mirror),
            *re.findall(r'break_name=[^)\n]*"(\w+)"', mirror),
        ],
    }
    for field, reasons in used.items():
        assert reasons, field
        assert set(reasons) <= set(metric_names.BY_REASON[field][2]), field
