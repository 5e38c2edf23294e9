"""An open workload: requests are due at moments that do not depend on how long the answers take.

A closed user waits for its answer before it asks again, so a slow server is asked less and its worst moments are hardly
measured (coordinated omission). Here a late answer delays nobody, and latency counts from the moment a request was due.
"""

import random


class Arrivals:
    """A Poisson process: many of them together are one again, of the sum of their rates."""

    def __init__(self, per_s: float, chance: random.Random, start_s: float) -> None:
        if per_s <= 0:
            raise ValueError(f"a rate of {per_s} arrivals per second: it must be above 0")
        self._per_s = per_s
        self._chance = chance
        self._due_s = start_s

    def next_s(self) -> float:
        """Return when the next request is due; a caller that is behind catches up, request by request."""
        self._due_s += self._chance.expovariate(self._per_s)
        return self._due_s
