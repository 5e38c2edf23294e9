"""Durations as people write them on a command line: ``55``, ``55s``, ``500ms``, ``5m``, ``2h``."""

import re
from typing import Annotated, Final

import typer

_FORM: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration_s(text: str | float) -> float:
    """Return seconds; raises BadParameter, which the command line shows beside the option."""
    found = _FORM.fullmatch(str(text).strip())  # A default comes as the number it is.
    if found is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 55, 55s, 500ms, 5m or 2h")
    return float(found[1]) * _UNIT_S[found[2] or "s"]


ForOption = Annotated[
    float | None,
    typer.Option(
        "--for",
        metavar="DURATION",
        parser=parse_duration_s,
        help="End cleanly after this time (55, 55s, 5m): a run of a scheduled function.",
    ),
]
