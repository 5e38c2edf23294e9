"""Options that several commands share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings; default: the file STAMPLINE_CONFIG names.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]
