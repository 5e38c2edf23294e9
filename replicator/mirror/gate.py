"""One database that loads read from, as the gate (P4) asks it."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from versioning.errors import ConfigError, StamplineError

WAIT_MS: Final = 1_000
"""Longest wait in the database: how late a changed target or a stop can be noticed."""

LATELY_MS: Final = 3 * WAIT_MS
"""An answer to a question asked before that says nothing of now: a wait, a pause and a slow answer lie between two."""


IsApplied = Callable[[str], bool]
"""Whether every listed database has a GTID."""


class GateError(StamplineError):
    """The database did not answer; it counts as not having applied anything new."""


class GateDeniedError(GateError):
    """Wrong password, user or rights: a person must act, so tries are rare."""


class GateSetupError(ConfigError):
    """A listed database that can never open the gate. One line, and it names the fix."""


class Gate(Protocol):
    """One database that loads read from."""

    @property
    def name(self) -> str: ...

    async def wait(self, gtid: str, limit_ms: int) -> str:
        """Return the position applied, once it may include ``gtid`` or the limit has passed; at once for an empty GTID.

        Raises GateError.
        """
        ...

    async def aclose(self) -> None: ...


class Wanted(NamedTuple):
    """What to ask a database for; an empty GTID: its position, at once."""

    gtid: str = ""
    limit_ms: int = WAIT_MS
