"""The load budget: so many loads per second, one second's worth at once."""

from versioning.budget import LoadBudget


def test_one_seconds_worth_is_there_at_once_and_the_rest_comes_by_and_by() -> None:
    budget = LoadBudget(2)
    assert [budget.take(0) for _ in range(3)] == [True, True, False]
    assert budget.wait_ms() == 500
    assert [budget.take(499), budget.take(500), budget.take(500)] == [False, True, False]


def test_a_token_given_back_can_be_taken_again() -> None:
    budget = LoadBudget(1)
    assert budget.take(0)
    budget.give_back()
    assert budget.take(0)


def test_an_idle_process_saves_up_no_more_than_a_second() -> None:
    budget = LoadBudget(1)
    budget.take(0)
    assert [budget.take(60_000), budget.take(60_000)] == [True, False]


def test_threads_that_read_the_clock_in_another_order_earn_nothing_twice() -> None:
    budget = LoadBudget(1)
    assert [budget.take(0), budget.take(1_000), budget.take(500)] == [True, True, False]
    assert [budget.take(1_500), budget.take(2_000)] == [False, True]


def test_without_a_limit_there_is_always_a_token() -> None:
    assert all(LoadBudget(None).take(0) for _ in range(1_000))
