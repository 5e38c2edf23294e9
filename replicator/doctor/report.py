"""The doctor's report: one line a finding, aligned, coloured on a terminal only; or one JSON object."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import typer

from replicator.doctor.findings import Finding, Severity, count

COLOURS: Final = {Severity.ERROR: typer.colors.RED, Severity.WARNING: typer.colors.YELLOW}


def lines(findings: Sequence[Finding]) -> list[str]:
    """Return styled lines; whoever prints them takes the style off where there is no terminal."""
    width = max((len(finding.subject) for finding in findings), default=0)
    return [
        f"{typer.style(f'{finding.severity.value:<7}', fg=COLOURS[finding.severity])}  "
        f"{finding.subject:<{width}}  {_one_line(finding.what)}  fix: {_one_line(finding.fix)}"
        for finding in findings
    ]


def summary(findings: Sequence[Finding], asked: Sequence[str]) -> str:
    errors, warnings = count(findings, Severity.ERROR), count(findings, Severity.WARNING)
    verdict = f"{errors} errors, {warnings} warnings" if findings else "ok"
    return f"{verdict}: checked {', '.join(asked) or 'nothing'}"


def as_json(findings: Sequence[Finding], asked: Sequence[str]) -> dict[str, Any]:
    return {
        "errors": count(findings, Severity.ERROR),
        "warnings": count(findings, Severity.WARNING),
        "asked": list(asked),
        "findings": [asdict(finding) for finding in findings],
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())
