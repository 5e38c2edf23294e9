"""Lanes: connections of redis-py's own pool, kept between reads, on which packed commands go out and their replies
come back.

redis-py connects, authenticates, speaks TLS and asks the sentinels; what is left out is what its client does around
each command (pool, poll, retries, metrics), which costs as much as the command. Law: a connection goes back to the
lanes only when its replies have been read to the end. One that failed in any way is closed, and the pool connects it
anew. So are all of them once a Redis says that it leads no more: its address may lead to another one by now; and once a
thread was interrupted while it connected (a timeout by signal), for the driver puts back what it had begun, the replies
of the handshake unread: each reader of it would get the reply to the one before.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import redis

from versioning.backends.redis_border import leads_no_more
from versioning.backends.redis_turns import Turns

IDLE_MAX: Final = 16
"""Lanes kept for the next reads. All others go back to the pool, where the next burst finds them."""

PART_COMMANDS: Final = 512
PART_BYTES: Final = 512 * 1024
"""Sent at once. The timeout is for sending all of it: what a link does not carry in that time would never be sent."""

STAY_S: Final = 1.0
"""Least time between two departures from a replica: where nobody has taken over, every write would connect anew."""


class Lanes:
    """Safe to share between threads, and to use after a fork."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._turns = Turns(pool.connection_kwargs["socket_timeout"])
        self._idle: list[Any] = []
        self._left_s = float("-inf")

    def ask(self, command: bytes) -> Any:
        """Send a packed command and return its reply. Raises what redis-py raises."""
        return self.ask_all((command,))[0]

    def ask_all(self, commands: Sequence[bytes]) -> list[Any]:
        """Send packed commands, at once if few, and return their replies; raises the first that is an error."""
        replies = self.ask_each(commands)
        for reply in replies:
            if isinstance(reply, redis.ResponseError):
                raise reply
        return replies

    def ask_each(self, commands: Sequence[bytes]) -> list[Any]:
        """The same, but an error that is the reply to one command is returned in its place."""
        with self._turns:
            connection = self._take_idle()
            if connection is None:
                return self._ask_on(self._connection(), commands)
            try:
                return self._ask_on(connection, commands)
            except redis.ConnectionError:
                # Closed by the server while it was idle, as may be the others: the pool looks before it hands one out.
                self.give_back()
                return self._ask_on(self._connection(), commands)

    def give_back(self) -> None:
        """Return the idle lanes to the pool."""
        while (connection := self._take_idle()) is not None:
            self._pool.release(connection)

    def _connection(self) -> Any:
        try:
            return self._pool.get_connection()
        except redis.RedisError:  # after which the driver has closed it
            raise
        except BaseException:
            self._pool.disconnect(inuse_connections=False)
            raise

    def _take_idle(self) -> Any:
        with suppress(IndexError):
            # After a fork those of the parent come up too, and are left to it.
            while (connection := self._idle.pop()).pid != os.getpid():
                pass
            return connection
        return None

    def _ask_on(self, connection: Any, commands: Sequence[bytes]) -> list[Any]:
        try:
            replies: list[Any] = []
            for part in (commands,) if len(commands) == 1 else _parts(commands):
                connection.send_packed_command((b"".join(part),))
                replies += [_reply(connection) for _ in part]
        except BaseException:
            connection.disconnect()
            self._pool.release(connection)
            raise
        self._keep(connection)
        for reply in replies:
            if leads_no_more(reply):
                self._leave()
        return replies

    def _leave(self) -> None:
        now_s = time.monotonic()
        if now_s - self._left_s >= STAY_S:
            self._left_s = now_s
            self.give_back()
            self._pool.disconnect(inuse_connections=False)

    def _keep(self, connection: Any) -> None:
        is_good = self._pool.owns_connection(connection) and not connection.should_reconnect()
        if is_good and len(self._idle) < IDLE_MAX:
            self._idle.append(connection)
        else:
            self._pool.release(connection)


def _parts(commands: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    first, size = 0, 0
    for place, command in enumerate(commands):
        size += len(command)
        if place > first and (size > PART_BYTES or place - first >= PART_COMMANDS):
            yield commands[first:place]
            first, size = place, len(command)
    yield commands[first:]


def _reply(connection: Any) -> Any:
    """Return the next reply; an error that is one is returned like any other: more replies may follow it."""
    try:
        return connection.read_response(disable_decoding=True, disconnect_on_error=True)
    except redis.ResponseError as error:
        return error
