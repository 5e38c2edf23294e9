"""What is awaited is returned when it is there, and named when it is not."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.eventually import until, until_async

Wait = Callable[..., Awaitable[Any]]


async def wait_blocking(*arguments: Any, **options: Any) -> Any:
    return until(*arguments, **options)


@pytest.fixture(params=[wait_blocking, until_async])
def wait(request: pytest.FixtureRequest) -> Wait:
    return request.param  # type: ignore[no-any-return]


async def test_the_first_answer_that_is_true_is_returned(wait: Wait) -> None:
    answers = iter(["", 0, None, "there", "too late"])
    assert await wait(lambda: next(answers), "an answer") == "there"


async def test_what_does_not_come_is_named_with_the_last_answer(wait: Wait) -> None:
    with pytest.raises(AssertionError, match=r"not within 0\.01 s: three rows; last: \[\]"):
        await wait(list, "three rows", 0.01)


async def test_only_errors_that_are_expected_are_waited_out(wait: Wait) -> None:
    def fail() -> bool:
        raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError):
        await wait(fail, "an answer")
    with pytest.raises(AssertionError, match=r"an answer; last: ConnectionError\('nobody there'\)"):
        await wait(fail, "an answer", 0.01, despite=(OSError,))


async def test_an_answer_that_never_comes_is_cut_off_and_the_state_shown() -> None:
    with pytest.raises(AssertionError, match="an event; last: 'the state'"):
        await until_async(asyncio.Event().wait, "an event", 0.01, show=lambda: "the state")


async def test_a_claims_own_timeout_is_no_missed_deadline() -> None:
    async def fail() -> bool:
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        await until_async(fail, "an answer")
