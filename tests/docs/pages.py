"""The project's pages as data: tables, headings and links."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    folders = (ROOT, ROOT / "deploy", ROOT / "versioning", ROOT / "loadtests", ROOT / "tests" / "simulation")
    return sorted(page for folder in folders for page in folder.glob("*.md"))


def rows(page: Path, section: str = "") -> Iterator[list[str]]:
    """Cells of every table row that begins with code, in the whole page or under one heading."""
    for line in _section(page, section).splitlines():
        if line.startswith("| `"):
            # A pipe inside a cell is escaped.
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code(cell: str) -> str:
    """The first piece of code in a cell."""
    found = re.match(r"`([^`]*)`", cell)
    return found[1] if found else ""


def _section(page: Path, heading: str) -> str:
    text = page.read_text()
    if not heading:
        return text
    level = len(heading) - len(heading.lstrip("#"))
    start = text.index(f"\n{heading}\n")
    end = re.search(rf"^#{{1,{level}}} ", text[start + len(heading) + 2 :], re.MULTILINE)
    return text[start:] if end is None else text[start : start + len(heading) + 2 + end.start()]


def links(page: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """As GitHub and its like make them of headings."""
    heads = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
