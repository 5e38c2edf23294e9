"""``stampline demo``: hands over to the two-datacenter simulation, which lives in a checkout and is never installed."""

import os
import sys
from pathlib import Path
from typing import Any, Final

import typer

from versioning.errors import ConfigError

PASS_ON: Final[dict[str, Any]] = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def demo(context: typer.Context) -> None:
    """Two datacenters on this machine: MariaDB, Redis, a slow WAN, readers and writers (needs a checkout)."""
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / "deploy" / "simulation" / "__main__.py").is_file():
        raise ConfigError("the demo runs from a checkout, and this is an installed package", hint="run deploy/demo.sh")
    os.chdir(checkout)
    os.execv(sys.executable, [sys.executable, "-m", "deploy.simulation", "demo", *context.args])  # noqa: S606
