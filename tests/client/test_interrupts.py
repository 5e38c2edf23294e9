"""A thread may be interrupted between any two steps (a timeout by signal, as jobs have them): nobody waits for ever."""

import itertools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from tests.eventually import until
from versioning.client import local, singleflight
from versioning.client.local import LocalCache
from versioning.client.singleflight import Flight, Flights
from versioning.held import Held
from versioning.read import Read, Tier
from versioning.verdict import Verdict

KEY, EARLY = "t:1", "t:2"
HELD = Held("value", 1, 0, 0, 0, 0)
READ = Read("value", Tier.LOADED, 1, Verdict.FRESH, 0)
INTERRUPTED = {local.__file__, singleflight.__file__, threading.__file__}


class Interrupt(BaseException):
    pass


def is_interrupted(work: Callable[[], object], step: int) -> bool:
    """Perform the work, interrupted once, at that step of ours and of the threading module; False: it has fewer.

    A step is where the interpreter looks for interrupts: a function begins, or one that is not in Python has returned.
    """
    left = step

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        if event in {"call", "c_return"} and frame.f_code.co_filename in INTERRUPTED:
            left -= 1
            if not left:
                raise Interrupt

    def run() -> None:
        sys.setprofile(count)
        try:
            work()
        except Interrupt:
            pass
        finally:
            sys.setprofile(None)

    within(20, run)
    return left <= 0


def within(seconds: float, work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it waits for ever"


def at_each_step(is_interrupted_at: Callable[[int], bool]) -> None:
    steps = itertools.count(1)
    while is_interrupted_at(next(steps)):
        pass


def test_a_reader_interrupted_as_it_touches_an_entry_leaves_the_cache_to_the_others() -> None:
    def is_interrupted_at(step: int) -> bool:
        cache = LocalCache(2, lambda: 0)
        cache.put(KEY, HELD)
        was_interrupted = is_interrupted(lambda: cache.touch(KEY), step)
        within(20, lambda: cache.put("t:2", HELD))
        return was_interrupted

    at_each_step(is_interrupted_at)


@pytest.mark.parametrize("error", [None, LookupError("the database is away")], ids=["loaded", "failed"])
def test_a_leader_interrupted_beside_its_load_leaves_nobody_waiting(error: Exception | None) -> None:
    """One key lands before the rest."""

    def is_interrupted_at(step: int) -> bool:
        flights, waiters = Flights(), []

        def load(flight: Flight) -> None:
            count = sys.getprofile()
            sys.setprofile(None)
            for key in flight.keys:
                waiters.append(threading.Thread(target=wait_for, args=(flight, key), daemon=True))
                waiters[-1].start()
            until(lambda: all(one.ident in singleflight._WAITING for one in waiters), "others wait for the load")
            sys.setprofile(count)
            flight.reads[EARLY] = READ
            flights.land_some(flight)
            if error is not None:
                raise error
            flight.reads[KEY] = READ

        def fly() -> None:
            with suppress(LookupError):
                flights.fly((KEY, EARLY), 0, load)

        was_interrupted = is_interrupted(fly, step)
        for waiter in waiters:
            within(20, waiter.join)
        assert [flights.has(KEY), flights.has(EARLY)] == [False, False]
        return was_interrupted

    at_each_step(is_interrupted_at)


def wait_for(flight: Flight, key: str) -> None:
    with suppress(LookupError):
        flight.landed(key)
