"""The delete-on-change baseline on real servers: a change reaches every process, also over a killed consumer."""

import contextlib
import dataclasses
from functools import partial
from pathlib import Path

from loadtests.ask import RefusedError, ask
from loadtests.fill import fill
from loadtests.probe import Prober
from loadtests.profile import QUICK
from loadtests.reads import PLAN_ROW
from loadtests.worlds import CONSUMER, DELETE, TOCS, LoadWorld
from loadtests.writes import Writer
from tests.eventually import until

TINY = dataclasses.replace(QUICK, trackers=200)
SEEN_S = 15.0


def seen_everywhere(world: LoadWorld, path: str, version: int) -> None:
    """Return when every ToC has shown the version; each reads it from its own cache until it is evicted."""
    for name in TOCS:
        shows = partial(is_shown, world.http_ports[name], path, version)
        until(shows, f"{name} shows version {version} of {path}", SEEN_S, every_s=0.02)


def is_shown(port: int, path: str, version: int) -> bool:
    with contextlib.suppress(RefusedError):  # No such row, as between a TRUNCATE and the refill.
        return int(ask(port, "GET", path)["extra"]["version"]) == version
    return False


def test_changes_reach_every_process_and_a_killed_consumer_resumes(tmp_path: Path) -> None:
    with LoadWorld(tmp_path, DELETE, TINY) as world:
        world.start()
        assert fill(world, TINY) > 0
        with (
            Prober(world, TOCS, per_s=100.0, patience_s=SEEN_S) as prober,
            Writer(world, TINY, prober.follow) as writer,
        ):
            seen_everywhere(world, "/trackers/1", 0)
            writer.update(1)
            seen_everywhere(world, "/trackers/1", 1)

            seen_everywhere(world, "/plans/7", 0)
            writer.truncate_plans()
            seen_everywhere(world, "/plans/7", writer.history.version(PLAN_ROW + 7))

            world.processes[CONSUMER].kill()
            writer.bulk()
            world.processes[CONSUMER].start()
            seen_everywhere(world, "/trackers/1", 2)
    assert [seen.delay_ms is not None for seen in prober.seen] == [True, True]
