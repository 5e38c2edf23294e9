"""The nodes of a Cluster for readers: each has lanes (threads) or a pipeline (asyncio) of its own.

The driver's clients for a Cluster are not meant for reads that come by the thousand: they read the topology anew beside
other commands, whose connections they close for it, they sleep within a command where a slot is being moved or served
by nobody, and they have one connection for each command under way. Here a node that fails is felt by its own readers
only. The topology is read at the first use, and at most once a second where an answer, or none, gives reason to.
"""

import asyncio
import random
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import redis.exceptions

from versioning.backends.base import BackendError, LoginRefusedError, UnavailableError
from versioning.backends.redis_border import RAISED, Border, RedirectError, is_unavailable
from versioning.backends.redis_connect import RedisAddress, aclose, close
from versioning.backends.redis_lanes import Lanes
from versioning.backends.redis_pipeline import Pipeline
from versioning.backends.redis_slots import ASKING, CLUSTER_SLOTS, LEARN_AGAIN_S, Node, Slots
from versioning.errors import ConfigError

Command = tuple[str, bytes]
"""A key's name in Redis, which decides the node, and the packed command."""

GONE_MAX: Final = 16

_REFUSED: Final = (redis.exceptions.AuthenticationError, redis.exceptions.AuthorizationError)


class NodeLanes:
    """Safe to share between threads, and to use after a fork. Raises what redis-py raises."""

    def __init__(self, address: RedisAddress, timeout_ms: int) -> None:
        self._address = address
        self._timeout_ms = timeout_ms
        self._clients: dict[Node, tuple[Any, Lanes]] = {}
        self._gone: deque[tuple[Any, Lanes]] = deque(maxlen=GONE_MAX)
        """Of nodes that left. A client that nobody holds closes its connections, under the hands of who reads there."""
        self._slots: Slots | None = None
        self._looked_s = float("-inf")

    def ask(self, name: str, command: bytes) -> Any:
        return self.ask_all(((name, command),))[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies, each node's asked at once; raises the first error among them."""
        slots = self._slots or self._learn()
        nodes = [slots.node_of(name) for name, _ in commands]
        places = defaultdict(list)
        for place, node in enumerate(nodes):
            places[node].append(place)
        replies: list[Any] = [None] * len(commands)
        for node, its_places in places.items():
            asked = self._ask_node(node, [commands[place][1] for place in its_places])
            for place, reply in zip(its_places, asked, strict=True):
                replies[place] = reply
        return [
            self._follow(reply, node, command) if isinstance(reply, Exception) else reply
            for reply, node, (_, command) in zip(replies, nodes, commands, strict=True)
        ]

    def load(self, names: Iterable[str], script: bytes) -> None:
        """Have the nodes of these keys load a script."""
        slots = self._slots or self._learn()
        for node in {slots.node_of(name) for name in names}:
            self._lanes(node).ask(script)

    def close(self) -> None:
        for client, lanes in list(self._clients.values()):
            lanes.give_back()
            close(client)

    def _ask_node(self, node: Node, commands: Sequence[bytes]) -> list[Any]:
        try:
            return self._lanes(node).ask_each(commands)
        except RAISED as error:
            self._doubt(error)
            raise

    def _follow(self, error: Exception, asked: Node, command: bytes) -> Any:
        """Return the reply of the node that another one has named. Raises the error where it names none."""
        self._doubt(error)
        if not isinstance(error, redis.exceptions.AskError):
            raise error
        node = _move(self._slots, error, asked)
        if isinstance(error, redis.exceptions.MovedError):
            return self._lanes(node).ask(command)
        return self._lanes(node).ask_all((ASKING, command))[1]

    def _doubt(self, error: Exception) -> None:
        if _is_doubtful(error) and time.monotonic() - self._looked_s >= LEARN_AGAIN_S:
            with suppress(*RAISED):
                self._learn()

    def _learn(self) -> Slots:
        """Ask one node after the other, for no longer than a command may take. Raises what the last one did."""
        began_s = self._looked_s = time.monotonic()
        for node in _whom_to_ask(self._address, self._slots):
            try:
                slots = Slots(self._lanes(node).ask(CLUSTER_SLOTS), node)
            except RAISED as error:
                if isinstance(error, _REFUSED) or time.monotonic() - began_s >= self._timeout_ms / 1000:
                    raise
                last = error
            else:
                self._slots = slots
                self._keep_only(slots.nodes.union(self._address.nodes))
                return slots
        raise last

    def _lanes(self, node: Node) -> Lanes:
        found = self._clients.get(node)
        if found is None:
            try:
                client = self._address.at(*node).connect(self._timeout_ms)
            except ConfigError as error:  # checked when the cache was made: files of TLS that are being replaced
                raise UnavailableError(error.message, hint=error.hint) from error
            # Of two threads one is the first, and nothing was sent yet by the other's.
            found = self._clients.setdefault(node, (client, Lanes(client.connection_pool)))
        return found[1]

    def _keep_only(self, nodes: set[Node]) -> None:
        """Others may do the same beside this thread, and read there: their connections are left to them."""
        for node in set(self._clients) - nodes:
            if gone := self._clients.pop(node, None):
                self._gone.append(gone)
                client, lanes = gone
                lanes.give_back()
                client.connection_pool.disconnect(inuse_connections=False)


class NodePipelines:
    """Belongs to one event loop. Raises BackendError."""

    def __init__(self, address: RedisAddress, border: Border, timeout_ms: int) -> None:
        self._address = address
        self._border = border
        self._timeout_ms = timeout_ms
        self._clients: dict[Node, tuple[Any, Pipeline]] = {}
        self._slots: Slots | None = None
        self._learning: asyncio.Task[Slots] | None = None
        self._looked_s = float("-inf")

    async def ask(self, name: str, command: bytes) -> Any:
        node = await self._node(name)
        try:
            return await self._pipeline(node).ask(command)
        except BackendError as error:
            return await self._follow(error, node, command)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies, all asked at once; raises the first error among them."""
        nodes = [await self._node(name) for name, _ in commands]
        asked = [self._pipeline(node).ask(command) for node, (_, command) in zip(nodes, commands, strict=True)]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        return [
            await self._follow(reply, node, command) if isinstance(reply, BaseException) else reply
            for reply, node, (_, command) in zip(replies, nodes, commands, strict=True)
        ]

    async def load(self, names: Iterable[str], script: bytes) -> None:
        """Have the nodes of these keys load a script."""
        for node in {await self._node(name) for name in names}:
            await self._pipeline(node).ask(script)

    async def aclose(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait((self._learning,))
        await self._keep_only(set())

    async def _node(self, name: str) -> Node:
        slots = self._slots or await self._learn()
        try:
            return slots.node_of(name)
        except redis.exceptions.SlotNotCoveredError as error:
            self._doubt()
            raise self._border.translate(error) from error

    async def _follow(self, error: BaseException, asked: Node, command: bytes) -> Any:
        """Return the reply of the node that another one has named. Raises the error where it names none."""
        if isinstance(error, UnavailableError):
            self._doubt()
        if not isinstance(error, RedirectError):
            raise error
        redirection = error.redirection
        node = _move(self._slots, redirection, asked)
        if isinstance(redirection, redis.exceptions.MovedError):
            self._doubt()
            return await self._pipeline(node).ask(command)
        return await self._pipeline(node).ask_importing(command)

    def _doubt(self) -> None:
        """Look at the topology, but let nobody wait for it."""
        if self._learning is None and time.monotonic() - self._looked_s >= LEARN_AGAIN_S:
            self._begin_learning()

    async def _learn(self) -> Slots:
        """Once for all who wait; whoever of them is cancelled takes nobody along."""
        return await asyncio.shield(self._learning or self._begin_learning())

    def _begin_learning(self) -> asyncio.Task[Slots]:
        self._looked_s = time.monotonic()
        self._learning = asyncio.create_task(self._look_at_topology(), name="stampline-topology")
        self._learning.add_done_callback(self._end_learning)
        return self._learning

    def _end_learning(self, task: asyncio.Task[Slots]) -> None:
        self._learning = None
        if not task.cancelled():
            task.exception()  # looked at, also where nobody waits

    async def _look_at_topology(self) -> Slots:
        try:
            return await self._ask_for_slots()
        except asyncio.CancelledError:  # by ``aclose``: of those who wait nobody is
            raise UnavailableError("the cache is closed") from None

    async def _ask_for_slots(self) -> Slots:
        """Ask one node after the other. Raises what the last one did."""
        for node in _whom_to_ask(self._address, self._slots):
            try:
                slots = self._slots = Slots(await self._pipeline(node).ask(CLUSTER_SLOTS), node)
            except redis.exceptions.ClusterDownError as error:
                last = self._border.translate(error)
            except LoginRefusedError:
                raise
            except BackendError as error:
                last = error
            else:
                await self._keep_only(slots.nodes)
                return slots
        raise last

    def _pipeline(self, node: Node) -> Pipeline:
        found = self._clients.get(node)
        if found is None:
            try:
                client = self._address.at(*node).connect_async(self._timeout_ms)
            except ConfigError as error:
                raise UnavailableError(error.message, hint=error.hint) from error
            found = self._clients[node] = client, Pipeline(client.connection_pool, self._border, self._timeout_ms)
        return found[1]

    async def _keep_only(self, nodes: set[Node]) -> None:
        for node in self._clients.keys() - nodes:
            client, pipeline = self._clients.pop(node)
            await pipeline.aclose()
            await aclose(client)


def _whom_to_ask(address: RedisAddress, slots: Slots | None) -> list[Node]:
    """All that are known, each time another one first: none has all the questions, nor does a silent one stay first."""
    nodes = list(set(address.nodes) | (slots.nodes if slots else set()))
    random.shuffle(nodes)
    return nodes


def _move(slots: Slots | None, redirection: redis.exceptions.AskError, asked: Node) -> Node:
    """Return the node that is meant; the next commands find it by themselves if the slot is there for good."""
    node = (redirection.host or asked[0], redirection.port)
    if slots is not None and isinstance(redirection, redis.exceptions.MovedError):
        slots.move(redirection.slot_id, node)
    return node


def _is_doubtful(error: Exception) -> bool:
    return is_unavailable(error) or isinstance(error, redis.exceptions.MovedError)
