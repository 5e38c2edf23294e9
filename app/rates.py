"""How many bumps a minute: a bucket per token, and one for all. Full at first; what is taken comes back evenly."""

import math
from typing import Final

MINUTE_MS: Final = 60_000


class Bucket:
    """Holds up to ``per_min``. Times are monotonic ms."""

    def __init__(self, per_min: int, now_ms: int) -> None:
        self._per_min = per_min
        self._held = float(per_min)
        self._seen_ms = now_ms

    def wait_ms(self, now_ms: int) -> int:
        """Return how long until one can be taken; 0: now."""
        passed_ms = max(now_ms - self._seen_ms, 0)
        self._held = min(self._held + passed_ms * self._per_min / MINUTE_MS, self._per_min)
        self._seen_ms = max(now_ms, self._seen_ms)
        return 0 if self._held >= 1 else math.ceil((1 - self._held) * MINUTE_MS / self._per_min)

    def take(self) -> None:
        """After ``wait_ms`` said 0."""
        self._held -= 1


class Rates:
    """Buckets by owner's name, and one for all: either may say wait, and only what both allow is taken."""

    def __init__(self, per_min: int, total_per_min: int) -> None:
        self._per_min = per_min
        self._total_per_min = total_per_min
        self._total: Bucket | None = None
        self._owners: dict[str, Bucket] = {}

    def take(self, owner: str, now_ms: int) -> int:
        """Take one and return 0, or return how long to wait. Owners are as many as there are tokens."""
        if self._total is None:
            self._total = Bucket(self._total_per_min, now_ms)
        bucket = self._owners.get(owner) or self._owners.setdefault(owner, Bucket(self._per_min, now_ms))
        wait_ms = max(bucket.wait_ms(now_ms), self._total.wait_ms(now_ms))
        if not wait_ms:
            bucket.take()
            self._total.take()
        return wait_ms
