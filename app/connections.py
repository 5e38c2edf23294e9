"""What clients may hold of a service: no connection waits for its client for ever, and of too many some end.

The server's own timer begins with an answer, and ends with the next byte: who asks nothing, or half of it, has none.
"""

import resource
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PATIENCE_S: Final = 10.0
"""What a client has for the head of a request, for its body (1 MiB at 1 Mbit/s takes 8 s), and to take any of an answer
that does not fit into the buffers between."""

SWEEP_S: Final = 1.0


def files_max() -> int:
    """Return how many files the process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


CONNECTIONS_MAX: Final = min(10_000, files_max() * 3 // 4)
"""Each costs a file and 11 KiB. The other files are for Redis (100), the log, and who comes between two sweeps."""

_log = structlog.get_logger()


class _Debt(NamedTuple):
    """What a client owes: equal until some of it comes."""

    connection: HttpToolsProtocol
    request: object
    """The last one, answered or not; None: none has come yet."""
    unsent_bytes: int
    """Of its answer. Who takes some of them pays."""


class Patience:
    """Looks at all connections once in ``SWEEP_S``, and ends those whose clients let it wait."""

    def __init__(self) -> None:
        self._since_s: dict[_Debt, float] = {}

    def sweep(self, connections: Iterable[object], now_s: float) -> None:
        """End connections that are owed something for too long; of more than ``CONNECTIONS_MAX`` also such as are idle.

        Whoever is being answered, or has come since the last sweep, stays: so probes find room, whatever clients hold.
        """
        held = [connection for connection in connections if isinstance(connection, HttpToolsProtocol)]
        debts = [debt for connection in held if (debt := _debt_of(connection)) is not None]
        longest_first = sorted((debt for debt in debts if debt in self._since_s), key=self._since_s.__getitem__)
        n_late = sum(now_s - self._since_s[debt] >= PATIENCE_S for debt in longest_first)
        n_too_many = max(0, len(held) - CONNECTIONS_MAX)
        ending = [debt.connection for debt in longest_first]
        if n_too_many:
            ending += _idle(held)
            hint = "have clients keep fewer open, or raise the limit of open files (LimitNOFILE)"
            _log.warning("too_many_connections", held=len(held), limit=CONNECTIONS_MAX, hint=hint)
        for connection in ending[: max(n_late, n_too_many)]:
            connection.transport.abort()
        self._since_s = {debt: self._since_s.get(debt, now_s) for debt in debts}


def _debt_of(connection: HttpToolsProtocol) -> _Debt | None:
    """None: nothing. The client is owed an answer, or has a while (the server's timer runs) to ask again."""
    request, unsent_bytes = connection.cycle, connection.transport.get_write_buffer_size()
    if request is not None and not unsent_bytes:
        is_idle = request.response_complete and connection.timeout_keep_alive_task is not None
        if is_idle or not (request.response_complete or request.more_body):
            return None
    return _Debt(connection, request, unsent_bytes)


def _idle(held: Iterable[HttpToolsProtocol]) -> list[HttpToolsProtocol]:
    """Return those whose timer runs, the longest idle first."""
    ends_s = {each: each.timeout_keep_alive_task.when() for each in held if each.timeout_keep_alive_task is not None}
    return sorted(ends_s, key=ends_s.__getitem__)
