"""What systemd is told of a ``Type=notify`` unit: READY=1, WATCHDOG=1, STOPPING=1 (sd_notify(3)), a datagram each.

The watchdog is fed only while the working loop turns, so that systemd ends a role that hangs, whoever still answers.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final, Self

from versioning.client.pulse import Pulse

START_POLL_S: Final = 0.05
POLL_S: Final = 1.0


class Notifier:
    """Says nothing where nobody listens: ``address`` is empty."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        # An address that begins with @ is in the abstract namespace: its first byte is 0.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        address = environ.get("NOTIFY_SOCKET", "")
        is_ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        return cls(address, int(usec) / 1e6 if is_ours and usec.isdecimal() else 0.0)

    def say(self, *lines: str) -> None:
        """Never blocks and never fails: a supervisor that is away must not end what it supervises."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            end.sendto("\n".join(lines).encode(), self._address)

    async def run(self, pulse: Pulse, readiness: Callable[[], str | None]) -> None:
        """Until cancelled. READY is said when the loop first turns, not when it has caught up: see STATUS for that."""
        if not self._address:
            return
        while not pulse.has_begun:  # noqa: ASYNC110 - a loop's turn may come from another thread
            await asyncio.sleep(START_POLL_S)
        self.say("READY=1")
        while True:
            reason = pulse.complaint() or readiness()
            fed = ["WATCHDOG=1"] if self._watchdog_s and not pulse.is_overdue else []
            self.say(*fed, f"STATUS={'ready' if reason is None else ' '.join(reason.split())}")
            await asyncio.sleep(min(POLL_S, self._watchdog_s / 3) if self._watchdog_s else POLL_S)
