"""Harm to a Redis: what befalls the servers, and what people do in them by hand."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.simulation.network import Server
from tests.simulation.ops import Op, long_s, one_of
from tests.simulation.streams import StreamServer
from tests.simulation.world import World


def outage(world: World, server: Server, op: Op) -> None:
    server.is_down = True
    server.hang_up()
    world.later(long_s(world, op.size), server.come_up)


def server_pause(world: World, server: Server, op: Op) -> None:
    server.pause()
    world.later(long_s(world, op.size), server.resume)


def _fail_over(world: World, server: StreamServer, op: Op) -> None:
    def promoted() -> None:
        server.skew_ms = world.skew_ms()  # Another machine.
        server.is_down = True
        world.note("failed over", server.name)
        world.later(0.02 + op.pick**2, server.come_up)

    server.fail_over(0.9 * op.size, promoted)


def _by_hand(work: Callable[[StreamServer, Op], None]) -> Callable[[StreamServer, Op], None]:
    """What people do in a server: one that stands still they do not reach."""

    def done(server: StreamServer, op: Op) -> None:
        if not server.is_paused:
            work(server, op)

    return done


@_by_hand
def _flush(server: StreamServer, op: Op) -> None:
    server.flush()


@_by_hand
def _trim(server: StreamServer, op: Op) -> None:
    entries = server.store.entries
    if entries:
        server.store.trim(entries[int(op.size * len(entries))].stamp)


@_by_hand
def _tear(server: StreamServer, op: Op) -> None:
    """Somebody deletes one to three entries by hand, of the newest ten."""
    newest = server.store.entries[-10:]
    first = int(op.pick * len(newest))
    gone = newest[first : first + 1 + int(3 * op.size)]
    server.store.drop(lambda entry: entry in gone)


def _full(world: World, server: StreamServer, op: Op) -> None:
    server.is_full = True
    world.later(long_s(world, op.size), server.make_room)


@_by_hand
def _poison(server: StreamServer, op: Op) -> None:
    server.store.poison()


@_by_hand
def _forget(server: StreamServer, op: Op) -> None:
    one_of((server.store.forget_checkpoints, server.store.forget_state, server.evict), op.pick)()


def _clock_back(world: World, server: StreamServer, op: Op) -> None:
    server.back_ms = int(30_000 * op.size)

    def end() -> None:
        server.back_ms = 0

    world.later(long_s(world, op.pick), end)


def _values_outage(world: World, op: Op) -> None:
    world.values.is_down = True
    world.later(long_s(world, op.size), world.values.come_up)


def _values_failover(world: World, op: Op) -> None:
    store = world.values.store
    snapshot = store.snapshot()
    world.later(0.9 * op.size, lambda: store.restore(snapshot))


def _push_lost(world: World, op: Op) -> None:
    one_of((world.stream_a, world.stream_b), op.pick).loses_push = True


def _answers_lost(world: World, op: Op) -> None:
    server: Server = one_of((world.stream_a, world.stream_b, world.values), op.pick)
    server.loses_answers = True

    def end() -> None:
        server.loses_answers = False

    world.later(0.2 + op.size, end)


REDIS: Final[Mapping[str, Callable[[World, Op], None]]] = {
    "redis_a_outage": lambda world, op: outage(world, world.stream_a, op),
    "redis_a_failover": lambda world, op: _fail_over(world, world.stream_a, op),
    "redis_a_flush": lambda world, op: _flush(world.stream_a, op),
    "redis_a_trim": lambda world, op: _trim(world.stream_a, op),
    "redis_a_tear": lambda world, op: _tear(world.stream_a, op),
    "redis_a_clock_back": lambda world, op: _clock_back(world, world.stream_a, op),
    "redis_a_pause": lambda world, op: server_pause(world, world.stream_a, op),
    "redis_a_full": lambda world, op: _full(world, world.stream_a, op),
    "redis_a_poison": lambda world, op: _poison(world.stream_a, op),
    "redis_a_forget": lambda world, op: _forget(world.stream_a, op),
    "redis_b_outage": lambda world, op: outage(world, world.stream_b, op),
    "redis_b_failover": lambda world, op: _fail_over(world, world.stream_b, op),
    "redis_b_flush": lambda world, op: _flush(world.stream_b, op),
    "redis_b_trim": lambda world, op: _trim(world.stream_b, op),
    "redis_b_tear": lambda world, op: _tear(world.stream_b, op),
    "redis_b_full": lambda world, op: _full(world, world.stream_b, op),
    "redis_b_poison": lambda world, op: _poison(world.stream_b, op),
    "redis_b_forget": lambda world, op: _forget(world.stream_b, op),
    "redis_b_pause": lambda world, op: server_pause(world, world.stream_b, op),
    "redis_b_clock_back": lambda world, op: _clock_back(world, world.stream_b, op),
    "values_outage": _values_outage,
    "values_pause": lambda world, op: server_pause(world, world.values, op),
    "values_flush": lambda world, op: world.values.store.flush(),
    "values_failover": _values_failover,
    "push_lost": _push_lost,
    "answer_lost": _answers_lost,
}
