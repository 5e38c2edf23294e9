"""Text of others in a terminal and in logs: what would act there, instead of being read, is no part of it."""

import unicodedata
from typing import Final

_ACTING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: controls, marks that hide or turn text round, lone surrogates, line and paragraph ends."""


def is_printable(text: str) -> bool:
    return not any(unicodedata.category(char) in _ACTING for char in text)


def escaped(text: str) -> str:
    """Return the text with ``\\x1b`` and the like for what is not printable."""
    return "".join(char if is_printable(char) else char.encode("unicode_escape").decode() for char in text)
