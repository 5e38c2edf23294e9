"""The matrix as a Markdown table, and as JSON."""

from collections.abc import Sequence
from typing import Any

from deploy.simulation.chaos.faults import NOT_COVERED
from deploy.simulation.chaos.results import CellResult

COLUMNS = (
    "component",
    "fault",
    "load",
    "fault s",
    "stale s: certain",
    "worst",
    "with replica lag",
    "errors",
    "p99 ms",
    "loads",
    "of at most",
    "detected s",
    "recovered s",
    "converged s",
    "commits",
    "lost",
    "duplicate",
    "verdict",
)


def as_json(results: Sequence[CellResult], run: dict[str, Any]) -> dict[str, Any]:
    return {
        **run,
        "violated": sum(bool(result.violations) for result in results),
        "cells": [r.as_json() for r in results],
    }


def as_markdown(results: Sequence[CellResult], run: dict[str, Any]) -> str:
    violated, reads = sum(bool(result.violations) for result in results), sum(result.reads for result in results)
    summary = f"{len(results)} cells, {violated} with a violated invariant, {reads} checked reads."
    lines = [
        f"`{run['command']}`, {run['date']}",
        "",
        f"{summary} Promise at this scale: {run['promise_s']:g} s.",
        "",
        _row(COLUMNS),
        _row("---" for _ in COLUMNS),
        *(_row(_cells(result)) for result in results),
        "",
        "Not covered:",
        *(f"- {line}" for line in NOT_COVERED),
    ]
    return "\n".join([*lines, ""])


def _cells(result: CellResult) -> list[str]:
    cell, stamps = result.cell, result.stamps
    excused = f" (+{result.excused})" if result.excused else ""
    return [
        cell.component,
        cell.fault,
        cell.load,
        f"{result.fault_s:.0f}",
        f"{result.certain_s:.2f}",
        f"{result.worst_s:.2f}",
        f"{result.whole_s:.2f}",
        f"{result.errors}{excused}",
        f"{result.p99_ms:g}",
        str(result.loads),
        f"{result.loads_max:.0f}",
        _seconds(result.detected_s),
        _seconds(result.recovered_s),
        _seconds(result.converged_s),
        str(stamps.commits),
        f"{stamps.lost}" + (f" (+{stamps.by_gap} by gap)" if stamps.by_gap else ""),
        str(stamps.duplicates),
        "; ".join(result.violations) or "kept",
    ]


def _seconds(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s:.1f}"


def _row(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"
