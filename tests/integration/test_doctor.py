"""The doctor on real servers: silent where all is well, and right about what is not. A fix that is SQL is typed in."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from pymysql.err import OperationalError

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.mysql56 import MySql56
from deploy.simulation.redis_server import RedisServer
from deploy.simulation.redis_sets import RedisCluster, RedisSentinel
from deploy.simulation.sql_server import PASSWORD
from replicator.doctor.ask_mysql import ask_server
from replicator.doctor.binlog_checks import Retention, check_binlog
from replicator.doctor.histories import check_histories
from tests.eventually import until
from tests.integration.doctor_world import DoctorWorld
from tests.integration.roles import Role, write_config
from tests.integration.source_world import address
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_facts import redis_facts
from versioning.cli import program
from versioning.limits import CLOCK_ERROR_MS


@pytest.fixture
def world(
    mariadb_a: MariaDb,
    replica_b: MariaDb,
    redis_a: RedisServer,
    redis_b: RedisServer,
    database: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[DoctorWorld]:
    parts = {"a": mariadb_a, "b": replica_b, "redis_a": redis_a, "redis_b": redis_b, "database": database}
    with DoctorWorld.open(**parts, folder=tmp_path, capsys=capsys) as opened:
        yield opened


def test_a_proper_world_has_no_findings(world: DoctorWorld) -> None:
    assert world.examine("--json").findings == []
    done = world.examine()
    assert done.code == 0
    assert done.out.startswith("ok: checked source ")
    assert done.out.count("\n") == 1


def test_roles_at_work_leave_no_findings(world: DoctorWorld, tmp_path: Path) -> None:
    for redis in (world.redis_a, world.redis_b):
        redis.flush()
    config = world.config()
    of_a = config.read_text().replace(
        f'[stream]\nurl = "{world.redis_b.url}"', f'[stream]\nurl = "{world.redis_a.url}"'
    )
    source = write_config(tmp_path, of_a.replace("server_id = 4000000000", "server_id = 4000000001"), "source.toml")
    with (
        Role(["source", "--metrics-port", "PORT"], source, ready="/readyz"),
        Role(["mirror", "--metrics-port", "PORT"], config, ready="/readyz"),
    ):
        assert world.examine("--json").findings == []


Break = Callable[[DoctorWorld], AbstractContextManager[None]]


@contextlib.contextmanager
def replica_stopped(world: DoctorWorld) -> Iterator[None]:
    world.b.stop_replication()
    try:
        yield
    finally:
        world.b.start_replication()


@contextlib.contextmanager
def replica_filtered(world: DoctorWorld) -> Iterator[None]:
    world.b.stop_replication()
    world.b.execute("SET GLOBAL replicate_ignore_db = 'elsewhere'")
    world.b.start_replication()
    try:
        yield
    finally:
        world.b.stop_replication()
        world.b.execute("SET GLOBAL replicate_ignore_db = ''")
        world.b.start_replication()


def replica_left_without(name: str, ids: str) -> Break:
    @contextlib.contextmanager
    def left_without(world: DoctorWorld) -> Iterator[None]:
        _change_ids(world, name, ids)
        try:
            yield
        finally:
            _change_ids(world, name, "")

    left_without.__name__ = name
    return left_without


def _change_ids(world: DoctorWorld, name: str, ids: str) -> None:
    world.b.stop_replication()
    world.b.execute(f"CHANGE MASTER TO {name} = ({ids})")
    world.b.start_replication()


@contextlib.contextmanager
def replica_that_skips_what_is_marked(world: DoctorWorld) -> Iterator[None]:
    world.b.stop_replication()
    with world.set_global(world.b, "replicate_events_marked_for_skip", "FILTER_ON_SLAVE"):
        world.b.start_replication()
        try:
            yield
        finally:
            world.b.stop_replication()
    world.b.start_replication()


@contextlib.contextmanager
def replica_by_offset(world: DoctorWorld) -> Iterator[None]:
    world.b.stop_replication()
    world.b.execute("CHANGE MASTER TO MASTER_USE_GTID = no")
    world.b.start_replication()
    try:
        yield
    finally:
        world.b.replicate_from(world.a.port)


@contextlib.contextmanager
def without_right_to_read_the_binlog(world: DoctorWorld) -> Iterator[None]:
    user = "shop_poor"
    world.a.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'")
    world.a.execute(f"GRANT REPLICATION CLIENT, SLAVE MONITOR ON *.* TO '{user}'@'%'")
    world.a.execute(f"GRANT SELECT, REFERENCES ON `{world.database}`.* TO '{user}'@'%'")
    world.source_user = user
    try:
        yield
    finally:
        world.a.execute(f"DROP USER '{user}'@'%'")


@contextlib.contextmanager
def with_more_rights_than_its_work_needs(world: DoctorWorld) -> Iterator[None]:
    user = "shop_rich"
    world.a.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'")
    world.a.execute(f"GRANT REPLICATION SLAVE, REPLICATION CLIENT, SLAVE MONITOR ON *.* TO '{user}'@'%'")
    rights = "SELECT, REFERENCES, INSERT, DELETE, DROP"
    world.a.execute(f"GRANT {rights} ON `{world.database}`.* TO '{user}'@'%' WITH GRANT OPTION")
    world.source_user = user
    try:
        yield
    finally:
        world.a.execute(f"DROP USER '{user}'@'%'")


@contextlib.contextmanager
def without_right_to_see_replication(world: DoctorWorld) -> Iterator[None]:
    world.gate_user = "toc"
    yield


@contextlib.contextmanager
def without_primary_key(world: DoctorWorld) -> Iterator[None]:
    world.a.execute("ALTER TABLE item DROP PRIMARY KEY", database=world.database)
    yield


@contextlib.contextmanager
def with_a_cascade(world: DoctorWorld) -> Iterator[None]:
    world.a.execute("CREATE TABLE shelf (id INT NOT NULL PRIMARY KEY) ENGINE = InnoDB", database=world.database)
    added = "ALTER TABLE item ADD CONSTRAINT on_shelf FOREIGN KEY (shelf) REFERENCES shelf (id) ON DELETE CASCADE"
    world.a.execute(added, database=world.database)
    yield


SET_WRONGLY = {
    "a": [
        ("binlog_format", "STATEMENT", "binlog_format", "error"),
        ("binlog_row_image", "MINIMAL", "binlog_row_image", "warning"),
        ("binlog_row_metadata", "NO_LOG", "binlog_row_metadata", "warning"),
        ("binlog_checksum", "NONE", "binlog_checksum", "warning"),
        ("log_bin_compress", "ON", "log_bin_compress", "warning"),
        ("gtid_strict_mode", "OFF", "gtid_strict_mode", "warning"),
        ("sync_binlog", "0", "sync_binlog", "warning"),
        # Nothing is purged here: no binlog of these servers is that old.
        ("binlog_expire_logs_seconds", "1800", "binlog_retention", "error"),
    ],
    "b": [
        ("read_only", "OFF", "read_only", "warning"),
        ("gtid_strict_mode", "OFF", "gtid_strict_mode", "warning"),
        ("slave_exec_mode", "IDEMPOTENT", "replica_errors", "warning"),
    ],
}


@pytest.mark.parametrize("where", ["a", "b"])
def test_every_variable_that_is_set_wrongly_is_mended_by_its_own_fix(world: DoctorWorld, where: str) -> None:
    server: MariaDb = getattr(world, where)
    with contextlib.ExitStack() as undo:
        for name, value, _, _ in SET_WRONGLY[where]:
            undo.enter_context(world.set_global(server, name, value))
        found = world.examine("--json")
        assert {(finding["check"], finding["severity"]) for finding in found.findings} == {
            (check, severity) for _, _, check, severity in SET_WRONGLY[where]
        }
        assert found.code == (1 if where == "a" else 0)
        for finding in found.findings:
            assert server.address in finding["subject"]
            world.apply(finding["fix"], server)
        assert world.examine("--json").findings == []


@pytest.mark.parametrize(
    ("breaking", "check", "severity", "where"),
    [
        (without_right_to_read_the_binlog, "grant_replication", "error", "a"),
        (with_more_rights_than_its_work_needs, "grant_broad", "warning", "a"),
        (without_primary_key, "primary_key", "error", "a"),
        (with_a_cascade, "cascade", "warning", "a"),
        (replica_stopped, "replication_stopped", "error", "b"),
        (replica_filtered, "replica_filter", "error", "b"),
        (replica_left_without("IGNORE_DOMAIN_IDS", "7"), "replica_filter", "error", "b"),
        (replica_left_without("DO_DOMAIN_IDS", "0"), "replica_filter", "error", "b"),
        (replica_left_without("IGNORE_SERVER_IDS", "77"), "replica_filter", "error", "b"),
        (replica_that_skips_what_is_marked, "replica_filter", "error", "b"),
        (replica_by_offset, "replica_gtid", "warning", "b"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_what_is_wrong_in_mysql_is_mended_by_its_own_fix(
    world: DoctorWorld, breaking: Break, check: str, severity: str, where: str
) -> None:
    with breaking(world):
        # A replica that has just started says that it lags, until it has caught up.
        until(lambda: world.examine("--json").checks == {check}, "nothing else is found", show=world.examine)
        found = world.examine("--json")
        finding = found.of(check)
        assert finding["severity"] == severity
        assert found.code == (1 if severity == "error" else 0)
        world.apply(finding["fix"], world.a if where == "a" else world.b)
        until(lambda: world.examine("--json").findings == [], "the fix works")


def test_a_replica_whose_connection_has_a_name_is_mended_by_that_name(world: DoctorWorld) -> None:
    name, b = "'from a''s heir'", world.b
    b.stop_replication()
    b.execute("RESET SLAVE ALL")
    (here,) = world.a.query("SHOW MASTER STATUS")  # From the beginning it would apply once more what it has.
    b.execute(
        f"CHANGE MASTER {name} TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {world.a.port}, MASTER_USER = 'repl', "
        f"MASTER_PASSWORD = '{PASSWORD}', MASTER_USE_GTID = no, MASTER_DELAY = 3600, "
        f"MASTER_LOG_FILE = '{here['File']}', MASTER_LOG_POS = {here['Position']}"
    )
    try:
        b.execute("SET GLOBAL `from a's heir`.replicate_ignore_db = 'elsewhere'")
        found = world.examine("--json").findings
        assert [finding["check"] for finding in found] == [
            "replication_stopped", "replica_delay", "replica_filter", "replica_gtid",
        ]  # fmt: skip
        for finding in found:
            world.apply(finding["fix"], b)
        assert world.examine("--json").findings == []
    finally:
        b.execute(f"STOP SLAVE {name}")
        b.execute(f"RESET SLAVE {name} ALL")
        b.replicate_from(world.a.port)


def test_a_gate_that_may_not_see_replication_is_given_the_right(world: DoctorWorld) -> None:
    with without_right_to_see_replication(world):
        finding = world.examine("--json").of("grant_monitor")
    assert finding["fix"] == "GRANT SLAVE MONITOR ON *.* TO 'toc'@'%';"


def test_loaders_outside_utc_are_named_where_a_key_has_a_timestamp(world: DoctorWorld) -> None:
    world.a.execute("ALTER TABLE item ADD COLUMN seen TIMESTAMP NULL", database=world.database)
    world.keys.append("item:seen:{seen}")
    world.write_checkpoints()
    with world.set_global(world.b, "time_zone", "+02:00"):
        finding = world.examine("--json").of("time_zone")
        assert finding["subject"] == f"gate b1 {world.b.address}"
        assert f"{world.database}.item.seen" in finding["what"]
        world.apply(finding["fix"].partition(" or ")[0], world.b)
        assert world.examine("--json").findings == []


def test_spellings_of_one_value_need_filters_and_the_template_says_which(world: DoctorWorld) -> None:
    world.keys[1] = "item:code:{code}"
    world.write_checkpoints()
    found = world.examine("--json")
    assert found.code == 0
    assert found.of("collation_case")["fix"] == "write {code|lower} in the template"
    assert found.of("collation_padding")["fix"] == "write {code|trim} in the template"


@pytest.mark.parametrize("side", ["redis_a", "redis_b"])
@pytest.mark.parametrize(
    ("name", "value", "check", "severity"),
    [
        ("maxmemory-policy", "allkeys-lru", "eviction", "error"),
        ("appendonly", "no", "persistence", "warning"),
    ],
)
def test_a_redis_that_forgets_is_named_with_the_command(
    world: DoctorWorld, side: str, name: str, value: str, check: str, severity: str
) -> None:
    redis: RedisServer = getattr(world, side)
    with world.configured(redis, name, value):
        found = world.examine("--json")
        finding = found.of(check)
        assert found.checks == {check}
        assert finding["severity"] == severity
        assert redis.address in finding["subject"]
        command = finding["fix"].partition(";")[0].removeprefix("redis-cli ")
        with redis.client() as client:
            client.execute_command(*command.split())
        assert world.examine("--json").findings == []


@pytest.mark.parametrize(
    ("settings", "check", "fix"),
    [
        ({"stream.window_s": 600}, "window", "write window_s = 1860 into [stream]"),
        ({"stream.wait_replicas": 1}, "replicas", "write wait_replicas = 0 into [stream]"),
        ({"source.server_id": 2}, "server_id", "take server_id out of [source]"),
    ],
    ids=["window", "wait_replicas", "server_id"],
)
def test_settings_that_do_not_fit_are_named_with_the_line_to_write(
    world: DoctorWorld, settings: dict[str, object], check: str, fix: str
) -> None:
    world.settings |= settings
    found = world.examine("--json")
    assert found.checks == {check}
    assert found.code == 1
    assert fix in found.of(check)["fix"]


def test_a_database_that_loads_read_must_be_listed_under_whatever_name(world: DoctorWorld) -> None:
    world.settings["toc.mysql"] = world.b.url("toc", world.database).replace("127.0.0.1", "localhost")
    assert world.examine("--json").findings == []
    world.settings["toc.mysql"] = world.a.url("toc", world.database)
    found = world.examine("--json")
    assert found.checks == {"gate"}
    assert found.of("gate")["fix"] == f'add [[mirror.gate]] with host = "127.0.0.1" and port = {world.a.port}'


def test_a_database_that_loads_read_is_asked_too(world: DoctorWorld) -> None:
    world.settings["toc.mysql"] = world.b.url("toc", world.database).replace(PASSWORD, "wrong")
    finding = world.examine("--json").of("unreached")
    assert finding["subject"] == f"toc {world.b.address}"


def test_other_key_templates_than_the_streams_are_named(world: DoctorWorld) -> None:
    world.keys[0] = "article:{id}"
    found = world.examine("--json")
    assert found.checks == {"templates"}
    assert "--adopt-templates" in found.of("templates")["fix"]


def test_a_stream_that_is_trimmed_too_soon_is_named(world: DoctorWorld) -> None:
    world.write_checkpoints()
    with world.redis_b.client() as client:
        client.xtrim("{stampline}:stream", maxlen=1, approximate=False)
    assert world.examine("--json").of("stream_trimmed")["severity"] == "error"


def test_entries_that_were_removed_are_named(world: DoctorWorld) -> None:
    with world.redis_a.client() as client:
        client.xtrim("{stampline}:stream", maxlen=0, approximate=False)
    assert world.examine("--json").of("stream_end")["subject"] == f"origin {world.redis_a.address}"


def test_that_somebody_wrote_to_a_stream_by_hand_is_named(world: DoctorWorld) -> None:
    world.write_checkpoints()
    with world.redis_a.client() as client:
        client.xadd("{stampline}:stream", {"by": "hand"})
    world.write_checkpoints()
    found = world.examine("--json").of("stream_torn")
    assert (found["severity"], found["subject"]) == ("warning", f"origin {world.redis_a.address}")


def test_roles_that_are_not_running_are_named(world: DoctorWorld) -> None:
    world.write_checkpoints(age_ms=60_000)
    fixes = {finding["fix"] for finding in world.examine("--json").findings}
    assert {fix.partition(" --config")[0] for fix in fixes} == {"stampline source", "stampline mirror"}


@pytest.fixture
def replicated(world: DoctorWorld, new_redis: Callable[..., RedisServer]) -> DoctorWorld:
    """Redis A has a replica."""
    replica = new_redis()
    with replica.client() as client:
        client.replicaof(world.redis_a.host, world.redis_a.port)
    with world.redis_a.client() as primary:
        until(lambda: primary.info("replication").get("slave0", {}).get("state") == "online", "a replica online")
    return world


def test_what_sources_wait_for_is_not_guessed_from_the_settings_of_b(replicated: DoctorWorld) -> None:
    assert "replicas" not in replicated.examine("--json").checks


def test_a_primary_that_would_go_on_cut_off_from_its_replicas_is_named(replicated: DoctorWorld) -> None:
    assert replicated.examine("--json").of("split_brain")["subject"] == f"origin {replicated.redis_a.address}"
    with replicated.configured(replicated.redis_a, "min-replicas-to-write", "1"):
        assert replicated.examine("--json").findings == []


def test_a_server_that_does_not_answer_is_a_finding_and_the_others_are_still_checked(
    world: DoctorWorld, new_redis: Callable[..., RedisServer]
) -> None:
    gone = new_redis()
    gone.stop()
    world.redis_a = gone
    with world.set_global(world.a, "sync_binlog", "0"):
        found = world.examine("--json")
    assert found.code == 1
    assert found.checks == {"unreached", "sync_binlog"}
    assert found.of("unreached")["fix"] == "start it, or correct its address in [mirror] origin_url"


def test_a_server_that_answers_with_a_refusal_is_not_to_be_started(world: DoctorWorld) -> None:
    with world.set_global(world.b, "max_connections", "10"), contextlib.ExitStack() as held:
        with contextlib.suppress(OperationalError):
            while True:
                held.enter_context(world.b.connect("toc"))
        found = world.examine("--json")
    assert found.checks == {"unreached"}
    for finding in found.findings:
        assert "Too many connections" in finding["what"]
        assert finding["fix"] == "it is up, and says this itself: mend it there"


def test_an_outage_without_end_is_bad_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["doctor", "--outage-h", "inf"]) == 2
    assert "--outage-h" in capsys.readouterr().err


def test_a_login_that_is_refused_names_the_account(world: DoctorWorld) -> None:
    world.gate_user = "nobody_here"
    finding = world.examine("--json").of("unreached")
    assert "nobody_here" in finding["what"]
    assert PASSWORD not in str(finding)


def test_text_is_one_aligned_line_a_finding_and_errors_come_first(world: DoctorWorld) -> None:
    with (
        world.set_global(world.a, "sync_binlog", "0"),
        world.configured(world.redis_a, "maxmemory-policy", "volatile-ttl"),
    ):
        done = world.examine()
    first, second, last = done.out.splitlines()
    assert first.startswith("error    origin ")
    assert second.startswith("warning  source ")
    assert first.index("maxmemory-policy is") == second.index("sync_binlog is")
    assert last.startswith("1 errors, 1 warnings: checked ")
    assert done.code == 1


def test_a_source_left_at_another_server_than_the_replicas_follow_is_noticed(
    world: DoctorWorld, new_mariadb: Callable[..., MariaDb]
) -> None:
    world.b.wait_applied(world.a.gtid_position())
    demoted = new_mariadb()
    demoted.create_database("left_behind")
    replica = ask_server("gate b1", address(world.b, user=world.gate_user))
    assert list(check_histories(ask_server("source", address(world.a)), [replica])) == []
    (finding,) = check_histories(ask_server("source", address(demoted)), [replica])
    assert f"it has {replica.variable('gtid_slave_pos')}, and {demoted.address} has not" in finding.what


async def test_every_primary_of_a_cluster_is_asked(redis_cluster: RedisCluster) -> None:
    found = await redis_facts(RedisAddress.parse(redis_cluster.url))
    assert {facts.address for facts in found} == {node.address for node in redis_cluster.nodes}
    assert all((facts.role, facts.policy) == ("master", "noeviction") for facts in found)


async def test_behind_sentinel_the_primary_is_asked_and_its_replica_counted(sentinel: RedisSentinel) -> None:
    (facts,) = await redis_facts(RedisAddress.parse(sentinel.url))
    assert (facts.role, facts.replicas) == ("master", 1)
    assert abs(facts.clock_offset_ms) - facts.clock_error_ms < CLOCK_ERROR_MS


def test_an_old_mysql_is_asked_in_its_own_words(mysql56: MySql56) -> None:
    facts = ask_server("source", address(mysql56, user="root"))
    assert not facts.is_mariadb
    assert facts.binlog_filters == ()
    assert facts.replication == ()
    found = {finding.check for finding in check_binlog(facts, Retention(2100, 86_400))}
    assert found == {"sync_binlog", "innodb_flush_log_at_trx_commit"}


@pytest.mark.parametrize("ends_in_s", [1_800, -1_800], ids=["the first time", "the second time"])
def test_the_hour_that_comes_twice_when_summer_time_ends_is_no_wrong_clock(
    new_mariadb: Callable[..., MariaDb], monkeypatch: pytest.MonkeyPatch, ends_in_s: int
) -> None:
    end = time.gmtime(time.time() + ends_in_s + 3_600)  # as the clock on the wall says, an hour ahead of UTC
    begin_day = (end.tm_yday + 180) % 365
    monkeypatch.setenv("TZ", f"WINTER0SUMMER-1,{begin_day}/0,{end.tm_yday - 1}/{end.tm_hour}:{end.tm_min:02}")
    server = new_mariadb(default_time_zone="SYSTEM")
    assert (server.scalar("SELECT @@system_time_zone") == "SUMMER") is (ends_in_s > 0)
    facts = ask_server("source", address(server, user="root"))
    assert abs(facts.clock_offset_ms) - facts.clock_error_ms < CLOCK_ERROR_MS
