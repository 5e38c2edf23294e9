"""R8 over a WAN: the same pipeline with 100 ms one way between the datacenters; the figures are what comes on top."""

from typing import Final

from loadtests.bench.r08_propagation import WAN_MS, benchmark

BENCHMARK: Final = benchmark(
    "r8-propagation-wan", f"commit in A to fresh in B, beyond the {WAN_MS:g} ms of the way itself", WAN_MS, 5.0, 25.0
)
