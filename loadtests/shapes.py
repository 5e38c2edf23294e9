"""How a load grows and falls: the share of the peak at a moment of the run, None when the run is over."""

from collections.abc import Callable, Mapping
from typing import Final

SPIKE_BASE: Final = 0.25
SPIKE: Final = (0.4, 0.6)
"""The part of the run that is at the peak; the rest of it is at the base."""

SOAK: Final = 0.5
"""Half the peak, for as long as one likes: what leaks shows by time, not by rate."""


def ramp(progress: float) -> float:
    return progress


def plateau(_progress: float) -> float:
    return 1.0


def spike(progress: float) -> float:
    begin, end = SPIKE
    return 1.0 if begin <= progress < end else SPIKE_BASE


def soak(_progress: float) -> float:
    return SOAK


SHAPES: Final[Mapping[str, Callable[[float], float]]] = {"ramp": ramp, "plateau": plateau, "spike": spike, "soak": soak}


def users_at(shape: str, passed_s: float, seconds: float, peak: int) -> int | None:
    """Return how many users there are to be; at least one while the run lasts."""
    if passed_s >= seconds:
        return None
    return max(round(peak * SHAPES[shape](passed_s / seconds)), 1)
