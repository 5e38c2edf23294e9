"""Which node of a Cluster serves which slot, as one of them said."""

from collections.abc import Sequence
from typing import Any, Final

import redis.exceptions
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from versioning.backends.redis_scripts import packed

Node = tuple[str, int]
"""Host and port."""

CLUSTER_SLOTS: Final = packed("CLUSTER", "SLOTS")
ASKING: Final = packed("ASKING")
"""In front of a command whose slot is still being moved to the node asked."""

LEARN_AGAIN_S: Final = 1.0
"""Least time between two looks at the topology: a node that fails takes longer to be replaced, and fails many reads."""


class Slots:
    """Threads may look while one of them moves a slot."""

    def __init__(self, reply: Sequence[Any], asked: Node) -> None:
        """Of a node's reply to CLUSTER SLOTS. Raises redis-py's ClusterDownError where it knows of none."""
        self._nodes: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in reply:
            self._nodes[first : last + 1] = [(host.decode() if host else asked[0], port)] * (last + 1 - first)
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
