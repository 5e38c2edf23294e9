"""Every ``--help`` ends with examples that are right and with its exit codes; shells complete commands and options."""

import re

import pytest

from versioning.cli import program

COMMANDS = [["status"], ["tail"], ["bump"], ["doctor"], ["audit"], ["config", "check"], ["source"], ["mirror"]]
COMMANDS += [["serve"], ["toc"], ["tob"]]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert program.run(arguments) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_examples_of_options_that_exist_and_exit_codes(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, *command, "--help")
    options, _, end = text.partition("Examples:\n")
    examples, _, codes = end.partition("Exit codes:\n")
    assert f"stampline {' '.join(command)}" in examples
    used = set(re.findall(r"(?<=\s)-[-\w]+", "\n".join(part.partition("#")[0] for part in examples.splitlines())))
    known = set(re.findall(r"(?<![\w-])--?[a-z][-\w]*", options)) | {"-r", "-HUP"}  # of jq, of kill
    assert used <= known, used - known
    assert [line.split()[0] for line in codes.splitlines()] == ["0", "1", "2"]


def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> set[str]:
    monkeypatch.setenv("_STAMPLINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    return set(shown(capsys).split())


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("stampline s", {"source", "status", "serve"}),
        ("stampline tail --na", {"--namespace"}),
        ("stampline source --met", {"--metrics-port", "--metrics-host"}),
        ("stampline config c", {"check"}),
    ],
)
def test_a_shell_completes_commands_and_their_options(
    line: str, found: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(monkeypatch, capsys, line) == found
