"""Which node of a Cluster serves which slot, as one of them said."""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import redis.exceptions
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from versioning.backends.redis_scripts import packed

Node = tuple[str, int]
"""Host and port."""

Command = tuple[str, bytes]
"""A key's name in Redis, which decides the node, and the packed command."""

CLUSTER_SLOTS: Final = packed("CLUSTER", "SLOTS")
ASKING: Final = packed("ASKING")
"""In front of a command whose slot is still being moved to the node asked."""

LEARN_AGAIN_S: Final = 1.0
"""Least time between two looks at the topology: a node that fails takes longer to be replaced, and fails many reads."""


_NO_HOSTNAME: Final = "?"
"""Of a node that shall be known by its hostname and has announced none."""


class Slots:
    """Threads may look while one of them moves a slot."""

    def __init__(self, reply: Sequence[Any], asked: Node) -> None:
        """Of a node's reply to CLUSTER SLOTS. Raises redis-py's ClusterDownError where it knows of none."""
        self._nodes: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, _, *metadata), *_ in reply:
            node = (_host(host.decode() if host else asked[0], metadata), port)
            self._nodes[first : last + 1] = [node] * (last + 1 - first)
        if not reply:
            raise redis.exceptions.ClusterDownError(f"{asked[0]}:{asked[1]} knows of no slots")

    @property
    def nodes(self) -> set[Node]:
        return {node for node in self._nodes if node is not None}

    def node_of(self, name: str) -> Node:
        """Return who serves the key of this name in Redis. Raises redis-py's SlotNotCoveredError."""
        slot = key_slot(name.encode())
        node = self._nodes[slot]
        if node is None:
            raise redis.exceptions.SlotNotCoveredError(f"no node serves slot {slot}")
        return node

    def move(self, slot: int, node: Node) -> None:
        self._nodes[slot] = node


def _host(host: str, metadata: Sequence[Mapping[bytes, bytes]]) -> str:
    """Redis before 7 sends no metadata."""
    return metadata[0].get(b"ip", b"").decode() if host == _NO_HOSTNAME and metadata else host


def whom_to_ask(nodes: Iterable[Node], slots: Slots | None) -> list[Node]:
    """All that are known, each time another one first: none has all the questions, nor does a silent one stay first."""
    known = list(set(nodes) | (slots.nodes if slots else set()))
    random.shuffle(known)
    return known


def node_meant(slots: Slots | None, redirection: redis.exceptions.AskError, asked: Node) -> Node:
    """Return whom a node has named; the next commands find it by themselves if the slot is there for good.

    Raises the redirection itself where the node has no name. The topology has its address.
    """
    if redirection.host == _NO_HOSTNAME:
        raise redirection
    node = (redirection.host or asked[0], redirection.port)
    if slots is not None and is_for_good(redirection):
        slots.move(redirection.slot_id, node)
    return node


def is_for_good(redirection: redis.exceptions.AskError) -> bool:
    """Else the slot is still being moved to the node named, which must be told that we know: ``ASKING``."""
    return isinstance(redirection, redis.exceptions.MovedError)


def places_by_node(nodes: Sequence[Node]) -> Mapping[Node, Sequence[int]]:
    places = defaultdict(list)
    for place, node in enumerate(nodes):
        places[node].append(place)
    return places
