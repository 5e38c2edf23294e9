"""The phases of a run by name: as they are performed, kept in the results and shown in the report."""

from enum import StrEnum

FAULT = "fault: "
"""In front of a fault's name: each is a phase of its own."""


class PhaseName(StrEnum):
    HOT_KEY = "hot key"
    STEADY = "steady"
    RAPID = "500 updates/s"
    BURST = "burst of 1,000"
    TRUNCATE = "TRUNCATE and refill"
    BULK = "bulk"
    FILLING = "filling again"
    BUMP = "namespace bump"
    PAIRED = "paired"
    GATE = "locust"
