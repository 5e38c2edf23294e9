"""Options that several commands share, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings; default: the file STAMPLINE_CONFIG names.")
]
UrlOption = Annotated[
    str, typer.Option(metavar="URL", help="Ask this version service; default: the stream of the settings.")
]
CaOption = Annotated[Path | None, typer.Option("--ssl-ca", metavar="FILE", help="Verify an https --url by this CA.")]
CertOption = Annotated[Path | None, typer.Option("--ssl-cert", metavar="FILE", help="Our certificate, where it asks.")]
KeyOption = Annotated[Path | None, typer.Option("--ssl-key", metavar="FILE", help="And its key.")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]
