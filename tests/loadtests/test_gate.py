"""When a Locust run passes: what all processes saw, judged by what all of them wrote."""

from dataclasses import asdict
from types import SimpleNamespace

from deploy.simulation.chaos.tally import Seen
from loadtests.gate import Writes, judge, verdict


def report(writes=None, *seen):
    return {"writes": [asdict(w) for w in writes.made] if writes else [], "seen": [asdict(s) for s in seen]}


def written(row, first, *acknowledged_s):
    writes = Writes()
    writes.base(row, first, 100.0)
    for at_s in acknowledged_s:
        writes.begin(row, at_s - 0.01)
        writes.commit(row, at_s)
    return writes


def seen(row, version, sent_s, reads=1):
    return Seen(row, version, reads, sent_s, sent_s + 0.01)


def test_a_read_of_one_process_is_judged_by_the_write_of_another():
    reports = [report(written(7, 40, 200.0)), report(None, seen(7, 41, 260.0, reads=9), seen(7, 40, 260.0))]
    audit = judge(reports, bound_s=50.0)
    assert (audit.reads, audit.violations) == (10, 1)
    assert 59 < audit.certain_max_s < 61
    assert judge(reports, bound_s=70.0).violations == 0


def test_rows_that_nobody_wrote_are_never_stale():
    assert judge([report(None, seen(1, 5, 100.0), seen(1, 3, 200.0))], bound_s=1.0).stale == 0


def test_an_unknown_outcome_is_asked_again_and_the_history_goes_on():
    writes = written(7, 0, 200.0)
    writes.begin(7, 300.0)
    writes.forget(7)
    assert not writes.knows(7)
    writes.base(7, 1, 301.0)  # it did not happen
    writes.begin(7, 310.0)
    writes.commit(7, 310.1)
    audit = judge([report(writes, seen(7, 1, 320.0), seen(7, 2, 320.0))], bound_s=5.0)
    assert audit.violations == 1
    assert 9 < audit.certain_max_s < 10


def options(**changes):
    return SimpleNamespace(**({"bound_s": 15.0, "p99_ms": 0.0, "error_rate": 0.0} | changes))


def test_each_limit_breaks_by_itself_and_says_so():
    stale = judge([report(written(7, 0, 200.0), seen(7, 0, 260.0))], bound_s=15.0)
    fresh = judge([], bound_s=15.0)
    assert verdict(fresh, 10.0, 0.0, 100, options()) == []
    assert "staler than 15 s" in verdict(stale, 10.0, 0.0, 100, options())[0]
    assert "p99 of ToC reads 30 ms" in verdict(fresh, 30.0, 0.0, 100, options(p99_ms=20.0))[0]
    assert "1.0000% of the requests failed" in verdict(fresh, 10.0, 0.01, 100, options())[0]
    assert verdict(fresh, 0.0, 0.0, 0, options()) == ["no request was made"]
    assert verdict(stale, 10.0, 0.0, 100, options(bound_s=0.0)) == []
