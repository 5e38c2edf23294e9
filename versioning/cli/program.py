"""The program ``stampline``: its own commands and those other packages register, under one set of exit codes.

0 done, 1 failed, 2 bad use or config. An expected failure is one line on stderr that names the fix, never a traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer

from versioning.backends.base import AuthenticationError, DigestRefusedError
from versioning.cli import bump, check, demo, status, tail
from versioning.errors import ConfigError, StamplineError

COMMANDS_GROUP: Final = "stampline.commands"
EXTRAS: Final = {"app": "service", "replicator": "replicator"}
"""Which extra brings what a package of ours imports."""

REFUSED: Final = (ConfigError, AuthenticationError, DigestRefusedError)
"""What only a person can mend: exit 2."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        build(arguments)(args=list(arguments), prog_name="stampline")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 1
    except StamplineError as error:
        return _fail(str(error), 2 if isinstance(error, REFUSED) else 1)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def build(arguments: Sequence[str]) -> typer.Typer:
    """Build the program with as little imported as ``arguments`` need: ``stampline tail`` must not wait for FastAPI."""
    program = typer.Typer(
        name="stampline",
        help="Caches consistent across datacenters, without deleting anything.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # A callback keeps it a program of commands whatever their number.
    program.callback()(lambda: None)
    program.command("status")(status.status)
    program.command("tail")(tail.tail)
    program.command("bump")(bump.bump)
    program.command("demo", context_settings=demo.PASS_ON)(demo.demo)
    program.add_typer(check.commands, name="config")
    wanted = arguments[0] if arguments else ""
    registered = {point.name: point for point in entry_points(group=COMMANDS_GROUP)}
    own = {"status", "tail", "bump", "demo", "config"}
    for name, point in sorted(registered.items()):
        if name == wanted or wanted not in own | registered.keys():
            program.command(name)(_load(point))
    return program


def _load(point: EntryPoint) -> Callable[..., Any]:
    try:
        command: Callable[..., Any] = point.load()
    except ModuleNotFoundError as error:
        package = point.module.partition(".")[0]
        if (error.name or "").partition(".")[0] in {"app", "replicator", "versioning"}:
            raise
        return _missing(point.name, EXTRAS.get(package, "all"), error.name or "a package")
    return command


def _missing(name: str, extra: str, package: str) -> Callable[[], None]:
    def refuse() -> None:
        raise ConfigError(f"stampline {name} needs {package}", hint=f"pip install 'stampline[{extra}]'")

    refuse.__doc__ = f"(not installed: needs stampline[{extra}])"
    return refuse


def _fail(message: str, code: int) -> int:
    sys.stderr.write("stampline: " + " ".join(message.split()) + "\n")
    return code
