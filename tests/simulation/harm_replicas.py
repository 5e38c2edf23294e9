"""Harm to the replicas, and what people do with them: one is taken out, and put back later."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from tests.simulation.actors import MIRRORS
from tests.simulation.harm_redis import outage, server_pause
from tests.simulation.ops import Op, long_s, one_of
from tests.simulation.replica import Replica
from tests.simulation.world import World

APART_S: Final = 0.5
"""Between the restarts of two mirrors."""
LOOK_S: Final = 0.25
"""How often a person looks whether a mirror has reached a replica."""


def _replica_lag(world: World, op: Op) -> None:
    replica = one_of(world.replicas, op.pick)
    domain = one_of(world.domains, op.pick * len(world.replicas) % 1)
    replica.extra_lag_s[domain] = 4 * op.size

    def end() -> None:
        replica.extra_lag_s[domain] = 0.0

    world.later(long_s(world, op.size), end)


def _replica_stop(world: World, op: Op) -> None:
    replica = one_of(world.replicas, op.pick)
    replica.is_stopped = True
    world.later(long_s(world, op.size), replica.start)


def _gate_cut(world: World, op: Op) -> None:
    mirror, replica = one_of(MIRRORS, op.pick), one_of(world.replicas, op.pick * len(MIRRORS) % 1)
    cable = world.cable(mirror, replica.name)
    cable.cut(world.loop.time())
    world.later(long_s(world, op.size), lambda: cable.mend(world.loop.time()))


def _replica_rewind(world: World, op: Op) -> None:
    replica = one_of(world.replicas, op.pick)
    replica.rewind(1 + int(10 * op.size), 5.0 + 4 * op.size)


def _replica_swap(world: World, op: Op) -> None:
    """Take one out and put it back, step by step as the runbook says: loads first, then the gate; and the other way.

    Of one that has just gone back the mirrors must learn first, each time before they are restarted: a limit that
    README names.
    """
    replica = one_of(world.replicas, op.pick)
    if world.is_timed or replica.is_behind_its_past or not all(other.is_read for other in world.replicas):
        return
    replica.is_read = False
    world.applied()
    _list(world, replica, is_listed=False)
    world.later(1 + long_s(world, op.size), partial(_put_back, world, replica))


def _put_back(world: World, replica: Replica) -> None:
    if any(other.is_behind_its_past for other in world.replicas):
        world.later(LOOK_S, partial(_put_back, world, replica))
        return
    _list(world, replica, is_listed=True)
    world.later(len(MIRRORS) * APART_S, partial(_read_again, world, replica))


def _list(world: World, replica: Replica, *, is_listed: bool) -> None:
    """Into the settings of all mirrors, or out of them; then one after the other is restarted."""
    replica.is_listed = is_listed
    for place, name in enumerate(MIRRORS):
        world.later(place * APART_S, partial(_restart, world, name))


def _restart(world: World, name: str) -> None:
    process = world.processes[name]
    if not process.is_dead:
        process.kill()
        world.start(name)


def _read_again(world: World, replica: Replica) -> None:
    if not replica.lags and all(_is_up(world, name, replica) for name in MIRRORS):
        replica.is_read = replica.has_gone_back = True
        world.applied()
        world.note("read again", replica.name, *replica.applied)
    else:
        world.later(LOOK_S, partial(_read_again, world, replica))


def _is_up(world: World, name: str, replica: Replica) -> bool:
    """What its metrics say of the gate."""
    if not world.processes[name].is_running:
        return False
    gates = world.roles[name]._stats.gates
    return replica.name in gates and bool(gates[replica.name].is_up)


REPLICAS: Final[Mapping[str, Callable[[World, Op], None]]] = {
    "replica_lag": _replica_lag,
    "replica_stop": _replica_stop,
    "replica_down": lambda world, op: outage(world, one_of(world.replicas, op.pick), op),
    "replica_pause": lambda world, op: server_pause(world, one_of(world.replicas, op.pick), op),
    "gate_cut": _gate_cut,
    "replica_rewind": _replica_rewind,
    "replica_swap": _replica_swap,
}
