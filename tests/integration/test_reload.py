"""Key templates exchanged under load, one source after the other; and sources that run for a while only."""

import functools
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.redis_server import RedisServer
from tests.eventually import until
from tests.integration.deployment import KEYS, Deployment
from tests.integration.roles import DEADLINE_S, Role

NEW_KEYS = (*KEYS, "by_tracker:{tracker_id}")


def reload(role: Role) -> None:
    assert role.process.pid is not None
    os.kill(role.process.pid, signal.SIGHUP)


def markers(site: Deployment) -> list[dict[str, Any]]:
    bodies = site.bodies(site.redis_a, "generation")
    return [body for body in bodies if body["reason"].startswith("key templates")]


def keys(site: Deployment) -> list[str]:
    return [key for body in site.bodies(site.redis_a, "change") for key in body["keys"]]


def vouched_for(site: Deployment) -> list[str]:
    return [body["gtid"] for body in site.bodies(site.redis_a, "heartbeat")]


def has_ended(role: Role) -> bool:
    return not role.process.is_running


def says(role: Role, words: str) -> bool:
    return words in role.process.log_tail(10_000)


@pytest.fixture
def site(tmp_path: Path, new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, redis_b: RedisServer) -> Deployment:
    return Deployment(tmp_path, new_mariadb(), redis_a, redis_b)


def test_two_sources_change_their_templates_one_after_the_other(site: Deployment) -> None:
    one, two = site.source("source-1"), site.source("source-2")
    with one, two, site.load():
        site.source_config("source-1", "tracker_web:{no_such_column}")
        reload(one)
        until(lambda: says(one, "no_such_column"), "the bad file is refused")
        assert one.is_answering("/readyz")
        site.source_config("source-1", *NEW_KEYS)
        reload(one)
        until(lambda: bool(markers(site)), "the marker")
        until(lambda: "key templates differ" in two.request("GET", "/readyz")[1], "the odd one does not write")
        until(lambda: one.is_answering("/readyz"), "it is ready again")
        assert two.is_answering("/livez")
        site.source_config("source-2", *NEW_KEYS)
        until(lambda: two.is_answering("/readyz"), "it goes on by itself when its settings say the same")
        # Every change has stamps by the new templates, or the marker behind it; the first start was the only gap.
        site.end_load()
        site.assert_nothing_is_lost(site.redis_a, *NEW_KEYS)
    (marker,) = markers(site)
    assert marker["namespaces"] == ["by_tracker"]
    assert len(site.bodies(site.redis_a, "gap")) == 1


def test_a_table_that_moves_to_another_database_is_named_until_the_settings_have_its_new_name(site: Deployment) -> None:
    """Until then its changes are stamped under no key; asking the sources ages out what was loaded meanwhile."""
    one = site.source("source-1")
    with one:
        site.mysql.execute("CREATE DATABASE shop_new")
        site.mysql.execute("RENAME TABLE shop.tracker_web TO shop_new.tracker_web")
        until(lambda: says(one, '"table": "shop.tracker_web"'), "the table is missed")
        site.mysql.execute("UPDATE shop_new.tracker_web SET tenant_id = 1 WHERE id = 1")
        written = site.mysql.gtid_position()
        until(lambda: written in vouched_for(site), "a heartbeat vouches for it")
        site.source_config("source-1", table="shop_new.tracker_web")
        reload(one)
        until(lambda: bool(markers(site)), "the marker")
        until(lambda: one.is_answering("/readyz"), "it is ready again")
        site.mysql.execute("UPDATE shop_new.tracker_web SET tenant_id = 2 WHERE id = 2")
        until(lambda: keys(site).count("tracker_web:2") == 2, "changes are stamped again")
    assert keys(site).count("tracker_web:1") == 1, "the update of before the reload was not stamped"
    assert markers(site)[0]["namespaces"] == ["tracker_web"]


def test_overlapping_runs_of_a_while_lose_nothing_and_say_nothing_twice(site: Deployment) -> None:
    long, short, last = site.source("run-1", "--for", "5m"), site.source("run-2", "--for", "10s"), site.source("run-3")
    with site.load():
        for role in (long, short):
            role.process.start()
            role.process.wait_until(functools.partial(says, role, "binlog_reading"), DEADLINE_S)
        until(functools.partial(has_ended, short), "its time is over")
        assert long.process.is_running
        long.process.stop()
        written = site.updates
        until(lambda: site.updates > written, "what only the next run can say")
    with last:
        site.assert_nothing_is_lost(site.redis_a)
        last.process.stop()
    for role in (long, short, last):
        assert role.process.exit_code == 0, role.process.log_tail()
    said = Counter((body["gtid"], key) for body in site.bodies(site.redis_a, "change") for key in body["keys"])
    assert set(said.values()) == {1}
    assert len(site.bodies(site.redis_a, "gap")) == 1
