"""The border to the driver: what redis-py raises comes out as an error of ours that names the server."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, Self

import redis.asyncio.sentinel
import redis.exceptions
import redis.sentinel

from versioning.backends.base import AuthenticationError, BackendError, LoginRefusedError, UnavailableError
from versioning.backends.tls import TLS_HINT, refusal_in

REFUSED_S: Final = 5.0
"""A refused login is not tried again for this long by readers, who come back at once."""

_REFUSED: Final = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)
_UNAVAILABLE: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ClusterError,
    redis.exceptions.RedisClusterException,  # no RedisError: what a cluster client raises that reaches no node
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
    OSError,
)
_UNREACHED: Final = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.RedisClusterException,
    OSError,
)
_ANSWERED: Final = (redis.exceptions.BusyLoadingError, redis.exceptions.MaxConnectionsError)
RAISED: Final = (redis.exceptions.RedisError, redis.exceptions.RedisClusterException, OSError)
"""What the driver raises on purpose."""


def leads_no_more(reply: object) -> bool:
    """It has become a replica, or will: what is cut off from its replicas, and has a fence, takes no more writes."""
    if isinstance(reply, redis.exceptions.ReadOnlyError):
        return True
    return isinstance(reply, redis.exceptions.ResponseError) and str(reply).startswith("NOREPLICAS")


def is_unavailable(error: Exception) -> bool:
    """Whether it says that the Redis asked is away, or leads no more, and not that it refuses what was asked."""
    return isinstance(error, _UNAVAILABLE) or leads_no_more(error)


class ScriptMissingError(BackendError):
    """This Redis does not know the script, or no longer."""


class RedirectError(BackendError):
    """This node of a Cluster does not serve the slot, or may not for long."""

    def __init__(self, message: str, redirection: redis.exceptions.AskError) -> None:
        super().__init__(message)
        self.redirection = redirection


class Border:
    """Whatever the driver raises inside comes out as a BackendError that names the server. Made once, entered often.

    Behind a refused login it stays shut for a while: readers come back at once, and would make a storm of logins.
    For threads it is a context by itself; for asyncio there is ``translated``.
    """

    def __init__(self, address: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._shut_by: BackendError | None = None
        self._shut_until_s = 0.0

    def of_node(self, host: str, port: int) -> Self:
        """One for a single node of this Cluster: one that refuses the login shuts nobody out of the others."""
        return type(self)(f"{host}:{port}", clock=self._clock)

    def knock(self) -> None:
        """While it is shut, raises what has shut it."""
        shut_by = self._shut_by
        if shut_by is not None and self._clock() < self._shut_until_s:
            raise type(shut_by)(shut_by.message, hint=shut_by.hint)

    def translate(self, error: Exception) -> BackendError:
        found = _translation(self._address, error)
        if isinstance(found, LoginRefusedError):
            self._shut_until_s = self._clock() + REFUSED_S * random.uniform(0.5, 1.0)
            self._shut_by = found
        return found

    def __enter__(self) -> None:
        self.knock()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, RAISED):
            raise self.translate(error) from error

    @contextmanager
    def translated(self) -> Iterator[None]:
        """A cancellation inside comes out as one. The driver loses some: while it connects, and where its clean-up
        fails on the way out. Taken for an answer or an error, that would leave whoever cancelled waiting for ever.
        """
        self.knock()
        before = _cancellations()
        try:
            yield
        except RAISED as error:
            if _cancellations() > before:
                raise asyncio.CancelledError from error
            raise self.translate(error) from error
        if _cancellations() > before:
            raise asyncio.CancelledError


def translated(address: str) -> AbstractContextManager[None]:
    """The border of those who come back rarely: it is never shut."""
    return Border(address).translated()


def _cancellations() -> int:
    with suppress(RuntimeError):  # No loop in this thread.
        task = asyncio.current_task()
        return task.cancelling() if task is not None else 0
    return 0


def _translation(address: str, raised: Exception) -> BackendError:
    error = _refusal_behind(raised) or raised
    what = str(error) or type(error).__name__
    if isinstance(error, (redis.sentinel.MasterNotFoundError, redis.asyncio.sentinel.MasterNotFoundError)):
        # The driver goes on with the settings of every sentinel; why each failed it does not keep.
        hint = "is one of the sentinels up, and does it accept our TLS and password?"
        return UnavailableError(f"Redis {address}: {what.partition(' : ')[0]}", hint=hint)
    refusal = refusal_in(error)
    if refusal:
        return LoginRefusedError(f"no TLS with Redis {address}: {refusal}", hint=TLS_HINT)
    if isinstance(error, redis.exceptions.NoPermissionError):
        return AuthenticationError(f"Redis {address} refused us: {what}", hint="check user, password and ACL")
    if isinstance(error, _REFUSED):
        return LoginRefusedError(f"Redis {address} refused us: {what}", hint="check user, password and ACL")
    if is_unavailable(error):
        # Others have answered, and say themselves what is wrong.
        is_unreached = isinstance(error, _UNREACHED) and not isinstance(error, _ANSWERED)
        return UnavailableError(f"Redis {address} is not available: {what}", is_unreached=is_unreached)
    return _answered(f"Redis {address} answered an error: {what}", error)


def _answered(message: str, error: Exception) -> BackendError:
    if isinstance(error, redis.exceptions.AskError):
        return RedirectError(message, error)
    kind = ScriptMissingError if isinstance(error, redis.exceptions.NoScriptError) else BackendError
    return kind(message)


def _refusal_behind(error: Exception) -> Exception | None:
    """Where every node refuses the login, the cluster client says that it reached none; the refusal is the cause."""
    is_of_cluster = isinstance(error, redis.exceptions.RedisClusterException)
    return error.__cause__ if is_of_cluster and isinstance(error.__cause__, _REFUSED) else None
