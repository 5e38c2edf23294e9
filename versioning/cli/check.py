"""``stampline config check``: is the file right, and what comes out of file, environment and flags together."""

import json
from typing import Annotated

import typer

from versioning.cli.help import epilog_of, explained
from versioning.cli.masked import masked
from versioning.cli.options import ConfigOption
from versioning.cli.settings import Settings

commands = typer.Typer(help="Settings: one TOML file, STAMPLINE_... over it.", no_args_is_help=True)
commands.callback()(lambda: None)


@explained(
    "stampline config check --config stampline.toml",
    "STAMPLINE_STREAM__URL=redis://b:6379/0 stampline config check --json",
    exits={0: "the settings are valid"},
)
def check(
    *,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON, secrets masked.")] = False,
) -> None:
    """Validate the settings and the files they name as the roles do when they start, and print them, masked."""
    settings = Settings.load(config)
    settings.check()
    sections = {name: value for name, value in masked(settings.values).items() if value is not None}
    if as_json:
        typer.echo(json.dumps(sections))
        return
    for name, value in sections.items():
        typer.echo(f"{name} = {json.dumps(value)}")
    typer.echo(f"ok: {settings.file or 'no file; environment only'}")


commands.command("check", epilog=epilog_of(check))(check)
