"""The doctor's checks of Redis, of streams, and of what fits together; and its report."""

from dataclasses import replace

import pytest

from replicator.doctor.findings import Finding, Severity
from replicator.doctor.redis_checks import StreamFacts, check_stream
from replicator.doctor.report import as_json, lines, summary
from replicator.doctor.site import Load, Plan, Site, judge
from tests.replicator.doctor_facts import (
    NOW_MS,
    PRIMARY,
    REDIS,
    REPLICA,
    SCHEMA,
    TABLES,
    case_id,
    entry,
    stream,
    with_variables,
)
from versioning import stamp as stamps
from versioning.backends.base import StreamState
from versioning.checkpoint import Checkpoint

ERROR, WARNING = Severity.ERROR, Severity.WARNING
PLAN = Plan(tables=TABLES, has_mirror=True, gate_addresses=("b:3306",), is_ttl_known=True)
SITE = Site(
    PLAN,
    PRIMARY,
    SCHEMA,
    (REPLICA,),
    (Load("toc.mysql", "b:3306"),),
    (stream(),),
    (replace(REDIS, policy="allkeys-lru"),),
)
EMPTY = StreamState(stamps.ZERO, "", stamps.ZERO, "", {})


def the_one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def last_heard(age_ms: int, *others: str) -> StreamState:
    """Others were heard of just now."""
    ages_ms = {"source:mysql-a": age_ms, **dict.fromkeys(others, 0)}
    checkpoints = {name: Checkpoint("0-1-9", NOW_MS - heard_ms, "n9") for name, heard_ms in ages_ms.items()}
    return StreamState(stamps.make(NOW_MS), "n9", 0, "d1", checkpoints)


def torn(ago_ms: int) -> StreamFacts:
    return stream(state=replace(last_heard(1_000), torn=stamps.make(NOW_MS - ago_ms)))


def damaged(writer: str) -> StreamFacts:
    state = last_heard(1_000)
    checkpoints = {**state.checkpoints, writer: Checkpoint.decode("edited by hand")}
    return stream(state=replace(state, checkpoints=checkpoints), name="shop")


def unfenced(replicas: int) -> StreamFacts:
    return stream(servers=(replace(REDIS, replicas=replicas, is_fenced=False),), wait_replicas=1)


def test_a_proper_site_has_no_findings_and_cached_values_may_be_evicted() -> None:
    assert judge(SITE) == []


def test_a_stream_that_never_was_only_lacks_its_writer() -> None:
    new = stream(state=EMPTY, oldest=None, newest=None)
    assert the_one(list(check_stream(new))).fix == "stampline source --config FILE"


@pytest.mark.parametrize(
    ("facts", "check", "severity", "fix"),
    [
        (stream(servers=(replace(REDIS, version="6.2.7"),)), "redis_version", ERROR, "install Redis 7.0"),
        (stream(servers=(replace(REDIS, is_saving_failed=True),)), "redis_saving", ERROR, "free its disk"),
        (stream(servers=(replace(REDIS, role="slave"),)), "redis_role", ERROR, "sentinel://"),
        (stream(servers=(replace(REDIS, policy="volatile-lru"),)), "eviction", ERROR, "maxmemory-policy noeviction"),
        (stream(servers=(replace(REDIS, has_aof=False),)), "persistence", WARNING, "CONFIG SET appendonly yes"),
        (
            stream(servers=(replace(REDIS, memory_limit_bytes=1_050_000),)),
            "memory",
            WARNING,
            "CONFIG SET maxmemory 2100000",
        ),
        (stream(servers=(replace(REDIS, replicas=1),)), "replicas", WARNING, "wait_replicas = 1"),
        (stream(wait_replicas=2), "replicas", ERROR, "wait_replicas = 0"),
        (unfenced(1), "split_brain", WARNING, "add a second replica"),
        (unfenced(2), "split_brain", WARNING, "redis-cli CONFIG SET min-replicas-to-write 1"),
        (stream(newest=entry(NOW_MS - 1, "n8", "n7")), "stream_end", ERROR, "heals by itself"),
        (stream(newest=None, oldest=None), "stream_end", ERROR, "let nothing but stampline write there"),
        (stream(state=EMPTY, writers=(), digest=""), "stream_state", ERROR, "heals by itself"),
        (torn(60_000), "stream_torn", WARNING, "no XADD"),
        (stream(oldest=entry(NOW_MS - 60_000, "n1", "n0")), "stream_trimmed", ERROR, "window_s = 2100"),
        (stream(state=last_heard(20_000)), "checkpoint", WARNING, "stampline source"),
        (stream(state=last_heard(3_600_000)), "checkpoint", ERROR, "stampline source"),
        (stream(state=last_heard(NOW_MS)), "checkpoint", WARNING, "wait for the end of its replay"),
        (stream(state=last_heard(20_000), writers=("mirror:a",)), "checkpoint", WARNING, "stampline mirror"),
        (damaged("source:mysql-a"), "checkpoint_damaged", WARNING, "HDEL '{shop}:state' cp:source:mysql-a"),
        (damaged("source:of old"), "checkpoint_damaged", WARNING, "HDEL '{shop}:state' 'cp:source:of old'"),
        (stream(state=last_heard(1_000, "source:mysql-c")), "writers", ERROR, "a stream.name of its own"),
        (stream(digest="d2"), "templates", ERROR, "--adopt-templates"),
    ],
    ids=case_id,
)
def test_a_stream_in_danger_is_named_with_its_fix(facts: StreamFacts, check: str, severity: Severity, fix: str) -> None:
    found = the_one(list(check_stream(facts)))
    assert (found.check, found.severity, found.subject) == (check, severity, "stream r:6379")
    assert fix in found.fix


def test_of_a_cluster_the_server_is_named_that_is_meant() -> None:
    second = replace(REDIS, address="r2:6379", policy="volatile-lru", clock_offset_ms=1_200, is_tls=False)
    of_cluster = stream(address="r1:6379,r2:6379", servers=(replace(REDIS, address="r1:6379"), second))
    found = judge(replace(SITE, streams=(of_cluster,)))
    assert {finding.check: finding.subject for finding in found} == dict.fromkeys(
        ("eviction", "clock", "tls"), "stream r2:6379"
    )


def test_a_young_stream_is_not_a_trimmed_one() -> None:
    assert list(check_stream(stream(oldest=entry(NOW_MS - 60_000, "n1", "")))) == []


@pytest.mark.parametrize(
    ("site", "check", "severity", "fix"),
    [
        (replace(SITE, gates=(with_variables(REPLICA, server_id="1"),)), "server_id", ERROR, "server_id = 2"),
        (replace(SITE, source=with_variables(PRIMARY, server_id="0")), "server_id", ERROR, "a number of its own"),
        (replace(SITE, plan=replace(PLAN, reader_id=2)), "server_id", ERROR, "take server_id out of [source]"),
        (replace(SITE, source=replace(PRIMARY, clock_offset_ms=-1500)), "clock", ERROR, "chronyc makestep"),
        (replace(SITE, streams=(stream(servers=(replace(REDIS, clock_offset_ms=1200),)),)), "clock", ERROR, "chrony"),
        (replace(SITE, plan=replace(PLAN, window_ms=900_000)), "window", ERROR, "window_s = 1860"),
        (replace(SITE, plan=replace(PLAN, redis_ttl_ms=3_600_000)), "window", ERROR, "window_s = 3660"),
        (
            replace(SITE, plan=replace(PLAN, window_ms=900_000, is_ttl_known=False)),
            "window",
            WARNING,
            "window_s = 1860",
        ),
        (replace(SITE, plan=replace(PLAN, degraded_ttl_ms=290_000)), "bound", ERROR, "degraded_ttl_ms = 240000"),
        (replace(SITE, plan=replace(PLAN, gate_addresses=())), "gate", WARNING, "add a [[mirror.gate]]"),
        (replace(SITE, loads=(Load("toc.mysql", "c:3307"),)), "gate", ERROR, 'host = "c" and port = 3307'),
        (replace(SITE, loads=(Load("audit.mysql", "a:3306", PRIMARY),)), "gate", ERROR, 'host = "a" and port = 3306'),
        (replace(SITE, values=(replace(REDIS, version="6.0.1"),)), "redis_version", ERROR, "install Redis 7.0"),
    ],
    ids=case_id,
)
def test_what_does_not_fit_together_is_named_with_its_fix(site: Site, check: str, severity: Severity, fix: str) -> None:
    found = the_one(judge(site))
    assert (found.check, found.severity) == (check, severity)
    assert fix in found.fix


def test_a_clock_is_not_blamed_for_a_slow_answer() -> None:
    assert judge(replace(SITE, source=replace(PRIMARY, clock_offset_ms=1500, clock_error_ms=600))) == []


@pytest.mark.parametrize("told", [{}, {"server_uid": "U2"}], ids=["id", "uid"])
def test_a_database_is_listed_under_whatever_name(told: dict[str, str]) -> None:
    here = replace(REPLICA, role="toc", address="localhost:3306")
    loads = (Load("toc.mysql", here.address, with_variables(here, **told)),)
    assert judge(replace(SITE, gates=(with_variables(REPLICA, **told),), loads=loads)) == []


def test_one_server_under_two_addresses_is_no_clash() -> None:
    source = with_variables(PRIMARY, server_uid="U1")
    assert judge(replace(SITE, source=source, gates=(replace(source, role="gate a", address="a.example:3306"),))) == []


LATE = Finding(WARNING, "source a:3306", "sync_binlog", "sync_binlog is 0", "SET GLOBAL sync_binlog = 1;")
GONE = Finding(ERROR, "stream r:6379", "unreached", "not\nthere", "start it")


def test_errors_come_first() -> None:
    site = replace(SITE, source=with_variables(PRIMARY, sync_binlog="0", log_bin="OFF"))
    assert [finding.severity for finding in judge(site)] == [ERROR, WARNING]


def test_a_finding_is_one_line() -> None:
    shown = lines([GONE, LATE])
    assert len(shown) == 2
    assert not any("\n" in line for line in shown)
    assert shown[0].endswith("stream r:6379  not there  fix: start it")


def test_the_summary_counts_and_names_what_was_asked() -> None:
    assert summary([GONE, LATE], ["source a:3306"]) == "1 errors, 1 warnings: checked source a:3306"
    assert summary([], []) == "ok: checked nothing"


def test_json_has_the_same() -> None:
    report = as_json([GONE, LATE], ["source a:3306"])
    assert (report["errors"], report["warnings"], report["asked"]) == (1, 1, ["source a:3306"])
    assert report["findings"][1]["fix"] == LATE.fix
