"""A port handed out here is never handed out twice on this machine while its owner lives.

Ports lie below the kernel's ephemeral range: a server that is restarted, or a relay that is cut and healed, finds its
port free again, because no outgoing connection can have taken it meanwhile. The claim is an abstract unix socket: it is
atomic between processes, and the kernel drops it when its owner dies.
"""

import atexit
import errno
import random
import socket

LOOPBACK = "127.0.0.1"
FIRST_PORT = 20_000
LAST_PORT = 32_000  # Linux hands out ephemeral ports from 32768 on.

_claims: dict[int, socket.socket] = {}


class NoPortError(RuntimeError):
    """Every port of the range is claimed or in use."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is this process's own until it ends."""
    for port in random.sample(range(FIRST_PORT, LAST_PORT + 1), LAST_PORT - FIRST_PORT + 1):
        if port not in _claims and _claim(port):
            return port
    raise NoPortError(f"no free port in {FIRST_PORT}..{LAST_PORT} on {LOOPBACK}: stop some servers and try again")


def release_port(port: int) -> None:
    claim = _claims.pop(port, None)
    if claim is not None:
        claim.close()


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


@atexit.register
def _release_all() -> None:
    for port in list(_claims):
        release_port(port)


def _claim(port: int) -> bool:
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0stampline-port-{port}")
        _try_bind(port)
    except OSError as error:
        claim.close()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        return False
    _claims[port] = claim
    return True


def _try_bind(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((LOOPBACK, port))
