"""Popularity: the n-th tracker is read with weight 1 / n^s. And what such reads leave in a cache that lives by TTL.

With Poisson reads of rate r and a TTL of T, a value is loaded by a read and lives T: it is there r T / (1 + r T) of
the time, and a read misses with probability 1 / (1 + r T). So a cache can be put into its steady state at once.
"""

import bisect
import itertools
import random
from collections.abc import Iterator

EXPONENT = 0.99


class Zipf:
    """Ranks 1 to `count`; rank n is also the id of the n-th most popular tracker."""

    def __init__(self, count: int, exponent: float = EXPONENT) -> None:
        self._cumulative = list(itertools.accumulate(rank**-exponent for rank in range(1, count + 1)))
        self.count = count
        self.exponent = exponent

    def pick(self, chance: random.Random) -> int:
        point = chance.random() * self._cumulative[-1]
        return min(bisect.bisect_right(self._cumulative, point) + 1, self.count)

    def share(self, rank: int) -> float:
        """Share of all reads that go to this rank."""
        return float(rank**-self.exponent / self._cumulative[-1])

    def occupancy(self, rank: int, reads_per_ttl: float) -> float:
        """Share of the time in which a TTL cache holds the rank, when so many reads come in one TTL."""
        expected = self.share(rank) * reads_per_ttl
        return expected / (1 + expected)

    def hit_rate(self, reads_per_ttl: float) -> float:
        """Share of reads that a TTL cache answers: the best that any cache of that TTL can do."""
        return sum(self.share(rank) * self.occupancy(rank, reads_per_ttl) for rank in range(1, self.count + 1))

    def residents(self, reads_per_ttl: float, chance: random.Random) -> Iterator[tuple[int, float]]:
        """Yield (rank, share of the TTL that is left) of what such a cache holds at a random moment."""
        for rank in range(1, self.count + 1):
            if chance.random() < self.occupancy(rank, reads_per_ttl):
                yield rank, 1.0 - chance.random()
