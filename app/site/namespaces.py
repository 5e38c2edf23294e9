"""How many changed keys each namespace has: what a bump of it is sure to age out, and more.

Counted in a thread and kept for 5 s: an index may hold a million keys, and requests must not make it slow.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final

from app.knowledge import Knowledge
from app.site.models import NamespaceCount
from versioning.keys import namespace_of

KEPT_MS: Final = 5_000
NAMESPACES_MAX: Final = 1_000


class Namespaces:
    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._counted: list[NamespaceCount] = []
        self._counted_ms: int | None = None
        self._one_at_a_time = asyncio.Lock()

    async def counts(self) -> list[NamespaceCount]:
        """Return the largest first."""
        async with self._one_at_a_time:
            now_ms = self._knowledge.clock().monotonic_ms
            if self._counted_ms is None or now_ms - self._counted_ms > KEPT_MS:
                # The copy is one step of the interpreter, the count is not.
                self._counted = await asyncio.to_thread(_count, list(self._knowledge.index.keys))
                self._counted_ms = now_ms
            return self._counted


def _count(keys: Sequence[str]) -> list[NamespaceCount]:
    found = Counter(map(namespace_of, keys))
    return [NamespaceCount(namespace=name, keys=count) for name, count in found.most_common(NAMESPACES_MAX)]
