"""Counts of the replicator as metrics: base units, totals, labels without keys."""

import re
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from replicator import metric_names
from replicator.metrics import NOT_EXPORTED, registry
from replicator.mirror.options import Break, GateStats, LostLink, MirrorStats
from replicator.source.stats import Failure, SourceStats


def test_a_source_exports_counters_gauges_and_times_in_seconds() -> None:
    stats = SourceStats(transactions=3, is_connected=1, read_ms=1_700_000_000_500, last_error="secret:1")
    text = generate_latest(registry("source", stats, "a")).decode()
    assert 'stampline_source_transactions_total{dc="a"} 3.0' in text
    assert 'stampline_source_connected{dc="a"} 1.0' in text
    assert 'stampline_source_read_timestamp_seconds{dc="a"} 1.7000000005e+09' in text
    assert "secret" not in text


def test_a_mirror_exports_each_gate_and_each_reason() -> None:
    stats = MirrorStats(held=4, gates={"b1": GateStats(is_up=1, applied="0-1-5"), "b2": GateStats(errors=2)})
    stats.count_break(Break.ORIGIN_TORN)
    stats.count_reconnect(LostLink.SILENT)
    text = generate_latest(registry("mirror", stats, "b")).decode()
    assert 'stampline_mirror_held_entries{dc="b"} 4.0' in text
    assert 'stampline_mirror_gate_up{dc="b",gate="b1"} 1.0' in text
    assert 'stampline_mirror_gate_errors_total{dc="b",gate="b2"} 2.0' in text
    assert 'stampline_mirror_breaks_total{dc="b",reason="origin_torn"} 1.0' in text
    assert 'stampline_mirror_breaks_total{dc="b",reason="stamp_reused"} 0.0' in text
    assert 'stampline_mirror_reconnects_total{dc="b",reason="silent"} 1.0' in text


def test_a_source_names_what_failed() -> None:
    stats = SourceStats()
    stats.count_failure(Failure.UNSUPPORTED_EVENT)
    text = generate_latest(registry("source", stats, "a")).decode()
    assert 'stampline_source_failures_total{dc="a",reason="unsupported_event"} 1.0' in text
    assert 'stampline_source_failures_total{dc="a",reason="login_refused"} 0.0' in text


@pytest.mark.parametrize("kind", [SourceStats, MirrorStats, GateStats])
def test_every_count_is_exported_or_says_why_not(kind: type) -> None:
    tables = (metric_names.COUNTERS, metric_names.GAUGES, metric_names.TIMES, metric_names.HISTOGRAMS)
    known = {*NOT_EXPORTED, *metric_names.BY_REASON, *metric_names.GATE}.union(*tables)
    assert {field.name for field in fields(kind)} <= known


@pytest.mark.parametrize("reasons", [reasons for _, _, reasons in metric_names.BY_REASON.values()])
def test_every_reason_that_begins_at_zero_is_given_somewhere(reasons: type[StrEnum]) -> None:
    """That no other is given, the types say."""
    folder = Path(__file__).parents[2] / "replicator"
    code = "".join(path.read_text() for path in folder.rglob("*.py"))
    assert set(re.findall(rf"\b{reasons.__name__}\.([A-Z_]+)", code)) == set(reasons.__members__)
