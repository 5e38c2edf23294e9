"""Commands in the pages are commands there are: name and flags."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from tests.docs.pages import ROOT, pages
from versioning.cli.program import build

BY_NAME = re.compile(r"pip install [^\n]*['\" ]stampline(?![\w.-])")
"""The name on PyPI is not ours."""

ALWAYS = {"--help", "-h"}
NO_COMMANDS = {"create", "deploy", "protocol"}
"""What follows the word `stampline` in code where it is the name of something else."""

# In code only: `stampline status`, a line of a block, the head of a file.
COMMAND = re.compile(r"(?:^ {4}.*?|^# .*?|`)\bstampline ((?:config )?[a-z]+)\b([^`|;\n]*)", re.MULTILINE)
FILES = [*pages(), ROOT / "deploy" / "stampline.example.toml", ROOT / "deploy" / "docker" / "Dockerfile"]


@pytest.fixture(scope="module")
def flags() -> dict[str, set[str]]:
    return dict(_flags(typer.main.get_command(build("")), ""))


def _flags(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    yield name, {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    for inner, child in getattr(command, "commands", {}).items():
        yield from _flags(child, f"{name} {inner}".strip())


@pytest.mark.parametrize("page", FILES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_with_their_flags(page, flags) -> None:
    for found in COMMAND.finditer(page.read_text()):
        name, rest = found.groups()
        if name in NO_COMMANDS:
            continue
        assert name in flags, found[0]
        used = {flag.partition("=")[0] for flag in re.findall(r"(?<=\s)--?[a-z][\w-]*", rest.partition("#")[0])}
        assert used <= flags[name] | ALWAYS, found[0]


@pytest.mark.parametrize("name", ["app", "deploy", "loadtests", "replicator", "versioning", ""])
def test_nothing_says_to_install_what_somebody_else_may_publish(name) -> None:
    files = (ROOT / name).rglob("*") if name else ROOT.glob("*")
    for path in (path for path in files if path.suffix in {".md", ".py", ".sh", ".toml", ".yml"}):
        assert not BY_NAME.search(path.read_text()), path
