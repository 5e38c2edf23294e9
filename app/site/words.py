"""How the picture speaks: durations, numbers and names as one says them."""

from collections.abc import Sequence


def spoken(ms: int | None) -> str:
    """Return a duration as one would say it: "0.4 s", "12 s", "3 min"."""
    if ms is None:
        return "an unknown time"
    if ms < 10_000 and ms % 1000:
        return f"{ms / 1000:.1f} s"
    if ms < 300_000:
        return f"{ms // 1000} s"
    return f"{ms // 60_000} min" if ms < 7_200_000 else f"{ms // 3_600_000} h"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def names(processes: Sequence[str]) -> str:
    return ", ".join(processes)


def ended(text: str) -> str:
    """Return the text with its full stop."""
    return text if not text or text[-1] in ".!?" else f"{text}."
