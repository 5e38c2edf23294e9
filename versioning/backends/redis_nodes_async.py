"""The nodes of a Cluster for readers of an event loop: each has a pipeline of its own. The law is ``redis_nodes``'."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import redis.exceptions

from versioning.backends.base import BackendError, UnavailableError
from versioning.backends.redis_border import Border, RedirectError
from versioning.backends.redis_connect import RedisAddress, aclose
from versioning.backends.redis_nodes import worst
from versioning.backends.redis_pipeline import Pipeline
from versioning.backends.redis_slots import (
    CLUSTER_SLOTS,
    LEARN_AGAIN_S,
    Command,
    Node,
    Slots,
    is_for_good,
    node_meant,
    whom_to_ask,
)
from versioning.errors import ConfigError


class _AtNode(NamedTuple):
    client: Any
    pipeline: Pipeline


class NodePipelines:
    """Belongs to one event loop. Raises BackendError."""

    def __init__(self, address: RedisAddress, border: Border, timeout_ms: int) -> None:
        """``border``: of the Cluster; each node has one like it."""
        self._address = address
        self._border = border
        self._timeout_ms = timeout_ms
        self._at: dict[Node, _AtNode] = {}
        self._slots: Slots | None = None
        self._learning: asyncio.Task[Slots] | None = None
        self._looked_s = float("-inf")

    async def ask(self, name: str, command: bytes) -> Any:
        node = await self._node_of(name)
        try:
            return await self._pipeline(node).ask(command)
        except BackendError as error:
            return await self._follow(error, node, command)

    async def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the replies, all asked at once; raises the first error among them."""
        nodes = [await self._node_of(name) for name, _ in commands]
        pipelines = {node: self._pipeline(node) for node in nodes}
        asked = (pipelines[node].ask(command) for node, (_, command) in zip(nodes, commands, strict=True))
        replies = await asyncio.gather(*asked, return_exceptions=True)
        errors = {place: reply for place, reply in enumerate(replies) if isinstance(reply, BaseException)}
        if errors:
            following = (self._follow(error, nodes[place], commands[place][1]) for place, error in errors.items())
            for place, reply in zip(errors, await asyncio.gather(*following), strict=True):
                replies[place] = reply
        return replies

    async def load(self, names: Iterable[str], script: bytes) -> None:
        """Have the nodes of these keys load a script."""
        for node in {await self._node_of(name) for name in names}:
            await self._pipeline(node).ask(script)

    async def aclose(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait((self._learning,))
        await self._keep_only(set())

    async def _node_of(self, name: str) -> Node:
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
        if is_for_good(redirection):
            self._doubt()
        try:
            node = node_meant(self._slots, redirection, asked)
        except redis.exceptions.AskError:
            raise error from None
        if is_for_good(redirection):
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
        """Ask one node after the other. Raises what one of them did."""
        errors: list[BackendError] = []
        for node in whom_to_ask(self._address.nodes, self._slots):
            try:
                slots = self._slots = Slots(await self._pipeline(node).ask(CLUSTER_SLOTS), node)
            except redis.exceptions.ClusterDownError as error:
                errors.append(self._border.translate(error))
            except BackendError as error:
                errors.append(error)
            else:
                await self._keep_only(slots.nodes.union(self._address.nodes))
                return slots
        raise worst(errors)

    def _pipeline(self, node: Node) -> Pipeline:
        found = self._at.get(node)
        if found is None:
            try:
                client = self._address.at(*node).connect_async(self._timeout_ms)
            except ConfigError as error:
                raise UnavailableError(error.message, hint=error.hint) from error
            pipeline = Pipeline(client.connection_pool, self._border.of_node(*node), self._timeout_ms)
            found = self._at[node] = _AtNode(client, pipeline)
        return found.pipeline

    async def _keep_only(self, nodes: set[Node]) -> None:
        for node in self._at.keys() - nodes:
            client, pipeline = self._at.pop(node)
            await pipeline.aclose()
            await aclose(client)
