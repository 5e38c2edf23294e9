"""What a writer does that was refused: it stands back."""

from typing import Final

STAND_BACK_S: Final = 0.02
"""How long a refused writer leaves the stream to the other one of its kind, which was faster. Under load it is then
refused once in so many milliseconds, not at every entry; when the other one dies, nothing comes later than by this."""
