"""Waits between tries."""

from versioning.backoff import DENIED_S, FIRST_S, LONGEST_S, Backoff


def test_waits_double_up_to_a_limit_and_begin_again_after_success() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next_s() for _ in range(10)]
    assert waits[:3] == [FIRST_S, FIRST_S * 2, FIRST_S * 4]
    assert waits[-1] == LONGEST_S
    backoff.reset()
    assert backoff.next_s() == FIRST_S
    assert Backoff(lambda: 0.0).next_s() == FIRST_S / 2


def test_after_a_refused_login_the_wait_is_long() -> None:
    backoff = Backoff(lambda: 0.5)
    assert backoff.pause_s(is_denied=True) == DENIED_S
    assert backoff.pause_s(is_denied=False) == FIRST_S * 0.75
