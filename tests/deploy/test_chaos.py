"""The matrix's own judgement, on results made by hand: what the table calls kept must be kept."""

import dataclasses
from typing import Any

import pytest

from deploy.simulation.chaos.__main__ import parse, plan
from deploy.simulation.chaos.faults import MATRIX
from deploy.simulation.chaos.limits import Limits
from deploy.simulation.chaos.observer import Observer
from deploy.simulation.chaos.readers import Meter
from deploy.simulation.chaos.report import as_json, as_markdown
from deploy.simulation.chaos.results import Cell, CellResult
from deploy.simulation.chaos.stamps import Coverage, Raw, coverage
from deploy.simulation.chaos.symptoms import complaint
from deploy.simulation.chaos.writers import Commit
from deploy.simulation.configs import TOCS
from deploy.simulation.staleness import Audit, Bounds
from versioning.options import CacheOptions

WELL = {"is_lagging": False, "is_connected": True, "lag_ms": 80, "replica_lag_ms": 90}


def result(component: str = "mirror", **changes: object) -> CellResult:
    kept = CellResult(
        cell=Cell(component, "kill", "load"),
        promise_s=15,
        degraded_ttl_s=12,
        provisional_ttl_s=0.1,
        fault_s=6,
        watched_s=10,
        meters={name: Meter(Audit(15), Audit(15)) for name in TOCS},
        reads_of={1: 1_000, 2: 10},
        loads=100,
        detected_s=1,
        detected_by="toc-1: lagging",
        recovered_s=1,
        converged_s=1,
        stamps=Coverage(commits=100, lost=0, by_gap=0, duplicates=0),
    )
    for meter in kept.meters.values():
        meter.whole.take(Bounds(0, 1))
        meter.own.take(Bounds(0, 1))
        meter.latencies_ms[3.0] += 1
    return dataclasses.replace(kept, **changes)  # type: ignore[arg-type]


def violated(broken: CellResult) -> list[str]:
    return [violation[:2] for violation in broken.violations]


def test_a_quiet_cell_is_kept() -> None:
    assert result().violations == []


def test_a_read_staler_than_the_promise_breaks_i1_unless_the_replica_lagged() -> None:
    broken = result()
    broken.meters["toc-2"].own.take(Bounds(15.1, 16))
    assert violated(broken) == ["I1"]
    lagged = result()
    lagged.meters["toc-2"].whole.take(Bounds(15.1, 16))
    assert lagged.violations == []


def test_a_lost_stamp_breaks_i3() -> None:
    assert violated(result(stamps=Coverage(100, 1, 0, 0))) == ["I3"]


@pytest.mark.parametrize("changes", [{"converged_s": None}, {"recovered_s": None}])
def test_who_does_not_recover_breaks_i5(changes) -> None:
    assert violated(result(**changes)) == ["I5"]


def test_more_loads_than_the_bound_break_i6_and_without_redis_every_process_loads_for_itself() -> None:
    assert violated(result(loads=900)) == ["I6"]
    assert result("redis-b", loads=900).violations == []


def test_a_pending_key_may_be_loaded_once_per_provisional_life_and_read() -> None:
    settled = result().loads_max
    assert result("replica").loads_max == settled + 100 + 10


@pytest.mark.parametrize(
    ("component", "toc", "broken"),
    [("redis-b", "toc-1", ["I7"]), ("toc", "toc-2", ["I7"]), ("toc", "toc-1", []), ("mysql-b", "toc-2", [])],
)
def test_a_failed_read_breaks_i7_unless_its_process_or_its_database_is_the_victim(component, toc, broken) -> None:
    failed = result(component)
    failed.meters[toc].errors += 1
    assert violated(failed) == broken
    assert failed.errors + failed.excused == 1


def change(gtid: str, *rows: int) -> Raw:
    return Raw(5_000, "change", {"keys": [f"tracker_web:{row}" for row in rows], "gtid": gtid})


def test_a_commit_is_covered_by_a_stamp_of_the_same_or_a_later_position() -> None:
    commits = [Commit(1, 1_000, "0-1-10"), Commit(1, 1_000, "0-1-12"), Commit(2, 1_000, "0-1-11")]
    assert coverage(commits, [change("0-1-12", 1), change("0-1-11", 2)]) == Coverage(3, 0, 0, 0)
    assert coverage(commits, [change("0-1-10", 1, 2)]) == Coverage(3, 2, 0, 0)


def test_a_stamp_of_another_key_or_without_a_position_covers_nothing() -> None:
    assert coverage([Commit(1, 1_000, "0-1-10")], [change("0-1-10", 2), change("", 1)]).lost == 1


def test_a_gap_covers_what_was_committed_before_it() -> None:
    gap = Raw(5_000, "gap", {"reason": "purged"})
    assert coverage([Commit(1, 1_000, "0-1-10"), Commit(1, 4_500, "0-1-11")], [gap]) == Coverage(2, 1, 1, 0)


def test_a_generation_of_the_namespace_covers_its_keys() -> None:
    aged_out = Raw(5_000, "generation", {"namespaces": ["tracker_web"], "gtid": "0-1-11"})
    assert coverage([Commit(1, 1_000, "0-1-10")], [aged_out]).lost == 0


def test_stamps_given_twice_are_counted() -> None:
    assert coverage([Commit(1, 1_000, "0-1-10")], [change("0-1-10", 1), change("0-1-10", 1)]).duplicates == 1


def test_the_caches_part_of_a_staleness_begins_when_the_replica_shows_the_version() -> None:
    observer = Observer()
    for version, moment in ((0, 0.0), (1, 10.0)):
        observer.commits.begin(7, moment)
        observer.commits.commit(7, version, moment + 0.5)
    observer.see({7: 0}, 1, 1.5)
    observer.see({7: 0}, 19, 19.5)
    assert observer.judge(7, 0, 20, 20.25) == (Bounds(9.5, 10.25), Bounds(0, 1.25))
    observer.see({7: 1}, 21, 21.5)
    assert observer.judge(7, 0, 25, 25.25) == (Bounds(14.5, 15.25), Bounds(3.5, 6.25))
    assert observer.judge(7, 1, 25, 25.25) == (Bounds(0, 0), Bounds(0, 0))


@pytest.mark.parametrize("scale", [1, 5, 20, 40])
def test_scaled_limits_are_limits_a_cache_accepts_and_keep_the_promise(scale) -> None:
    limits = Limits(scale)
    settings = limits.settings("toc")
    options: dict[str, Any] = {key.partition(".")[2]: value for key, value in settings.items() if key[:4] == "toc."}
    CacheOptions(**options, window_ms=settings["stream.window_s"] * 1000)
    gate_limit_ms = limits.settings("mirror")["mirror.gate_limit_ms"]
    assert (limits.degraded_ttl_ms + gate_limit_ms + limits.max_lag_ms) / 1000 < limits.promise_s


def test_a_toc_complains_of_what_it_cannot_vouch_for() -> None:
    assert complaint(WELL, 750) is None
    assert complaint(WELL | {"is_lagging": True, "lag_ms": 900}, 750) == "lagging 900 ms"
    assert complaint(WELL | {"is_connected": False}, 750) == "cut off from the stream"
    assert complaint(WELL | {"replica_lag_ms": 800}, 750) == "the replica lags 800 ms"


def test_the_whole_matrix_is_planned_unless_parts_are_named() -> None:
    assert len(plan(parse([]))) == 3 * sum(len(faults) for faults in MATRIX.values())
    named = parse(["--components", "wan,replica", "--faults", "cut", "--loads", "hot"])
    assert [str(cell) for cell, _ in plan(named)] == ["wan cut hot", "replica cut hot"]
    with pytest.raises(SystemExit):
        parse(["--faults", "flood"])


def test_the_report_names_every_cell_and_what_it_broke() -> None:
    run = {"command": "deploy/chaos.sh", "date": "today", "scale": 20, "promise_s": 15}
    results = [result(), result("wan", converged_s=None)]
    text = as_markdown(results, run)
    assert "2 cells, 1 with a violated invariant" in text
    assert "| mirror | kill | load |" in text
    assert "I5: not converged in time |" in text
    told = as_json(results, run)
    assert told["violated"] == 1
    assert [cell["violations"] for cell in told["cells"]] == [[], ["I5: not converged in time"]]
