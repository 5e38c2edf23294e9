"""Length-encoded integers, as MySQL writes them everywhere."""

_WIDTHS = {252: 2, 253: 3, 254: 8}


def length(data: bytes, at: int) -> tuple[int, int]:
    """The integer, and where the next byte is. Raises IndexError and KeyError for what is none."""
    first = data[at]
    if first < 251:
        return first, at + 1
    end = at + 1 + _WIDTHS[first]
    return int.from_bytes(data[at + 1 : end], "little"), end
