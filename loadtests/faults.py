"""The faults of a load run: the same in every world, each with its way back. Lengths are divided by the scale."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from loadtests.priority import give_way
from loadtests.worlds import CONSUMER, DELETE, STAMPLINE, TOCS, LoadWorld

KEEPER_S = 1.0
"""How soon a keeper (systemd, Kubernetes) starts a process again."""

READY_S = 30.0


@dataclass(frozen=True)
class Fault:
    name: str
    story: str
    strike: Callable[[LoadWorld], None]
    """Returns when the fault is over."""
    modes: tuple[str, ...] = ()
    """Empty: all."""


def cut_wan(world: LoadWorld) -> None:
    world.wan.cut()
    time.sleep(world.profile.wan_cut_s)
    world.wan.heal()


def kill_pipeline(world: LoadWorld) -> None:
    process = world.processes[CONSUMER if world.mode == DELETE else "mirror-1"]
    process.kill()
    time.sleep(KEEPER_S)
    process.start()
    give_way(process.pid)


def restart_redis(world: LoadWorld) -> None:
    world.redis_b.stop()
    world.redis_b.start()


def lag_replica(world: LoadWorld) -> None:
    _delay(world, world.profile.replica_lag_s)
    time.sleep(2 * world.profile.replica_lag_s)
    _delay(world, 0)


def restart_tocs(world: LoadWorld) -> None:
    for name in TOCS:
        world.restart_toc(name)


def _delay(world: LoadWorld, seconds: int) -> None:
    world.mysql_b.stop_replication()
    world.mysql_b.execute("CHANGE MASTER TO MASTER_DELAY = %s", (seconds,))
    world.mysql_b.start_replication()


FAULTS = (
    Fault("wan-cut", "the WAN cut for a minute", cut_wan),
    Fault(
        "pipeline-killed",
        "a mirror (a consumer) killed, started again a second later",
        kill_pipeline,
        (DELETE, STAMPLINE),
    ),
    Fault("replica-lag", "the replica applies 10 s late", lag_replica),
    Fault("rolling-restart", "every ToC restarted, one after the other", restart_tocs),
    Fault("redis-restart", "Redis B restarted, and empty", restart_redis),
)
