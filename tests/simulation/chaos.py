"""Doing harm: one function for each fault. Each undoes itself after a while; ``size`` and ``pick`` are in [0, 1)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from tests.simulation import limits
from tests.simulation.actors import LINKS, MIRRORS, NAMES, READERS, SOURCES
from tests.simulation.harm_redis import REDIS
from tests.simulation.harm_replicas import REPLICAS
from tests.simulation.ops import Op, long_s, one_of
from tests.simulation.process import BASE_MS, Process
from tests.simulation.world import ITEMS, KEYS, LISTS, World
from versioning.backends.base import Append
from versioning.bump import Bump

AWAY_S: Final = 20.0

FLUSH_S: Final = 1.0
"""Whoever is told to end, and has not by then, is killed."""


def _wan_cut(world: World, op: Op) -> None:
    world.wan.cut(world.loop.time())
    if op.pick < 1 / 2:
        world.stream_a.close_subscriptions(MIRRORS)
    world.later(long_s(world, op.size), lambda: world.wan.mend(world.loop.time()))


def _wan_slow(world: World, op: Op) -> None:
    world.wan.slow(0.1 + 0.9 * op.pick)
    world.later(long_s(world, op.size), lambda: world.wan.hasten(world.loop.time()))


def _binlog_cut(world: World, op: Op) -> None:
    world.primary.is_cut = True

    def end() -> None:
        world.primary.is_cut = False

    world.later(long_s(world, op.size), end)


def _primary_failover(world: World, op: Op) -> None:
    """Of what is committed from now on, up to 900 ms of it, no replica gets anything."""
    primary = world.primary
    if primary.replicated is not None:
        return
    primary.replicated = primary.last

    def promoted() -> None:
        primary.fail_over(world.skew_ms())
        world.note("failed over", "primary", primary.last)
        primary.is_cut = True
        world.later(2 * op.pick**2, back)

    def back() -> None:
        primary.is_cut = False

    world.later(0.9 * op.size, promoted)


def _source_left(world: World, op: Op) -> None:
    """The replicas follow a new primary; the sources still read the old one, which is up."""
    world.primary.left = world.primary.last

    def end() -> None:
        world.primary.left = None

    world.later(long_s(world, op.size), end)


def _link_cut(world: World, op: Op) -> None:
    name, server = one_of(LINKS, op.pick)
    cable = world.cable(name, server)
    cable.cut(world.loop.time())
    if op.pick * len(LINKS) % 1 < 1 / 2:
        for stream in (world.stream_a, world.stream_b):
            if stream.name == server:
                stream.close_subscriptions((name,))
    world.later(long_s(world, op.size), lambda: cable.mend(world.loop.time()))


def _link_slow(world: World, op: Op) -> None:
    cable = world.cable(*one_of(LINKS, op.pick))
    cable.slow(0.1 + 2.9 * (op.pick * len(LINKS) % 1))
    world.later(long_s(world, op.size), lambda: cable.hasten(world.loop.time()))


def _load_slow(world: World, op: Op) -> None:
    world.load_extra_s = op.size

    def end() -> None:
        world.load_extra_s = 0.0

    world.later(1.0, end)


def _crash(names: Sequence[str], world: World, op: Op) -> None:
    name = one_of(names, op.pick)
    process = world.processes[name]
    if process.is_dead:
        return
    process.kill()
    world.later(long_s(world, op.size), partial(_start_instead, world, name, process))


def _start_instead(world: World, name: str, killed: Process) -> None:
    """Unless somebody has done so already."""
    if world.processes[name] is killed:
        world.start(name)


def _end(names: Sequence[str], world: World, op: Op) -> None:
    name = one_of(names, op.pick)
    process = world.processes[name]
    if not process.is_running:
        return
    process.is_ending = True
    world.roles[name].finish()
    world.later(max(long_s(world, op.size), FLUSH_S), partial(_start_again, world, name, process))


def _start_again(world: World, name: str, ended: Process) -> None:
    if world.processes[name] is ended and not ended.is_dead:
        ended.kill()
        world.start(name)


def _readers_away(world: World, op: Op) -> None:
    for name in READERS:
        process = world.processes[name]
        if not process.is_dead:
            process.kill()
            world.later(AWAY_S + 6 * op.size, partial(_start_instead, world, name, process))


def _pause(names: Sequence[str], world: World, op: Op) -> None:
    process = world.processes[one_of(names, op.pick)]
    process.pause()
    world.later(long_s(world, op.size), process.resume)


def _clock_step(world: World, op: Op) -> None:
    world.step_clock(one_of(NAMES, op.pick))


def _truncate(world: World, op: Op) -> None:
    if len(world.domains) == 1:
        world.primary.commit(KEYS, ("item", "list"))
    else:
        world.primary.commit(ITEMS, ("item",))
        world.primary.commit(LISTS, ("list",))


def _truncate_lists(world: World, op: Op) -> None:
    world.primary.commit(LISTS, ("list",))


def _bump(world: World, op: Op) -> None:
    stream = world.stream_a if op.pick < 1 / 3 else world.stream_b
    if not stream.takes_writes:
        return
    key = KEYS[int(len(KEYS) * op.size)]
    if op.pick % (1 / 3) < 1 / 12:
        bump = Bump("by hand", namespace=key.partition(":")[0], spread_ms=limits.GENERATION_SPREAD_MS)
    else:
        bump = Bump("by hand", keys=(key,))
    nonce = f"{world.rng.getrandbits(64):016x}"
    now_ms = BASE_MS + int(world.loop.time() * 1000)  # That person's machine has its clock right.
    stream.append(Append(bump.entries(now_ms, [nonce]), clock_ms=now_ms))


def _write(world: World, op: Op) -> None:
    """Hot keys and cold ones, and rows that nobody reads."""
    key = KEYS[int(len(KEYS) * op.pick**2)]
    namespace = "listed" if world.domain_of(key) else "noise"
    noise = (f"{namespace}:n{world.primary.last}",) if op.size < 1 / 2 else ()
    world.primary.commit((key, *noise))


def _write_wide(world: World, op: Op) -> None:
    rows = [one_of(ITEMS, op.pick**2), one_of(ITEMS, op.size)]
    if len(world.domains) == 1:  # Else no transaction changes rows that belong to the other domain.
        rows.append(one_of(LISTS, op.pick))
    world.primary.commit(tuple(dict.fromkeys(rows)))


CATALOGUE: Final[Mapping[str, Callable[[World, Op], None]]] = {
    **REDIS,
    **REPLICAS,
    "write": _write,
    "truncate": _truncate,
    "truncate_lists": _truncate_lists,
    "write_wide": _write_wide,
    "wan_cut": _wan_cut,
    "wan_slow": _wan_slow,
    "binlog_cut": _binlog_cut,
    "primary_failover": _primary_failover,
    "source_left": _source_left,
    "binlog_purge": lambda world, op: world.primary.purge(),
    "link_cut": _link_cut,
    "link_slow": _link_slow,
    "load_slow": _load_slow,
    "source_crash": partial(_crash, SOURCES),
    "source_pause": partial(_pause, SOURCES),
    "mirror_crash": partial(_crash, MIRRORS),
    "mirror_pause": partial(_pause, MIRRORS),
    "reader_crash": partial(_crash, READERS),
    "reader_pause": partial(_pause, READERS),
    "readers_away": _readers_away,
    "source_end": partial(_end, SOURCES),
    "mirror_end": partial(_end, MIRRORS),
    "bump": _bump,
    "clock_step": _clock_step,
}


def do(world: World, op: Op) -> None:
    world.note(op.name, round(op.size, 3), round(op.pick, 3))
    CATALOGUE[op.name](world, op)


def mend(world: World) -> None:
    """Everything is up again, at once: the faults have ended."""
    world.load_extra_s = 0.0
    world.mend_cables()
    world.primary.is_cut, world.primary.left = False, None
    for server in (world.stream_a, world.stream_b, world.values, *world.replicas):
        server.loses_answers = False
        server.come_up()
        server.resume()
    for stream in (world.stream_a, world.stream_b):
        stream.make_room()
        stream.loses_push = False
        stream.back_ms = 0
    for replica in world.replicas:
        replica.extra_lag_s = [0.0 for _ in world.domains]
        replica.start()
    for name in NAMES:
        process = world.processes[name]
        if process.is_dead:
            world.start(name)
        elif process.is_ending:
            _start_again(world, name, process)
        elif process.is_halted:
            process.resume()
