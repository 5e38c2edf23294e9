"""Turns of threads at a Redis: who comes first goes first, and nobody waits at one that is silent."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis.exceptions

from tests.eventually import DEADLINE_S
from versioning.backends.redis_turns import TURNS_MAX, Turns

IMPATIENT_S = 0.02
MANY = 5 * TURNS_MAX


class Taken:
    """Turns of which other threads hold all, until they are let go one by one."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.turns = Turns(IMPATIENT_S)
        self._go = threading.Semaphore(0)
        all_hold = threading.Barrier(TURNS_MAX + 1)

        def hold() -> None:
            with self.turns:
                all_hold.wait(DEADLINE_S)
                self._go.acquire()

        self._holding = [pool.submit(hold) for _ in range(TURNS_MAX)]
        all_hold.wait(DEADLINE_S)

    def let_go(self, count: int = TURNS_MAX) -> None:
        self._go.release(count)


@pytest.fixture
def taken() -> Iterator[Taken]:
    with ThreadPoolExecutor(TURNS_MAX) as pool:
        taken = Taken(pool)
        yield taken
        taken.let_go()


def test_a_thread_that_has_no_turn_in_time_is_refused(taken: Taken) -> None:
    with pytest.raises(redis.exceptions.MaxConnectionsError), taken.turns:
        pass


def test_a_turn_that_ends_is_the_next_ones(taken: Taken) -> None:
    taken.let_go(1)
    with taken.turns:
        pass
    with taken.turns:
        pass


def test_who_waits_goes_on_waiting_while_answers_come() -> None:
    turns = Turns(IMPATIENT_S)

    def read(_: int) -> None:
        for _ in range(20):
            with turns:
                time.sleep(IMPATIENT_S / 10)  # as long as an answer takes

    with ThreadPoolExecutor(MANY) as pool:
        list(pool.map(read, range(MANY)))


def test_a_child_has_the_turns_that_were_held_when_it_was_forked(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: 0)
        with taken.turns:
            pass


def test_a_thread_that_was_interrupted_has_no_more_than_one_turn() -> None:
    turns = Turns(IMPATIENT_S)
    for _ in range(TURNS_MAX + 1):
        turns.__enter__()  # and never gives it back
