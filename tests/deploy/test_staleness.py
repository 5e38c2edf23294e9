import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.simulation.staleness import CURRENT, Audit, Bounds, History, percentile


def history(*acknowledged_s: float) -> History:
    result = History()
    for version, moment in enumerate(acknowledged_s):
        result.commit(7, version, moment)
    return result


@pytest.mark.parametrize(
    ("version", "sent_s", "staleness_s"),
    [
        (2, 99, 0),  # the newest
        (1, 31, 1),  # superseded by version 2 at 30
        (0, 31, 11),  # superseded already by version 1 at 20: the longest proof counts
        (0, 19, 0),  # sent before the next commit was acknowledged
        (3, 99, 0),  # a commit that is not acknowledged yet
    ],
)
def test_a_value_is_stale_since_the_commit_that_superseded_it_was_acknowledged(version, sent_s, staleness_s) -> None:
    assert history(10, 20, 30).staleness_s(7, version, sent_s) == staleness_s


def test_versions_must_be_dense_or_the_arithmetic_means_nothing() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        history(10, 20).commit(7, 5, 30)


@pytest.mark.parametrize(
    ("version", "sent_s", "answered_s", "bounds"),
    [
        (2, 50, 51, CURRENT),
        (1, 31, 32, Bounds(1, 4)),  # superseded between 28 and 30
        (1, 29, 30, Bounds(0, 2)),  # the read overlaps the commit: nothing is certain
        (0, 31, 32, Bounds(11, 14)),  # superseded between 18 and 20
    ],
)
def test_a_true_staleness_lies_between_the_ends_of_the_brackets(version, sent_s, answered_s, bounds) -> None:
    bracketed = History()
    for number, moment in enumerate((10, 20, 30)):
        bracketed.begin(7, moment - 2)
        bracketed.commit(7, number, moment)
    assert bracketed.judge(7, version, sent_s, answered_s) == bounds


def test_a_commit_on_its_way_may_already_have_superseded_what_is_read() -> None:
    under_way = history(10, 20)
    under_way.begin(7, 25)
    under_way.begin(7, 28)  # tried again, its outcome being unknown
    assert under_way.judge(7, 1, 30, 31) == Bounds(0, 6)
    assert under_way.judge(7, 2, 30, 31) == CURRENT


def test_forgotten_versions_leave_what_is_said_true_and_the_memory_bounded() -> None:
    complete, bounded = History(), History(versions_max=10)
    for version in range(100):
        for kept in (complete, bounded):
            kept.begin(7, version)
            kept.commit(7, version, version + 0.5)
    for version in range(100):
        exact, said = complete.judge(7, version, 200, 201), bounded.judge(7, version, 200, 201)
        assert said.certain_s <= exact.certain_s <= exact.worst_s <= said.worst_s
    assert bounded.judge(7, 95, 200, 201) == complete.judge(7, 95, 200, 201)
    assert len(bounded._rows[7].brackets) == 10


@given(seed=st.integers(0, 2**32))
def test_no_injected_staleness_escapes_its_bounds(seed) -> None:
    """A simulated cache serves versions that were superseded a known time ago; clocks show only the brackets."""
    chance = random.Random(seed)
    commits, true_s, now_s = History(), [], 0.0
    for version in range(chance.randint(2, 30)):
        now_s += chance.uniform(0, 5)
        sent_s, committed_s = now_s, now_s + chance.uniform(0, 2)
        now_s = committed_s + chance.uniform(0, 2)
        commits.begin(1, sent_s)
        commits.commit(1, version, now_s)
        true_s.append(committed_s)
    for _ in range(50):
        taken_s = chance.uniform(true_s[0], now_s + 20)
        version = chance.randint(0, sum(moment <= taken_s for moment in true_s) - 1)
        is_superseded = version + 1 < len(true_s) and true_s[version + 1] <= taken_s
        staleness_s = taken_s - true_s[version + 1] if is_superseded else 0.0
        bounds = commits.judge(1, version, taken_s - chance.uniform(0, 3), taken_s + chance.uniform(0, 3))
        assert bounds.certain_s <= staleness_s <= bounds.worst_s + 1e-9


def test_an_audit_tells_violations_from_reads_that_prove_nothing() -> None:
    audit = Audit(bound_s=15)
    for bounds in (CURRENT, Bounds(0, 1), Bounds(14, 16), Bounds(15.5, 16), Bounds(2, 3)):
        audit.take(bounds)
    assert (audit.reads, audit.stale, audit.violations, audit.inconclusive) == (5, 3, 1, 1)
    assert (audit.certain_max_s, audit.worst_max_s) == (15.5, 16)


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 51, 100, 100]
    assert percentile([], 0.5) == 0
