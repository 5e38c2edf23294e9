"""Reads as they are recorded, judged and counted."""

import orjson
import pytest

from deploy.simulation.staleness import History
from loadtests import measure
from loadtests.reads import (
    ABSENT,
    FAILED,
    PLAN,
    PLAN_ROW,
    ROW,
    TENANT,
    TRACKER,
    Reading,
    judge,
    load,
    to_line,
    versions_in,
)


def reading(row=1, version=0, sent_s=100.0, *, kind=TRACKER, due_s=None, took_s=0.01, tier="local"):
    return Reading(kind, row, version, due_s or sent_s, sent_s, sent_s + took_s, tier, "1", "fresh")


def test_a_reading_survives_its_line(tmp_path):
    written = [reading(), reading(PLAN_ROW + 3, ABSENT, kind=PLAN, tier="loaded"), reading(version=FAILED, tier="-")]
    file = tmp_path / "0.reads"
    file.write_text("".join(map(to_line, written)) + "tracker 1 0 cut-sh")
    assert list(load([file])) == written


def test_versions_are_found_in_an_answer_and_in_a_list():
    rows = [{"id": n, "name": 'a "version":9', "extra": {"version": n + 5}} for n in (1, 2)]
    rows[0]["name"] = "plain"
    assert versions_in(orjson.dumps(rows[0])) == [(1, 6)]
    assert versions_in(orjson.dumps([rows[0], {**rows[1], "name": "x"}])) == [(1, 6), (2, 7)]
    assert versions_in(b'{"error": "overloaded"}') == []


def history(*commits):
    made = History()
    for row, version, at_s in commits:
        made.begin(row, at_s - 0.1)
        made.commit(row, version, at_s)
    return made


def test_a_read_is_as_stale_as_the_next_version_is_old():
    made = history((1, 0, 10.0), (1, 1, 50.0))
    assert judge(made, reading(version=1)).certain_s == 0
    bounds = judge(made, reading(version=0))
    assert bounds.certain_s == pytest.approx(50.0)
    assert bounds.worst_s == pytest.approx(50.11)


def test_there_is_none_is_stale_once_the_rows_are_back():
    made = history((5, 0, 10.0), (5, 1, 20.0))  # version 1: truncated
    assert judge(made, reading(5, ABSENT, 30.0)).certain_s == 0
    made.commit(5, 2, 40.0)  # filled again
    assert judge(made, reading(5, ABSENT, 45.0)).certain_s == pytest.approx(5.0)
    assert judge(made, reading(5, 2, 45.0)).certain_s == 0
    assert judge(made, reading(5, 0, 45.0)).certain_s == pytest.approx(25.0)


def test_requests_are_counted_once_and_failures_with_them():
    requests = [reading(took_s=0.001 * n, tier="redis" if n % 2 else "loaded") for n in range(1, 100)]
    counted = measure.requests_result([*requests, reading(version=FAILED, tier="-")], 100.0)
    assert (counted["reads"], counted["failed"]) == (100, 1)
    assert counted["hit_rate"] == pytest.approx(50 / 99)
    assert counted["p50_ms"] == pytest.approx(50)
    assert not reading(kind=ROW).is_request
    assert reading(kind=TENANT).is_request


def test_latency_counts_from_when_a_read_was_due():
    assert reading(sent_s=103.0, due_s=100.0, took_s=0.5).latency_ms == pytest.approx(3_500)


def test_the_distribution_says_how_many_are_above():
    points = dict(measure.ccdf([0.0, 0.0, 0.05, 5.0]))
    shares = {round(x, 4): share for x, share in points.items()}
    assert shares[0.001] == 0.5
    assert shares[0.1] == 0.25
    assert shares[10.0] == 0
    assert set(dict(measure.ccdf([])).values()) == {0.0}
