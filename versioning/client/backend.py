"""A backend that is opened when it is first used, and opened again in a forked child."""

import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from versioning.backends.base import UnavailableError
from versioning.errors import ConfigError

Backend = TypeVar("Backend")

OPEN_AGAIN_S: Final = 5.0
"""What could not be opened is not tried again for this long: every miss would, and reading files of TLS takes tens of
milliseconds, in which an event loop stands still."""

LEFT_BEHIND: Final[list[Any]] = []
"""Objects of the parent that must never be collected in the child: ending a connection or a loop there would take it
out of the epoll set that the parent still waits on."""


class Opened(Generic[Backend]):
    """Made of a ready backend, or of a callable that makes one. Only the latter can be opened twice."""

    def __init__(self, source: Backend | Callable[[], Backend], *, is_fork_safe: bool = False) -> None:
        self._make: Callable[[], Backend] | None = source if callable(source) else None
        self._backend: Backend | None = None if callable(source) else source
        self._is_fork_safe = is_fork_safe
        self.is_used = False
        """Whether there is something to close."""
        self._failure: tuple[str, str] | None = None
        """Why it could not be opened, and what to do about it."""
        self._shut_until_s = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether it cannot be had: a ready one whose connections stayed with the parent process, or one that could not
        be opened a moment ago, of which whoever tried has told."""
        return self._backend is None and (self._make is None or self._is_shut)

    @property
    def _is_shut(self) -> bool:
        return self._failure is not None and time.monotonic() < self._shut_until_s

    def get(self) -> Backend:
        """Return the backend. Raises BackendError where opening needs a server that is down, or files that are away."""
        if self._backend is None:
            if self._make is None:
                raise RuntimeError("the backend stayed with the parent process")
            self._backend = self._open(self._make)
        self.is_used = True
        return self._backend

    def _open(self, make: Callable[[], Backend]) -> Backend:
        if self._failure is not None and self._is_shut:
            message, hint = self._failure
            raise UnavailableError(message, hint=hint)
        try:
            return make()
        except ConfigError as error:  # checked when the cache was made: files of TLS that are being replaced
            self._failure, self._shut_until_s = (error.message, error.hint), time.monotonic() + OPEN_AGAIN_S
            raise UnavailableError(error.message, hint=error.hint) from error

    def take(self) -> Backend | None:
        """Return the backend if there is one to close."""
        backend = self._backend if self.is_used else None
        self.is_used = False
        if self._make is not None:
            self._backend = None
        return backend

    def after_fork(self) -> None:
        """Leave the parent's connections alone: two processes must not talk over one socket."""
        self._failure = None
        if self.is_used and (self._make is not None or not self._is_fork_safe):
            LEFT_BEHIND.append(self._backend)
            self._backend = None
