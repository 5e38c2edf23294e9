"""What can be done to whom, and how it is undone. A pair that is not here does not apply: see NOT_COVERED.

Every fault befalls both processes of a role (one of two ToCs), and lasts until `heal`; a restart heals itself.
"""

from collections.abc import Callable
from dataclasses import dataclass

from deploy.simulation.chaos.world import ChaosWorld
from deploy.simulation.redis_server import RedisServer
from versioning.limits import CLOCK_ERROR_MS

SLOW_BYTES_PER_S = 8_000
"""Below what heartbeats, stamps and rows need together: a backlog grows."""

REPLICA_DELAY_S = 2
CLOCK_STEP_S = CLOCK_ERROR_MS / 1000
"""All that the protocol assumes of clocks, and no less."""

Act = Callable[[ChaosWorld, str], object]


def _nothing(_world: ChaosWorld, _component: str) -> None: ...


def _kill(world: ChaosWorld, component: str) -> None:
    for member in world.members(component):
        member.kill()


def _start(world: ChaosWorld, component: str) -> None:
    for member in world.members(component):
        member.start()


def _pause(world: ChaosWorld, component: str) -> None:
    for member in world.members(component):
        member.pause()


def _resume(world: ChaosWorld, component: str) -> None:
    for member in world.members(component):
        member.resume()


def _restart(world: ChaosWorld, component: str) -> None:
    for member in world.members(component):
        member.restart()


def _cut(world: ChaosWorld, component: str) -> None:
    for link in world.links_of(component):
        world.wan.cut(link)


def _black_hole(world: ChaosWorld, component: str) -> None:
    for link in world.links_of(component):
        world.wan.black_hole(link)


def _slow(world: ChaosWorld, component: str) -> None:
    for link in world.links_of(component):
        world.wan.slow(SLOW_BYTES_PER_S, link=link)


def _heal_links(world: ChaosWorld, component: str) -> None:
    for link in world.links_of(component):
        world.wan.heal(link)


def _stop_replica(world: ChaosWorld, _component: str) -> None:
    world.mysql_b.stop_replication()


def _start_replica(world: ChaosWorld, _component: str) -> None:
    world.mysql_b.start_replication()


def _kill_replica(world: ChaosWorld, _component: str) -> None:
    for thread in world.mysql_b.query("SHOW PROCESSLIST"):
        if str(thread["Command"]).startswith("Slave_"):
            world.mysql_b.execute("KILL %s", (thread["Id"],))


def _restart_replica(world: ChaosWorld, _component: str) -> None:
    world.mysql_b.stop_replication()
    world.mysql_b.start_replication()


def _cut_replica(world: ChaosWorld, _component: str) -> None:
    world.mysql_b.execute("STOP SLAVE IO_THREAD")


def _delay_replica(world: ChaosWorld, _component: str) -> None:
    _set_replica_delay(world, REPLICA_DELAY_S)


def _hasten_replica(world: ChaosWorld, _component: str) -> None:
    _set_replica_delay(world, 0)


def _set_replica_delay(world: ChaosWorld, delay_s: int) -> None:
    world.mysql_b.stop_replication()
    world.mysql_b.execute("CHANGE MASTER TO MASTER_DELAY = %s", (delay_s,))
    world.mysql_b.start_replication()


def _refuse_writes(world: ChaosWorld, component: str) -> None:
    """MySQL becomes read-only; Redis has no memory left, as one whose disk is full and that must not lose writes."""
    if component == "mysql-a":
        world.mysql_a.execute("SET GLOBAL read_only = 1")
        return
    _set_redis(world, component, "maxmemory", "1")


def _accept_writes(world: ChaosWorld, component: str) -> None:
    if component == "mysql-a":
        world.mysql_a.execute("SET GLOBAL read_only = 0")
        return
    _set_redis(world, component, "maxmemory", "0")


def _set_redis(world: ChaosWorld, component: str, option: str, value: str) -> None:
    with _redis(world, component).client() as client:
        client.config_set(option, value)


def _flush(world: ChaosWorld, component: str) -> None:
    _redis(world, component).flush()


def _set_back(world: ChaosWorld, component: str) -> None:
    world.set_clock(component, -CLOCK_STEP_S)


def _set_forward(world: ChaosWorld, component: str) -> None:
    world.set_clock(component, CLOCK_STEP_S)


def _set_right(world: ChaosWorld, component: str) -> None:
    world.set_clock(component, 0)


def _redis(world: ChaosWorld, component: str) -> RedisServer:
    return world.redis_a if component == "redis-a" else world.redis_b


@dataclass(frozen=True)
class Fault:
    name: str
    story: str
    inject: Act
    heal: Act = _nothing
    is_lasting: bool = True
    """False: it is over when it has happened."""
    is_long: bool = False
    """Under load it lasts longer than the promise."""
    needs_clocks: bool = False


KILL = Fault("kill", "kill -9, and a start later", _kill, _start, is_long=True)
STOP = Fault("stop", "SIGSTOP, SIGCONT", _pause, _resume)
RESTART = Fault("restart", "SIGTERM and a start at once", _restart, is_lasting=False)
CUT = Fault("cut", "connections closed, new ones refused", _cut, _heal_links, is_long=True)
BLACK_HOLE = Fault("black-hole", "connections stay, nothing passes", _black_hole, _heal_links, is_long=True)
SLOW = Fault("slow", f"{SLOW_BYTES_PER_S} bytes/s on each link", _slow, _heal_links)
FULL = Fault("full", "read-only; of Redis: every write refused", _refuse_writes, _accept_writes)
FLUSH = Fault("flush", "FLUSHALL", _flush, is_lasting=False)

CLOCK_BACK = Fault(
    "clock-back", f"the clock set {CLOCK_STEP_S:g} s back, and right again", _set_back, _set_right, needs_clocks=True
)
CLOCK_FORWARD = Fault(
    "clock-forward", f"the clock set {CLOCK_STEP_S:g} s forward", _set_forward, _set_right, needs_clocks=True
)

_PROCESS = (KILL, STOP, RESTART, CUT, BLACK_HOLE, SLOW)
_OURS = (*_PROCESS, CLOCK_BACK, CLOCK_FORWARD)
_REPLICA = (
    Fault("kill", "both threads killed, and a start later", _kill_replica, _start_replica, is_long=True),
    Fault("stop", "STOP SLAVE", _stop_replica, _start_replica),
    Fault("restart", "STOP SLAVE, START SLAVE", _restart_replica, is_lasting=False),
    Fault("cut", "the thread that fetches stopped", _cut_replica, _start_replica, is_long=True),
    Fault("slow", f"MASTER_DELAY = {REPLICA_DELAY_S}", _delay_replica, _hasten_replica),
)

MATRIX: dict[str, tuple[Fault, ...]] = {
    "mysql-a": (*_PROCESS, FULL),
    "mysql-b": _PROCESS,
    "replica": _REPLICA,
    "redis-a": (*_PROCESS, FULL, FLUSH),
    "redis-b": (*_PROCESS, FULL, FLUSH),
    "wan": (CUT, BLACK_HOLE, SLOW),
    "source": _OURS,
    "mirror": _OURS,
    "service": _OURS,
    "toc": _OURS,
}

NOT_COVERED = (
    "clock steps of MySQL and Redis, and of more than the protocol assumes (one second)",
    "a full disk under MySQL: read-only stands for it in A; the replica in B is read-only already",
    "kill, stop and restart of the WAN and a black hole of the replica's threads: nothing there to do it to",
)
