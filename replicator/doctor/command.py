"""``stampline doctor``: exit 1 on an error, 0 with warnings, 2 on bad settings."""

import json
from typing import Annotated, Final

import typer

from replicator.doctor.ask import ask
from replicator.doctor.findings import Severity, count
from replicator.doctor.report import as_json as report_object
from replicator.doctor.report import lines, summary
from replicator.doctor.site import Site, judge
from versioning.cli.help import explained
from versioning.cli.options import ConfigOption
from versioning.cli.settings import Settings

OUTAGE_H: Final = 24.0
"""Somebody notices, and mends it, within a day."""

OUTAGE_H_MAX: Final = 365 * 24.0
"""More is a mistake, and infinity is no number of seconds."""


@explained(
    "stampline doctor --config stampline.toml",
    "stampline doctor --config stampline.toml --json | jq '.findings[] | select(.severity == \"error\")'",
    exits={0: "no error found; there may be warnings", 1: "an error was found"},
)
def doctor(
    *,
    config: ConfigOption = None,
    outage_h: Annotated[
        float,
        typer.Option(
            "--outage-h", metavar="HOURS", min=0, max=OUTAGE_H_MAX, help="Longest outage that binlogs must outlive."
        ),
    ] = OUTAGE_H,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")] = False,
) -> None:
    """Check every server the settings name; each finding names the statement that mends it. Changes nothing."""
    site = ask(Settings.load(config), outage_s=int(outage_h * 3600))
    findings, asked = judge(site), subjects(site)
    if as_json:
        typer.echo(json.dumps(report_object(findings, asked)))
    else:
        for line in (*lines(findings), summary(findings, asked)):
            typer.echo(line)
    if count(findings, Severity.ERROR):
        raise typer.Exit(1)


def subjects(site: Site) -> list[str]:
    """Every server that answered."""
    servers = ([site.source] if site.source else []) + list(site.gates)
    return [
        *(facts.subject.name for facts in servers),
        *(load.facts.subject.name for load in site.loads if load.facts is not None),
        *(stream.subject.name for stream in site.streams),
        *(f"values {facts.address}" for facts in site.values),
    ]
