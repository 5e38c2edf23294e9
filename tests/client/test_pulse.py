"""The pulse: how long a loop has not turned, beyond what it meant to rest."""

from versioning.client.pulse import LOOP_AGE_MAX_S, Pulse


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_loop_that_does_not_turn_is_overdue_after_the_limit_and_alive_again_when_it_turns() -> None:
    clock = Clock()
    pulse = Pulse(clock_s=clock)
    pulse.beat()
    clock.now_s += LOOP_AGE_MAX_S
    assert pulse.complaint() is None
    clock.now_s += 1
    assert pulse.complaint() == "the working loop has not turned for 31 s"
    pulse.beat()
    assert (pulse.age_s, pulse.complaint()) == (0, None)


def test_a_loop_that_never_began_is_overdue_too() -> None:
    clock = Clock()
    pulse = Pulse(clock_s=clock)
    clock.now_s += LOOP_AGE_MAX_S + 1
    assert not pulse.has_begun
    assert pulse.is_overdue


def test_a_rest_is_not_held_against_it() -> None:
    clock = Clock()
    pulse = Pulse(clock_s=clock)
    pulse.beat(rest_s=37.5)
    clock.now_s += 37.5 + LOOP_AGE_MAX_S
    assert pulse.complaint() is None
    clock.now_s += 1
    assert pulse.is_overdue


def test_who_waits_for_another_loop_is_as_alive_as_that_one() -> None:
    clock = Clock()
    pulse, other = Pulse(clock_s=clock), Pulse(clock_s=clock)
    with pulse.leaning_on(other):
        clock.now_s += 100
        other.beat()
        assert pulse.age_s == 0
        clock.now_s += LOOP_AGE_MAX_S + 1
        assert pulse.is_overdue
    assert pulse.age_s == 0
    clock.now_s += 5
    other.beat()
    assert pulse.age_s == 5
