"""The start of a role: it waits for servers that are down, and for nothing that a person must mend."""

import asyncio

import pytest
from structlog.testing import capture_logs

from replicator.errors import MySqlAuthenticationError, MySqlUnavailableError, PreflightError, UnreachedError
from replicator.start import reach
from versioning.backends.base import AuthenticationError, UnavailableError
from versioning.client.pulse import Pulse
from versioning.errors import StamplineError

DOWN = MySqlUnavailableError("MySQL a:1 is not available", hint="is it up?")


async def go(
    *answers: StamplineError | None, stop: asyncio.Event | None = None, pulse: Pulse | None = None
) -> list[str]:
    """Answer the checks one by one; returns what was noted."""
    noted: list[str] = []
    coming = iter(answers)

    async def check() -> None:
        answer = next(coming)
        if answer is not None:
            raise answer

    await reach(
        check, stop=stop or asyncio.Event(), note=lambda error: noted.append(str(error)), pulse=pulse or Pulse()
    )
    return noted


async def test_servers_that_are_down_are_waited_for_with_one_line_per_reason() -> None:
    other, pulse = UnavailableError("Redis b:1 is not available"), Pulse()
    with capture_logs() as logs:
        assert await go(DOWN, DOWN, other, None, pulse=pulse) == [str(DOWN), str(DOWN), str(other)]
    assert [(line["event"], line["error"]) for line in logs] == [
        ("start_put_off", str(DOWN)),
        ("start_put_off", str(other)),
    ]
    assert pulse.has_begun


@pytest.mark.parametrize(
    "error", [MySqlAuthenticationError("a"), AuthenticationError("b"), PreflightError("c")], ids=type
)
async def test_what_a_person_must_mend_ends_it_at_once(error: StamplineError) -> None:
    with pytest.raises(type(error)):
        await go(DOWN, error)


async def test_told_to_stop_it_ends_at_once_and_says_what_it_waited_for() -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(UnreachedError, match="a:1 is not available") as caught:
        await go(DOWN, None, stop=stop)
    assert caught.value.hint == DOWN.hint


async def test_what_is_there_at_once_is_taken_though_its_time_is_over() -> None:
    stop = asyncio.Event()
    stop.set()
    assert await go(None, stop=stop) == []
