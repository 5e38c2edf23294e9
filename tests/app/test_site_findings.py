"""What the picture says is wrong: the hop that broke, by name, and nothing about what only suffers from it."""

from typing import Any

import pytest

from app.site.board import Sighting
from app.site.figures import UNCOMPARED_MS_MAX, WRONG_LATELY_MS
from app.site.models import State
from app.site.reports import AuditReport
from tests.app.sites import NOW, Site, mirror, sighting, source, toc
from versioning.liveness import Now

CUT: dict[str, Any] = {
    "is_connected": False,
    "read_age_ms": 12_000,
    "last_error": "Redis a:6379 is not available: timed out",
}


def cut_mirrors(**more: Any) -> list[Sighting]:
    cut: dict[str, Any] = CUT | more
    return [mirror("mirror-1", **cut), mirror("mirror-2", **cut)]


def test_when_all_is_well_nothing_is_found_and_every_part_says_so() -> None:
    site = Site().draw()
    assert (site.state, site.is_degraded, site.findings) == (State.OK, False, [])
    assert "B knows every change up to 0.4 s ago" in site.headline
    parts = [site.source, site.stream_a, site.wan, site.mirror, *site.gates, site.stream_b, site.service, site.toc]
    assert {part.state for part in parts} == {State.OK}


def test_a_cut_wan_is_named_with_how_long_nothing_was_heard_and_how_long_values_are_still_vouched_for() -> None:
    site = Site(mirrors=cut_mirrors(), lag_ms=12_400).draw()
    [finding] = site.findings
    assert (finding.code, site.wan.state, site.stream_a.state) == ("wan_cut", State.CRITICAL, State.OK)
    assert site.headline == "The WAN link is cut: the mirror has heard nothing from stream A for 12 s."
    assert "still vouched for. If this lasts 2.6 s longer" in site.effect
    assert "timed out" in finding.action


def test_beyond_the_largest_lag_it_says_that_values_are_served_for_a_while_only() -> None:
    site = Site(mirrors=cut_mirrors(read_age_ms=30_000), lag_ms=30_000).draw()
    assert site.is_degraded
    assert "served for 240 s at most since they were last proven current" in site.effect
    assert {site.stream_b.state, site.toc.state, site.service.state} == {State.WARNING}


def test_a_mirror_that_is_only_starting_is_no_cut_link() -> None:
    assert Site(mirrors=[mirror(is_connected=False, read_age_ms=200)]).codes() == []


@pytest.mark.parametrize(
    "error", ["Redis a:6379 refused us: WRONGPASS", "no TLS with Redis a:6379: certificate has expired"]
)
def test_a_refused_login_or_certificate_is_not_taken_for_a_cut_link(error: str) -> None:
    refused = cut_mirrors(last_error=error, last_reason="access_denied")
    [finding] = Site(mirrors=refused, lag_ms=12_000).draw().findings
    assert finding.code == "origin_refused"
    assert error in finding.action


def test_a_source_left_at_a_demoted_primary_is_not_taken_for_a_stream_b_that_takes_no_writes() -> None:
    ahead = mirror(gates={"mysql-b": {"is_up": True, "is_ahead": True, "applied": "0-2-16"}})
    site = Site(mirrors=[ahead], lag_ms=12_000).draw()
    [finding] = site.findings
    assert (finding.code, finding.state, site.source.state) == ("replica_ahead", State.CRITICAL, State.CRITICAL)
    assert site.headline == "The sources read a primary that mysql-b follows no more."


@pytest.mark.parametrize(
    ("reason", "does"), [("target_denied", "refuses the mirror's login"), ("target_lost", "does not answer the mirror")]
)
def test_a_mirror_that_does_not_get_into_redis_b_is_not_taken_for_a_cut_link(reason: str, does: str) -> None:
    shut_out = cut_mirrors(last_error="Redis b:6379 says no", last_reason=reason)
    site = Site(mirrors=shut_out, lag_ms=12_000).draw()
    [finding] = site.findings
    assert (finding.code, site.mirror.state, site.wan.state) == ("target_lost", State.CRITICAL, State.UNKNOWN)
    assert site.headline == f"Redis B {does}: nothing has entered stream B for 12 s."
    assert "Redis b:6379 says no" in finding.action


def test_with_stalled_sources_too_it_is_redis_a() -> None:
    stalled = [source(read_age_ms=12_000)]
    codes = Site(sources=stalled, mirrors=cut_mirrors(), lag_ms=12_000).codes()
    assert codes == ["stream_a_lost", "sources_stalled"]


def test_a_redis_a_that_has_just_died_is_not_taken_for_a_cut_link() -> None:
    codes = Site(sources=[source(read_age_ms=2_200)], mirrors=cut_mirrors(), lag_ms=3_000).codes()
    assert codes == ["stream_a_lost"]


def test_with_no_source_answering_either_it_is_datacenter_a() -> None:
    site = Site(sources=[source(is_up=False)], mirrors=cut_mirrors(), lag_ms=12_000).draw()
    assert [finding.code for finding in site.findings] == ["origin_unreachable"]
    assert site.stream_a.state is State.UNKNOWN


@pytest.mark.parametrize("is_connected", [True, False], ids=["backlog", "no binlog"])
def test_sources_that_do_not_get_on_say_why(is_connected: bool) -> None:  # noqa: FBT001
    stuck = source(is_connected=is_connected, read_age_ms=20_000, last_error="MySQL a:3306: gone")
    site = Site(sources=[stuck], lag_ms=20_000).draw()
    assert [finding.code for finding in site.findings] == ["sources_stalled"]
    assert "MySQL a:3306: gone." in site.findings[0].action


def test_one_of_two_down_is_a_warning_that_readers_do_not_notice() -> None:
    site = Site(
        sources=[source(), source("source-2", is_up=False)], mirrors=[mirror(is_up=False), mirror("mirror-2")]
    ).draw()
    assert [(finding.code, finding.state) for finding in site.findings] == [
        ("source_down", State.WARNING),
        ("mirror_down", State.WARNING),
    ]
    assert "source-2: nothing listens there" in site.findings[0].text
    assert "Readers notice nothing" in site.findings[0].effect


def test_processes_that_only_cannot_be_asked_are_no_outage_while_changes_arrive() -> None:
    site = Site(sources=[source(is_up=False)], mirrors=[mirror(is_up=False)]).draw()
    assert {finding.code for finding in site.findings} == {"sources_unseen", "mirrors_unseen"}
    assert site.state is State.WARNING


@pytest.mark.parametrize("lag_ms", [None, 8_000, 40_000])
def test_without_any_source_that_is_what_is_named(lag_ms: int | None) -> None:
    heard = mirror(read_ms=0) if lag_ms is None else mirror(read_age_ms=lag_ms)
    [finding] = Site(sources=[source(is_up=False)], mirrors=[heard], lag_ms=lag_ms).draw().findings
    assert (finding.code, finding.state) == ("sources_down", State.CRITICAL)
    assert "nothing listens there" in finding.text
    assert "Start `stampline source`" in finding.action


def test_sources_are_not_taken_for_dead_by_a_service_that_alone_is_cut_off_from_stream_b() -> None:
    alone = Site(sources=[source(is_up=False)], is_connected=False, lag_ms=40_000)
    assert alone.codes() == ["sources_unseen", "stream_b_unread"]


def test_without_any_mirror_nothing_enters_stream_b() -> None:
    assert Site(mirrors=[mirror(is_up=False)], lag_ms=20_000).codes() == ["mirrors_down"]


def test_mirrors_that_cannot_write_stream_b_are_told_from_a_cut_link() -> None:
    stuck = mirror(read_age_ms=20_000, last_error="Redis b:6379 answered an error: OOM")
    assert Site(mirrors=[stuck], lag_ms=20_000).codes() == ["mirrors_stalled"]


def test_mirrors_that_have_not_said_a_heartbeat_since_stream_b_was_lost_are_the_reason_that_is_named() -> None:
    silent = mirror(read_ms=0, last_error="the target stream has lost this origin's checkpoint")
    [finding] = Site(mirrors=[silent], lag_ms=None).draw().findings
    assert finding.code == "mirrors_stalled"
    assert "no heartbeat has entered stream B since it began" in finding.text
    assert "a generation that came late" in finding.action
    assert Site(mirrors=[silent], lag_ms=400).codes() == []


def test_a_replica_that_is_down_is_named_with_the_keys_that_are_pending_for_it() -> None:
    gates = {"mysql-b": {"is_up": False, "last_error": "MySQL b:3307: refused"}, "mysql-c": {"is_up": True}}
    site = Site(mirrors=[mirror(gates=gates)], pending=3).draw()
    assert [finding.code for finding in site.findings] == ["replica_unreachable", "keys_pending"]
    assert site.findings[1].text.startswith("3 keys are pending")
    assert {gate.name: gate.state for gate in site.gates} == {"mysql-b": State.CRITICAL, "mysql-c": State.OK}


def test_a_pending_gap_is_told_from_pending_keys() -> None:
    assert Site(pending=1, is_gap_pending=True).codes() == ["gap_pending"]
    site = Site(pending=3, is_gap_pending=True).draw()
    assert site.findings[1].text.startswith("2 keys are pending")


def test_a_replica_that_lags_is_the_one_whose_position_stands_still() -> None:
    held = mirror(gates={"b": {"is_up": True, "applied": "0-1-9"}, "c": {"is_up": True, "applied": "0-1-5"}}, held=4)
    held.moved_ms = {"b": 99_000, "c": 70_000}
    site = Site(mirrors=[held], replica_lag_ms=30_000).draw()
    assert [(finding.code, finding.part) for finding in site.findings] == [("replica_lagging", "gate:c")]


def test_a_service_that_alone_is_cut_off_does_not_cry_for_everybody() -> None:
    error = "Redis b:6379 is not available"
    alone = Site(is_connected=False, lag_ms=20_000, last_error=error)
    assert (alone.draw().findings[0].code, alone.draw().findings[0].state) == ("stream_b_unread", State.WARNING)
    tocs = [toc(is_connected=False)]
    assert Site(is_connected=False, lag_ms=20_000, last_error=error, others=tocs).codes() == ["stream_b_lost"]


def test_a_service_that_reads_the_window_says_so() -> None:
    assert Site(is_covered=False).codes() == ["starting"]


def test_web_processes_that_are_down_or_cut_off_are_named() -> None:
    others = [toc(), toc("toc-2", is_up=False), toc("toc-3", is_lagging=True, last_error="Redis b:6379: no route")]
    site = Site(others=others).draw()
    assert [finding.code for finding in site.findings] == ["web_processes_down", "web_processes_cut_off"]
    assert "toc-3" in site.findings[1].text


def test_another_version_service_down_is_a_warning() -> None:
    assert Site(others=[sighting("serve", "service-2", is_up=False)]).codes() == ["service_down"]


def test_wrong_values_seen_by_the_audit_are_told_with_their_numbers() -> None:
    rows = [{"namespace": "tracker_web", "after_s": 60, "consistent": 99, "wrong": 1, "nines": "2.0"}]
    site = Site(others=[sighting("audit", wrong=1, rows=rows)]).draw()
    assert site.findings[0].code == "audit_wrong"
    assert "1 of tracker_web after 60 s" in site.findings[0].text
    assert site.audit.rows[0].nines == "2.0"


def test_wrong_values_of_long_ago_are_no_warning_any_more_and_new_ones_are() -> None:
    rows = [{"namespace": "tracker_web", "after_s": 60, "consistent": 99, "wrong": 1, "nines": "2.0"}]
    audit = sighting("audit", age_ms=WRONG_LATELY_MS + 1, wrong=1, rows=rows)
    audit.took(AuditReport.model_validate({"wrong": 1, "rows": rows}), NOW)
    site = Site(others=[audit]).draw()
    assert (site.findings, site.audit.text) == ([], "100 values compared, none wrong within the last hour.")
    audit.took(AuditReport.model_validate({"wrong": 2, "rows": rows}), NOW)
    assert Site(others=[audit]).codes() == ["audit_wrong"]


@pytest.mark.parametrize(
    ("consistent", "inconclusive", "codes"),
    [(99, 7, []), (100, 30, []), (99, 8, ["audit_blind"])],
    ids=["no-look", "one-tells", "none-tells"],
)
def test_an_audit_whose_looks_tell_nothing_any_more_is_not_well(
    consistent: int, inconclusive: int, codes: list[str]
) -> None:
    row = {"namespace": "tracker_web", "after_s": 60, "consistent": 99, "inconclusive": 7}
    audit = sighting("audit", age_ms=30_000, rows=[row])
    later = AuditReport.model_validate({"rows": [row | {"consistent": consistent, "inconclusive": inconclusive}]})
    audit.took(later, NOW)
    assert Site(others=[audit]).codes() == codes


@pytest.mark.parametrize(
    ("ago_ms", "consistent", "unserved", "codes"),
    [
        (UNCOMPARED_MS_MAX, 0, 8, []),
        (UNCOMPARED_MS_MAX + 1, 0, 8, ["audit_compares_nothing"]),
        (UNCOMPARED_MS_MAX + 1, 0, 7, []),
        (UNCOMPARED_MS_MAX + 1, 1, 8, []),
    ],
    ids=["not for long", "for hours", "no look", "compared just now"],
)
def test_an_audit_that_finds_nothing_to_compare_for_hours_is_not_well(
    ago_ms: int, consistent: int, unserved: int, codes: list[str]
) -> None:
    row = {"namespace": "tracker_web", "after_s": 60, "unserved": 7}
    audit = sighting("audit", age_ms=ago_ms, rows=[row])
    before = Now(NOW.ms - 30_000, NOW.monotonic_ms - 30_000)
    audit.took(AuditReport.model_validate({"rows": [row]}), before)
    audit.took(AuditReport.model_validate({"rows": [row | {"consistent": consistent, "unserved": unserved}]}), NOW)
    assert Site(others=[audit]).codes() == codes


def test_an_audit_that_ended_is_missed() -> None:
    assert Site(others=[sighting("audit", is_up=False)]).codes() == ["audit_down"]


def test_with_nobody_listed_it_says_what_it_knows_and_that_it_knows_no_more() -> None:
    site = Site([], [], [], lag_ms=20_000).draw()
    assert [finding.code for finding in site.findings] == ["lagging"]
    assert {site.source.state, site.wan.state, site.mirror.state, site.toc.state, site.audit.state} == {State.UNKNOWN}
    assert Site([], [], []).draw().state is State.OK


def test_what_only_suffers_or_is_down_besides_does_not_tell_why_nothing_is_heard() -> None:
    web_down = [toc(is_up=False)]
    assert Site([], [], web_down, lag_ms=60_000).codes() == ["lagging", "web_processes_down"]


def test_where_no_heartbeat_ever_came_it_says_so() -> None:
    site = Site([], [], [], lag_ms=None, is_covered=True).draw()
    assert site.headline.startswith("Nothing was heard of the source yet")
    silent = Site(mirrors=[mirror(is_up=False)], lag_ms=None).draw()
    assert "unknown time" not in silent.stream_b.text


def test_sources_that_do_not_answer_are_not_drawn_as_well() -> None:
    down = [source(is_up=False)]
    for mirrors in ([], cut_mirrors(), [mirror(is_up=False)]):
        site = Site(down, mirrors, lag_ms=60_000).draw()
        assert (site.source.state, site.source.text) == (State.UNKNOWN, "No source tells.")


def test_the_worst_comes_first() -> None:
    site = Site(sources=[source(), source("source-2", is_up=False)], mirrors=cut_mirrors(), lag_ms=12_000)
    assert site.codes() == ["wan_cut", "source_down"]


def test_figures_of_a_process_that_is_down_are_its_last_ones_and_grow_old() -> None:
    site = Site(mirrors=[mirror(), mirror("mirror-2", age_ms=12_000, is_up=False)]).draw()
    up, down = site.mirror.processes
    assert (up.figures and up.figures.read_age_ms, up.seen_age_ms) == (400, 500)
    assert (down.is_up, down.reason, down.seen_age_ms) == (False, "nothing listens there", 12_000)
    assert down.figures is not None
    assert down.figures.read_age_ms == 900


def test_a_process_that_has_not_been_asked_for_long_is_not_vouched_for_as_up() -> None:
    [process] = Site(sources=[source(age_ms=6_000)]).draw().source.processes
    assert not process.is_up
