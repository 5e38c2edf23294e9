"""The nodes of a Cluster for readers in threads: each has lanes of its own. ``redis_nodes_async`` is for asyncio.

The driver's clients for a Cluster are not meant for reads that come by the thousand: they read the topology anew beside
other commands, whose connections they close for it, they sleep within a command where a slot is being moved or served
by nobody, and they have one connection for each command under way. Here a node that fails, or refuses us, is felt by
its own readers only. The topology is read at the first use, and at most once a second where an answer, or none, gives
reason to.
"""

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import redis.exceptions

from versioning.backends.base import BackendError, LoginRefusedError, UnavailableError
from versioning.backends.redis_border import RAISED, Border, is_unavailable
from versioning.backends.redis_connect import RedisAddress, close
from versioning.backends.redis_lanes import Lanes
from versioning.backends.redis_slots import (
    ASKING,
    CLUSTER_SLOTS,
    LEARN_AGAIN_S,
    Command,
    Node,
    Slots,
    is_for_good,
    node_meant,
    places_by_node,
    whom_to_ask,
)
from versioning.errors import ConfigError

GONE_MAX: Final = 16


class _AtNode(NamedTuple):
    client: Any
    lanes: Lanes
    border: Border


class NodeLanes:
    """Safe to share between threads, and to use after a fork. Raises BackendError."""

    def __init__(self, address: RedisAddress, border: Border, timeout_ms: int) -> None:
        """``border``: of the Cluster; each node has one like it."""
        self._address = address
        self._border = border
        self._timeout_ms = timeout_ms
        self._at: dict[Node, _AtNode] = {}
        self._gone: deque[_AtNode] = deque(maxlen=GONE_MAX)
        """Nodes that left. A client that nobody holds closes its connections, under the hands of who reads there."""
        self._slots: Slots | None = None
        self._looked_s = float("-inf")

    def ask(self, name: str, command: bytes) -> Any:
        return self.ask_all(((name, command),))[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies, each node's asked at once; raises the first error among them."""
        nodes = self._nodes_of(name for name, _ in commands)
        replies: list[Any] = [None] * len(commands)
        for node, places in places_by_node(nodes).items():
            asked = self._ask_node(node, [commands[place][1] for place in places])
            for place, reply in zip(places, asked, strict=True):
                replies[place] = reply
        errors = {place: reply for place, reply in enumerate(replies) if isinstance(reply, Exception)}
        if errors:
            self._follow(errors, nodes, commands, replies)
        return replies

    def load(self, names: Iterable[str], script: bytes) -> None:
        """Have the nodes of these keys load a script."""
        for node in set(self._nodes_of(names)):
            self._ask_node(node, (script,))

    def close(self) -> None:
        for client, lanes, _ in list(self._at.values()):
            lanes.give_back()
            close(client)

    def _nodes_of(self, names: Iterable[str]) -> list[Node]:
        slots = self._slots or self._learn()
        with self._border:
            try:
                return [slots.node_of(name) for name in names]
            except redis.exceptions.SlotNotCoveredError as error:
                self._doubt(error)
                raise

    def _ask_node(self, node: Node, commands: Sequence[bytes]) -> list[Any]:
        """The error that is the reply to one command is returned in its place."""
        _, lanes, border = self._node(node)
        border.knock()
        try:
            return lanes.ask_each(commands)
        except RAISED as error:
            self._doubt(error)
            raise border.translate(error) from error

    def _follow(
        self, errors: Mapping[int, Exception], nodes: Sequence[Node], commands: Sequence[Command], replies: list[Any]
    ) -> None:
        """Put the replies of the nodes that others have named in the errors' places. Raises the first other error."""
        batches: dict[Node, list[tuple[int | None, bytes]]] = defaultdict(list)
        for place, error in errors.items():
            node, is_settled = self._meant(error, nodes[place])
            batch = batches[node]
            if not is_settled:
                batch.append((None, ASKING))
            batch.append((place, commands[place][1]))
        for node, batch in batches.items():
            asked = self._ask_node(node, [command for _, command in batch])
            with self._node(node).border:
                for (wanted, _), reply in zip(batch, asked, strict=True):
                    if isinstance(reply, Exception):
                        raise reply
                    if wanted is not None:
                        replies[wanted] = reply

    def _meant(self, error: Exception, asked: Node) -> tuple[Node, bool]:
        """Return whom this node has named, and whether it is for good. Raises the error where it names none."""
        self._doubt(error)
        with self._node(asked).border:
            if not isinstance(error, redis.exceptions.AskError):
                raise error
            return node_meant(self._slots, error, asked), is_for_good(error)

    def _doubt(self, error: Exception) -> None:
        is_doubtful = is_unavailable(error) or isinstance(error, redis.exceptions.MovedError)
        if is_doubtful and time.monotonic() - self._looked_s >= LEARN_AGAIN_S:
            with suppress(BackendError):
                self._learn()

    def _learn(self) -> Slots:
        """Ask one node after the other, for no longer than a command may take. Raises what one of them did."""
        began_s = self._looked_s = time.monotonic()
        errors: list[BackendError] = []
        for node in whom_to_ask(self._address.nodes, self._slots):
            try:
                slots = self._ask_for_slots(node)
            except BackendError as error:
                errors.append(error)
                if time.monotonic() - began_s >= self._timeout_ms / 1000:
                    break
            else:
                self._slots = slots
                self._keep_only(slots.nodes.union(self._address.nodes))
                return slots
        raise worst(errors)

    def _ask_for_slots(self, node: Node) -> Slots:
        _, lanes, border = self._node(node)
        with border:
            return Slots(lanes.ask(CLUSTER_SLOTS), node)

    def _node(self, node: Node) -> _AtNode:
        found = self._at.get(node)
        if found is None:
            try:
                client = self._address.at(*node).connect(self._timeout_ms)
            except ConfigError as error:  # checked when the cache was made: files of TLS that are being replaced
                raise UnavailableError(error.message, hint=error.hint) from error
            made = _AtNode(client, Lanes(client.connection_pool), self._border.of_node(*node))
            # Of two threads one is the first, and nothing was sent yet by the other's.
            found = self._at.setdefault(node, made)
        return found

    def _keep_only(self, nodes: set[Node]) -> None:
        """Others may do the same beside this thread, and read there: their connections are left to them."""
        for node in set(self._at) - nodes:
            if gone := self._at.pop(node, None):
                self._gone.append(gone)
                gone.lanes.give_back()
                gone.client.connection_pool.disconnect(inuse_connections=False)


def worst(errors: Sequence[BackendError]) -> BackendError:
    """Of those that nodes gave in place of the topology: what only a person can mend, if there is such a one."""
    return next((error for error in errors if isinstance(error, LoginRefusedError)), errors[-1])
