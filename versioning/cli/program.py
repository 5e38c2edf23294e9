"""The program ``stampline``: its own commands and those other packages register, under one set of exit codes.

0 done, 1 failed, 2 bad use or config. An expected failure is one line on stderr that names the fix, never a traceback;
of a role whose log is JSON, a line of JSON.
"""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Final, TextIO

import typer

from versioning.backends.base import AuthenticationError, DigestRefusedError
from versioning.cli import bump, check, demo, points, status, tail
from versioning.cli.help import epilog_of
from versioning.client.installed import installed_version
from versioning.errors import ConfigError, StamplineError

COMMANDS_GROUP: Final = "stampline.commands"
EXTRAS: Final = {"app": "service", "replicator": "replicator"}
"""Which extra brings what a package of ours imports."""

REFUSED: Final = (ConfigError, AuthenticationError, DigestRefusedError)
"""What only a person can mend: exit 2."""

OWN: Final[Mapping[str, Callable[..., Any]]] = {
    "status": status.status,
    "tail": tail.tail,
    "bump": bump.bump,
    "demo": demo.demo,
}
OUTPUT_LOST: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
COMPLETING: Final = "_STAMPLINE_COMPLETE"


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    output = _open_output()
    try:
        build(_named(arguments))(args=list(arguments), prog_name="stampline")
    except SystemExit as done:
        if (sys.stdout, sys.stderr) != output:  # typer's way to say that whoever read our output went away (`| head`)
            sys.stdout, sys.stderr = output
            return 0
        return done.code if isinstance(done.code, int) else 1
    except StamplineError as error:
        return _refuse(error, 2 if isinstance(error, REFUSED) else 1)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in OUTPUT_LOST:
            raise
        return _fail(f"cannot write the output: {error.strerror}", 1)
    finally:
        _flush()
    return 0


def build(wanted: str) -> typer.Typer:
    """Build the program with as little imported as command ``wanted`` needs: ``tail`` must not wait for FastAPI.

    For a word that is no command all are imported, since the help lists them; while it is being completed, none.
    """
    program = typer.Typer(
        name="stampline",
        help="Caches consistent across datacenters, without deleting anything.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    # A callback keeps it a program of commands whatever their number.
    program.callback()(_options)
    for name, command in OWN.items():
        _add(program, name, command)
    program.add_typer(check.commands, name="config")
    registered = {point.name: point for point in entry_points(group=COMMANDS_GROUP)}
    is_known = wanted in OWN or wanted in registered or wanted in {"config", "--version"}
    for name, point in sorted(registered.items()):
        if name == wanted or not (is_known or COMPLETING in os.environ):
            _add(program, name, _load(point))
        elif COMPLETING in os.environ:
            program.command(name)(lambda: None)
    return program


def _print_version(*, is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"stampline {installed_version()}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print which stampline this is.")
    ] = False,
) -> None:
    del version


def _add(program: typer.Typer, name: str, command: Callable[..., Any]) -> None:
    settings = demo.PASS_ON if name == "demo" else {}
    program.command(name, epilog=epilog_of(command), context_settings=settings)(command)


def _named(arguments: Sequence[str]) -> str:
    """The command of this line, or of the line that a shell wants completed."""
    if COMPLETING in os.environ:
        line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
        arguments = line.split()[1:]
    return arguments[0] if arguments else ""


def _load(point: EntryPoint) -> Callable[..., Any]:
    try:
        command: Callable[..., Any] = points.load(point)
    except ModuleNotFoundError as error:
        package = point.module.partition(".")[0]
        if (error.name or "").partition(".")[0] in {"app", "replicator", "versioning"}:
            raise
        return _missing(point.name, EXTRAS.get(package, "all"), error.name or "a package")
    return command


def _missing(name: str, extra: str, package: str) -> Callable[[], None]:
    def refuse() -> None:
        raise ConfigError(f"stampline {name} needs {package}", hint=f"in a checkout: pip install '.[{extra}]'")

    refuse.__doc__ = f"(not installed: needs the extra [{extra}])"
    return refuse


def _flush() -> None:
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except OSError:
            _drop(output)


def _open_output() -> tuple[TextIO, TextIO]:
    """Python has no stream where the caller closed it (``>&-``), and much expects one."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the process's life
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr has it: a key may hold what the locale has not
    return sys.stdout, sys.stderr


def _drop(output: TextIO) -> None:
    """What is still buffered has nowhere to go, and must not be tried again at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)


def _refuse(error: StamplineError, code: int) -> int:
    """A role's last line goes where its other lines went, and in their form."""
    from versioning.cli import log  # noqa: PLC0415 - most commands log nothing, and are quicker without it

    if not log.is_json():
        return _fail(str(error), code)
    log.role_failed(error, code)
    return code


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError):  # the code says most of it
        sys.stderr.write("stampline: " + " ".join(message.split()) + "\n")
    return code
