"""Turns of threads at a Redis: who comes first goes first, and nobody waits at one that is silent."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import redis.exceptions

from tests.eventually import DEADLINE_S, until
from versioning.backends import redis_turns
from versioning.backends.redis_turns import TURNS_MAX, Turns

IMPATIENT_S = 0.02
MANY, WAITING = 5 * TURNS_MAX, 4


class Taken:
    """Turns of which other threads hold all, until they are let go one by one."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.turns = Turns(IMPATIENT_S)
        self.error: Exception | None = None
        """What each turn ends with."""
        self._pool = pool
        self._holds, self._go = threading.Semaphore(0), threading.Semaphore(0)
        self.hold(TURNS_MAX)
        for _ in range(TURNS_MAX):
            assert self._holds.acquire(timeout=DEADLINE_S)

    def hold(self, count: int) -> list[Future[None]]:
        return [self._pool.submit(self._hold) for _ in range(count)]

    def let_go(self, count: int = TURNS_MAX) -> None:
        self._go.release(count)

    def _hold(self) -> None:
        with self.turns:
            self._holds.release()
            self._go.acquire()
            if self.error:
                raise self.error


@pytest.fixture
def taken() -> Iterator[Taken]:
    with ThreadPoolExecutor(TURNS_MAX + WAITING) as pool:
        taken = Taken(pool)
        yield taken
        taken.let_go(TURNS_MAX + WAITING)


def test_a_thread_that_never_gets_a_turn_is_refused(taken: Taken) -> None:
    with pytest.raises(redis.exceptions.MaxConnectionsError), taken.turns:
        pass


def test_those_who_wait_are_refused_once_one_in_turn_got_no_answer(
    taken: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_turns, "WAIT_MAX", float("inf"))
    waiting = taken.hold(WAITING)
    until(lambda: len(taken.turns._queue) == TURNS_MAX + WAITING, "they wait")
    taken.error = redis.exceptions.TimeoutError()
    taken.let_go(1)
    # One has the turn of the one that failed.
    until(lambda: sum(each.done() for each in waiting) == WAITING - 1, "the others are refused")
    refused = [each.exception() for each in waiting if each.done()]
    assert {type(error) for error in refused} == {redis.exceptions.MaxConnectionsError}


def test_answers_that_take_long_to_begin_refuse_nobody(taken: Taken) -> None:
    threading.Timer(3 * IMPATIENT_S, taken.let_go).start()
    with taken.turns:
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
