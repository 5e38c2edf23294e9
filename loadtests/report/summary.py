"""The section of loadtests/RESULTS.md that belongs to these tests: between two markers, and nothing outside them."""

from pathlib import Path
from typing import Any

from loadtests.report import tables
from loadtests.report.requirements import lines
from loadtests.report.text import conditions, markdown_table

BEGIN, END = "<!-- load: begin -->", "<!-- load: end -->"
HEAD = "# Results\n"
TITLE = "## Evidence at load (three worlds)"


def section(results: dict[str, Any]) -> str:
    shown = [tables.requirements(lines(results)), tables.paired(results), *tables.phases(results)]
    shown += [tables.helper(results), tables.scale_measured(results), tables.scale_example(results)]
    parts = [TITLE, "", *(f"- {text}" for text in conditions(results)), *_failures(results), ""]
    parts += ["![Staleness of the three worlds, and loads around a bulk change](picture.png)", ""]
    for table in shown:
        parts += [f"### {table.title}", "", table.note, "", *markdown_table(table), ""]
    return "\n".join(parts).rstrip() + "\n"


def _failures(results: dict[str, Any]) -> list[str]:
    return [f"- Failed: {text}" for text in results["failures"]]


def put(file: Path, text: str) -> None:
    """Write the section into the file: in the place of the last one, or at its end."""
    before = file.read_text(encoding="utf-8") if file.exists() else HEAD
    marked = f"{BEGIN}\n{text}{END}"
    if BEGIN in before and END in before:
        head, _, rest = before.partition(BEGIN)
        after = head + marked + rest.partition(END)[2]
    else:
        after = before.rstrip("\n") + f"\n\n{marked}\n"
    file.write_text(after, encoding="utf-8")
