"""The border to the driver: its errors become ours, and a cancellation stays one."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

import pytest
import redis.exceptions

from versioning.backends.base import AuthenticationError, BackendError, LoginRefusedError, UnavailableError
from versioning.backends.redis_border import REFUSED_S, Border, translated
from versioning.errors import IS_IT_UP


@pytest.mark.parametrize(
    ("raised", "ours"),
    [
        (redis.exceptions.AuthenticationError("WRONGPASS"), LoginRefusedError),
        (redis.exceptions.NoPermissionError("NOPERM"), AuthenticationError),
        (redis.exceptions.ConnectionError("gone"), UnavailableError),
        (redis.exceptions.TimeoutError("slow"), UnavailableError),
        (ConnectionResetError(), UnavailableError),
        (redis.exceptions.ReadOnlyError("a replica"), UnavailableError),
        (redis.exceptions.ResponseError("WRONGTYPE"), BackendError),
    ],
    ids=str,
)
def test_an_error_of_the_driver_becomes_one_of_ours_that_names_the_server(
    raised: Exception, ours: type[BackendError]
) -> None:
    words = str(raised) or "ConnectionResetError"
    with pytest.raises(BackendError, match=f"b:6379.*{words}") as caught, translated("b:6379"):
        raise raised
    assert type(caught.value) is ours


@pytest.mark.parametrize(
    ("raised", "is_unreached"),
    [
        (redis.exceptions.ConnectionError("Error 111 connecting to b:6379"), True),
        (redis.exceptions.TimeoutError("slow"), True),
        (ConnectionResetError(), True),
        (redis.exceptions.BusyLoadingError("LOADING"), False),
        (redis.exceptions.ReadOnlyError("a replica"), False),
    ],
    ids=str,
)
def test_who_was_not_reached_is_asked_for_and_who_answered_is_not(
    raised: Exception,
    is_unreached: bool,  # noqa: FBT001
) -> None:
    with pytest.raises(UnavailableError) as caught, translated("b:6379"):
        raise raised
    assert (caught.value.is_unreached, caught.value.hint) == (is_unreached, IS_IT_UP if is_unreached else "")


async def test_a_cancellation_that_makes_the_clean_up_of_the_driver_fail_is_still_a_cancellation() -> None:
    async def ask() -> None:
        with translated("b:6379"):
            try:
                await asyncio.sleep(60)
            finally:
                raise redis.exceptions.TimeoutError("Timed out closing connection")

    await assert_cancelled(ask())


async def test_a_cancellation_that_the_driver_loses_is_still_a_cancellation() -> None:
    async def ask() -> None:
        while True:
            with translated("b:6379"), suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    await assert_cancelled(ask())


async def assert_cancelled(work: Coroutine[None, None, None]) -> None:
    working = asyncio.create_task(work)
    await asyncio.sleep(0)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


def test_the_door_stays_shut_for_a_while_behind_a_refused_login() -> None:
    now_s, tries = 0.0, 0

    def enter() -> None:
        nonlocal tries
        with door.translated():
            tries += 1
            raise redis.exceptions.AuthenticationError("WRONGPASS")

    door = Border("b:6379", clock=lambda: now_s)
    for _ in range(1_000):
        with pytest.raises(LoginRefusedError, match="WRONGPASS"):
            enter()
    assert tries == 1
    now_s = REFUSED_S
    with door.translated():
        pass


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (redis.exceptions.NoPermissionError("NOPERM"), "NOPERM"),
        (redis.exceptions.ClusterDownError("The cluster is down"), "is down"),
    ],
    ids=["right missing", "cluster down"],
)
def test_what_is_of_one_command_or_key_shuts_no_door(raised: Exception, said: str) -> None:
    door = Border("b:6379")
    for _ in range(2):
        with pytest.raises(BackendError, match=said), door.translated():
            raise raised
    with door.translated():
        pass
