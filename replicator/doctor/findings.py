"""A finding: one line of the report. ``fix`` is what to type or to write, exactly."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    ERROR = "error"
    """Stamps are lost, wrong or never come."""
    WARNING = "warning"
    """It works, and costs more or heals later than it should."""


@dataclass(frozen=True, slots=True)
class Finding:
    severity: Severity
    subject: str
    """Which server, table or setting."""
    check: str
    """Name of the check, stable for scripts."""
    what: str
    fix: str


Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Subject:
    """Spares every check from repeating what it speaks of."""

    name: str

    def error(self, check: str, what: str, fix: str) -> Finding:
        return Finding(Severity.ERROR, self.name, check, what, fix)

    def warning(self, check: str, what: str, fix: str) -> Finding:
        return Finding(Severity.WARNING, self.name, check, what, fix)


def count(findings: Iterable[Finding], severity: Severity) -> int:
    return sum(1 for finding in findings if finding.severity is severity)
