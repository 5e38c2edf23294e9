"""Roles that are started before their servers: they say so, wait, and work as soon as these are there."""

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import free_port
from deploy.simulation.redis_server import RedisServer
from tests.integration.roles import DEADLINE_S, Role, run, write_config

AT_ONCE_S = 5.0
COMMAND = ["--metrics-port", "PORT"]


class World:
    def __init__(self, mysql: MariaDb, redis: RedisServer, folder: Path) -> None:
        self.mysql, self.redis = mysql, redis
        mysql.create_database("shop")
        head = f'[stream]\nurl = "{redis.url}"\n'
        source = f'[source]\nname = "a"\n[source.mysql]\nurl = "{mysql.url("stampline_source")}"\n'
        table = '[[table]]\nname = "shop.tracker_web"\nkeys = ["tracker_web:{id}"]\n'
        self.source = write_config(folder, head + source + table, "source.toml")
        audit = f'[values]\nurl = "{redis.url}"\n[audit.mysql]\nurl = "{mysql.url("toc")}"\n'
        check = '[[audit.check]]\ntemplate = "tracker_web:{id}"\nsql = "SELECT \'1\' FROM shop.tracker_web"\n'
        self.audit = write_config(folder, head + audit + check, "audit.toml")
        self.stop()

    def stop(self) -> None:
        self.mysql.stop()
        self.redis.stop()

    def works_once_they_are_there(self, role: str, config: Path) -> None:
        config.with_suffix(".log").unlink()
        with Role([role, *COMMAND], config) as started:

            def is_said(address: str) -> bool:
                status, reason = started.request("GET", "/readyz")
                return status == 503 and address in reason

            started.process.wait_until(lambda: is_said(self.mysql.address), DEADLINE_S)
            self.mysql.start()
            started.process.wait_until(lambda: is_said(self.redis.address), DEADLINE_S)
            assert started.is_answering("/livez")
            self.redis.start()
            started.process.wait_until(lambda: started.is_answering("/readyz"), DEADLINE_S)
            started.process.stop(DEADLINE_S)
            assert started.process.exit_code == 0
        said = [json.loads(line) for line in config.with_suffix(".log").read_text().splitlines() if line[0] == "{"]
        errors = [line["error"] for line in said if line["event"] == "start_put_off"]
        assert self.mysql.address in errors[0]
        assert self.redis.address in errors[-1]
        assert all(error != after for error, after in itertools.pairwise(errors))

    def ends_at_once_when_told_to(self, role: str, config: Path) -> None:
        with Role([role, *COMMAND], config) as started:
            began_s = time.monotonic()
            started.process.stop(DEADLINE_S)
            assert started.process.exit_code == 0
            assert time.monotonic() - began_s < AT_ONCE_S

    def fails_when_its_time_is_over(self, role: str, config: Path) -> None:
        done = run(role, "--for", "500ms", config=config)
        assert done.code == 1
        assert self.mysql.address in done.line


def test_a_source_and_an_audit_wait_for_their_servers(
    tmp_path: Path, new_mariadb: Callable[..., MariaDb], new_redis: Callable[..., RedisServer]
) -> None:
    world = World(new_mariadb(), new_redis(), tmp_path)
    for role, config in (("source", world.source), ("audit", world.audit)):
        world.ends_at_once_when_told_to(role, config)
        world.fails_when_its_time_is_over(role, config)
        world.works_once_they_are_there(role, config)
        world.stop()


def test_a_mirror_whose_time_is_over_before_its_servers_answer_fails(tmp_path: Path) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    text = f'[stream]\nurl = "{nobody}"\n[mirror]\norigin_url = "{nobody}"\norigin_name = "other"\n'
    done = run("mirror", "--for", "500ms", config=write_config(tmp_path, text))
    assert done.code == 1
    assert nobody.removeprefix("redis://").removesuffix("/0") in done.line
