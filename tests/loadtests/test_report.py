"""The report: requirements computed from figures, and shown alike in Markdown, HTML and RESULTS.md."""

import pytest

from loadtests.report import summary, text
from loadtests.report.requirements import lines
from tests.loadtests.made_up import DELETE, STAMPLINE, TTL, change, results


def verdicts(made):
    return {line.requirement: line.verdict for line in lines(made)}


def test_all_is_reached_where_every_figure_is_good():
    assert set(verdicts(results()).values()) == {"reached"}


@pytest.mark.parametrize(
    ("requirement", "mode", "phase", "worse"),
    [
        ("inconsistency < 5 min", STAMPLINE, "steady", {"delay_ms": {"p99": 201.0}}),
        ("inconsistency < 5 min", STAMPLINE, "steady", {"delay_ms": {"p99": None, "unseen": 3}}),
        ("inconsistency < 5 min under every fault", STAMPLINE, "fault: wan-cut", {"staleness": {"violations": 1}}),
        ("hit rate > 90 %", STAMPLINE, "steady", {"hit_rate": 0.914}),
        ("load increase < 5 %: MySQL", STAMPLINE, "hot key", {"loads": 11}),
        ("real-time single updates", STAMPLINE, "500 updates/s", {"p99_ms": 11.5}),
        ("uptime 99.99 %", STAMPLINE, "fault: redis-restart", {"failed": 2}),
        ("no eviction storm", STAMPLINE, "bulk", {"loads_per_s_peak": 121.0}),
        ("no eviction storm", STAMPLINE, "namespace bump", {"loads_per_s_peak": 200.0}),
    ],
)
def test_one_bad_figure_makes_its_line_short_and_no_other(requirement, mode, phase, worse):
    made = results()
    change(made, mode, phase, **worse)
    assert {name for name, verdict in verdicts(made).items() if verdict == "short"} == {requirement}


@pytest.mark.parametrize(
    ("requirement", "worse"),
    [
        ("added latency < 100 ms", {"p99_ms": 10.6}),
        ("load increase < 5 %: Redis", {"commands_per_read": 0.403}),
        ("load increase < 5 %: CPU of ToC", {"cpu_ms_per_read": 0.43}),
    ],
)
def test_what_is_compared_side_by_side(requirement, worse):
    made = results()
    made["paired"][STAMPLINE] |= worse
    short = [line for line in lines(made) if line.verdict == "short"]
    assert [line.requirement for line in short] == [requirement]
    assert short[0].reason


def test_what_was_not_measured_is_neither_reached_nor_short():
    made = results()
    made["paired"] = {}
    change(made, STAMPLINE, "steady", failure="OSError: gone")
    missing = {name for name, verdict in verdicts(made).items() if verdict == "not measured"}
    assert {"hit rate > 90 %", "no eviction storm"} < missing
    assert len(missing) == 7


def test_the_reports_show_every_table_and_stand_alone():
    made = results()
    shown = text.markdown(made, ("picture",))
    page = text.page(made, {"picture": b"\x89PNG"})
    for table in text.all_tables(made):
        assert f"## {table.title}\n" in shown
        assert all(len(row) == len(table.head) for row in table.rows)
    assert "![" in shown
    assert "(picture.png)" in shown
    assert "src='data:image/png;base64,iVBORw=='" in page
    assert "http" not in page
    assert page.count("class='reached'") == len(lines(made))


def test_a_run_that_lost_a_world_is_still_reported():
    made = results()
    del made["worlds"][DELETE]
    made["worlds"][TTL]["phases"] = []
    made["failures"] = ["world delete: ProcessError: <no server>"]
    assert "world delete: ProcessError" in text.markdown(made)
    assert "&lt;no server&gt;" in text.page(made, {})
    assert "not measured" in text.markdown(made)


def test_the_section_of_results_md_replaces_itself_and_nothing_else(tmp_path):
    file = tmp_path / "RESULTS.md"
    summary.put(file, "first\n")
    file.write_text(file.read_text() + "\n## Another section\n\nkept\n")
    summary.put(file, summary.section(results()))
    summary.put(file, "third\n")
    written = file.read_text()
    assert written == (f"# Results\n\n{summary.BEGIN}\nthird\n{summary.END}\n\n## Another section\n\nkept\n")
