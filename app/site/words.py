"""How the picture speaks: numbers and names as one says them."""

from collections.abc import Sequence


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def names(processes: Sequence[str]) -> str:
    return ", ".join(processes)


def ended(text: str) -> str:
    """Return the text with its full stop."""
    return text if not text or text[-1] in ".!?" else f"{text}."
