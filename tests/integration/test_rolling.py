"""A rolling restart of every role under load: nothing is lost, nothing is stale for long, and there is no storm."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.simulation.mariadb import MariaDb
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.redis_server import RedisServer
from tests.eventually import until
from tests.integration.deployment import POLL_S, ROWS, Deployment
from tests.integration.roles import DEADLINE_S, Role, run


def restart(role: Role, ready: str) -> None:
    role.process.stop(DEADLINE_S)
    assert role.process.exit_code == 0, role.process.log_tail()
    role.process.start()
    role.process.wait_until(lambda: role.is_answering(ready), DEADLINE_S)


def loads(toc: Role) -> int:
    return int(toc.get("/status")["loads"])


@pytest.mark.timeout(240)
def test_every_role_is_restarted_under_load(
    tmp_path: Path, new_mariadb: Callable[..., MariaDb], redis_a: RedisServer, redis_b: RedisServer
) -> None:
    site = Deployment(tmp_path, new_mariadb(), redis_a, redis_b)
    names = [f"{kind}-{number}" for kind in ("source", "mirror", "service") for number in (1, 2)]
    roles = [getattr(site, name.partition("-")[0])(name) for name in names]
    toc = site.toc("toc")
    with contextlib.ExitStack() as stack:
        for role in (*roles, toc):
            stack.callback(role.process.kill)
            role.process.start()
        for role in roles:
            role.process.wait_until(lambda role=role: role.is_answering("/readyz"), DEADLINE_S)
        toc.process.wait_until(lambda: toc.is_answering("/readyz?max_lag=5"), DEADLINE_S)
        began, gaps = loads(toc), len(site.bodies(redis_b, "gap"))
        with site.load(toc):
            for role in roles:
                restart(role, "/readyz")
            began -= loads(toc)  # It counts from 0 again.
            restart(toc, "/readyz?max_lag=5")
        site.assert_nothing_is_lost(redis_b)
        rows = site.mysql.query("SELECT id, tenant_id FROM tracker_web", database="shop")
        truth = {row["id"]: row["tenant_id"] for row in rows}

        def shows_all() -> bool:
            return all(toc.get(f"/trackers/{number}")["tenant_id"] == truth[number] for number in truth)

        until(shows_all, "the ToC shows every row as it is", every_s=POLL_S)
        # One load per change, and one per row besides, however many processes came and went.
        assert loads(toc) - began <= site.updates + ROWS
        assert len(site.bodies(redis_b, "gap")) == gaps
        assert site.audit.violations == 0
        service = next(role for role, name in zip(roles, names, strict=True) if name == "service-1")
        status = run("status", "--url", f"http://{LOOPBACK}:{service.port}")
        assert "and vouches for them" in status.out, status
        assert site.audit.reads > site.updates / 4
