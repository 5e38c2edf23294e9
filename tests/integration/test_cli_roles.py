"""What an operator meets: exit codes and the one line, against real servers."""

import json
import socket
from collections.abc import Callable
from pathlib import Path

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import LOOPBACK, free_port
from deploy.simulation.redis_server import RedisServer
from tests.integration.roles import DEADLINE_S, Role, run, write_config


def source_config(folder: Path, redis: RedisServer, mysql_url: str, *tables: tuple[str, str]) -> Path:
    text = f'[stream]\nurl = "{redis.url}"\n[source]\nname = "a"\n[source.mysql]\nurl = "{mysql_url}"\n'
    text += "".join(f'[[table]]\nname = "{name}"\nkeys = ["{key}"]\n' for name, key in tables)
    return write_config(folder, text)


def test_an_unreachable_redis_fails_with_its_address(tmp_path: Path) -> None:
    port = free_port()
    done = run("status", config=write_config(tmp_path, f'[stream]\nurl = "redis://{LOOPBACK}:{port}/0"\n'))
    assert done.code == 1
    assert str(port) in done.line


def test_a_wrong_redis_password_is_for_a_person(tmp_path: Path, new_redis: Callable[..., RedisServer]) -> None:
    redis = new_redis(requirepass="right")
    (tmp_path / "password").write_text("wrong\n")
    text = f'[stream]\nurl = "redis://{redis.address}/0"\npassword_file = "{tmp_path}/password"\n'
    done = run("tail", "--no-follow", config=write_config(tmp_path, text))
    assert done.code == 2
    assert "check user, password" in done.line
    assert "wrong" not in done.line.lower().replace("wrongpass", "")
    (tmp_path / "password").write_text("right\n")
    assert run("status", config=tmp_path / "stampline.toml").code == 0


def test_a_bump_goes_straight_into_the_stream_and_status_sees_it(tmp_path: Path, redis_b: RedisServer) -> None:
    config = write_config(tmp_path, f'[stream]\nurl = "{redis_b.url}"\n')
    done = run("bump", "--namespace", "tracker_web", "--spread-ms", "0", "--reason", "new layout", config=config)
    assert done.code == 0, done.err
    report = json.loads(run("status", "--json", config=config).out)
    assert report["last"] == done.out.strip()
    shown = run("tail", "--no-follow", "--namespace", "tracker_web", config=config).out
    assert "new layout" in shown


def test_a_port_that_is_taken_is_named(tmp_path: Path, redis_b: RedisServer) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), config=write_config(tmp_path, f'[stream]\nurl = "{redis_b.url}"\n'))
    assert done.code == 2
    assert str(port) in done.line


def test_a_watched_table_that_is_not_there_refuses_the_start(
    tmp_path: Path, redis_a: RedisServer, mariadb_a: MariaDb, database: str
) -> None:
    config = source_config(tmp_path, redis_a, mariadb_a.url("stampline_source"), (f"{database}.absent", "absent:{id}"))
    done = run("source", config=config)
    assert done.code == 2
    assert f"{database}.absent" in done.line


def test_a_template_that_names_an_absent_column_refuses_the_start(
    tmp_path: Path, redis_a: RedisServer, mariadb_a: MariaDb, database: str
) -> None:
    table = (f"{database}.tracker_web", "tracker_web:{idd}")
    done = run("source", config=source_config(tmp_path, redis_a, mariadb_a.url("stampline_source"), table))
    assert done.code == 2
    assert "idd" in done.line


def test_a_wrong_mysql_password_refuses_the_start_without_showing_it(
    tmp_path: Path, redis_a: RedisServer, mariadb_a: MariaDb, database: str
) -> None:
    table = (f"{database}.tracker_web", "tracker_web:{id}")
    url = f"mysql://stampline_source:hunter2@{mariadb_a.address}"
    done = run("source", config=source_config(tmp_path, redis_a, url, table))
    assert done.code == 2
    assert "stampline_source" in done.line
    assert "hunter2" not in done.err


def test_a_source_with_other_templates_is_refused_until_a_person_adopts_them(
    tmp_path: Path, redis_a: RedisServer, mariadb_a: MariaDb, database: str
) -> None:
    url, name = mariadb_a.url("stampline_source"), f"{database}.tracker_web"
    config = source_config(tmp_path, redis_a, url, (name, "tracker_web:{id}"))
    command = ["source", "--metrics-port", "PORT"]
    with Role(command, config, ready="/readyz") as first:
        first.process.stop(DEADLINE_S)
        assert first.process.exit_code == 0
    source_config(tmp_path, redis_a, url, (name, "trackers:{id}"))
    refused = run("source", config=config)
    assert refused.code == 2
    assert "--adopt-templates" in refused.line
    with Role([*command, "--adopt-templates"], config, ready="/readyz") as adopted:
        assert 'stampline_source_connected{dc="local"} 1.0' in adopted.request("GET", "/metrics")[1]


def test_a_mirror_serves_its_probes_and_ends_with_0(
    tmp_path: Path, redis_a: RedisServer, redis_b: RedisServer, mariadb_a: MariaDb, database: str
) -> None:
    table = (f"{database}.tracker_web", "tracker_web:{id}")
    source = source_config(tmp_path, redis_a, mariadb_a.url("stampline_source"), table)
    text = f'[stream]\nurl = "{redis_b.url}"\ndc = "b"\n[mirror]\norigin_url = "{redis_a.url}"\n'
    text += f'[[mirror.gate]]\nname = "a"\nurl = "{mariadb_a.url("stampline_gate")}"\n'
    mirror = write_config(tmp_path, text, "mirror.toml")
    with (
        Role(["source", "--metrics-port", "PORT"], source, ready="/readyz"),
        Role(["mirror", "--metrics-port", "PORT"], mirror, ready="/readyz") as role,
    ):
        is_up = 'stampline_mirror_gate_up{dc="b",gate="a"} 1.0'
        role.process.wait_until(lambda: is_up in role.request("GET", "/metrics")[1], DEADLINE_S)
        role.process.stop(DEADLINE_S)
        assert role.process.exit_code == 0


def test_a_gate_that_may_not_log_in_refuses_the_start(
    tmp_path: Path, redis_a: RedisServer, redis_b: RedisServer, mariadb_a: MariaDb
) -> None:
    text = f'[stream]\nurl = "{redis_b.url}"\n[mirror]\norigin_url = "{redis_a.url}"\n'
    text += f'[[mirror.gate]]\nname = "a"\nurl = "mysql://stampline_gate:wrong@{mariadb_a.address}"\n'
    done = run("mirror", config=write_config(tmp_path, text))
    assert done.code == 2
    assert "stampline_gate" in done.line
