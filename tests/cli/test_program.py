"""The program: exit codes, one line for what was expected to go wrong, and commands of packages that may be missing."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.main import get_command

import app.commands
import replicator.commands
from app.settings import ServeSection
from versioning.backends.base import Append, AuthenticationError, DigestRefusedError, UnavailableError
from versioning.backends.memory import MemoryStream
from versioning.cli import bump, entry, log, program, status
from versioning.client.installed import installed_version
from versioning.errors import StamplineError

ROOT = Path(__file__).parents[2]
FILE = '[stream]\nurl = "redis://127.0.0.1:1/0"\n'


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "stampline.toml"
    path.write_text(FILE)
    return str(path)


def the_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_help_lists_own_and_registered_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("status", "tail", "bump", "config", "demo", "serve", "source", "mirror"))


def test_it_says_its_version_and_so_does_every_role_that_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["--version"]) == 0
    assert capsys.readouterr().out == f"stampline {installed_version()}\n"
    with structlog.testing.capture_logs() as said:
        replicator.commands._announce("source")
        app.commands._announce(ServeSection())
    assert [line["version"] for line in said] == [installed_version()] * 2


def test_an_unknown_command_is_bad_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["frobnicate"]) == 2


def test_config_check_prints_what_holds(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["config", "check", "--config", config]) == 0
    assert "redis://127.0.0.1:1/0" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["--help"], ["serve"], ["tail"]], ids=" ".join)
@pytest.mark.parametrize("theirs", ["app.py", "app/__init__.py"])
def test_a_package_of_a_name_of_ours_is_named_where_python_finds_it_first(
    tmp_path: Path, theirs: str, command: list[str]
) -> None:
    (tmp_path / theirs).parent.mkdir(exist_ok=True)
    (tmp_path / theirs).touch()
    program = "from versioning.cli.entry import main; main()"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    line = [sys.executable, "-c", program, *command]
    done = subprocess.run(line, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    (told,) = done.stderr.splitlines()
    assert f"{tmp_path}/app" in told
    assert "PYTHONPATH" in told


def test_a_config_error_is_one_line_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("[strem]\n")
    assert program.run(["status", "--config", str(path)]) == 2
    assert f"{path}: unknown section strem" in the_line(capsys)


@pytest.mark.parametrize(
    ("stream", "origin"),
    [
        ('url = "redis://b.example:6379/0"', 'origin_url = "rediss://mirror:secret@b.example/?db=0"'),
        ('url = "sentinel://x,y/b"\nname = "origin"', 'origin_url = "sentinel://y,x/b"\norigin_name = "origin"'),
    ],
    ids=["redis", "sentinel"],
)
def test_a_mirror_of_its_own_stream_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stream: str, origin: str
) -> None:
    """It would copy its own copies, thousands a second, until Redis is full: one file for two roles is enough."""
    path = tmp_path / "stampline.toml"
    path.write_text(f"[stream]\n{stream}\n[mirror]\n{origin}\n")
    assert program.run(["mirror", "--config", str(path)]) == 2
    assert "[stream] and [mirror] name the same stream" in the_line(capsys)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnavailableError("Redis a:1 is not available"), 1),
        (AuthenticationError("Redis a:1 refused us"), 2),
        (DigestRefusedError("aa", "bb"), 2),
        (StamplineError("two\nlines"), 1),
    ],
    ids=["unavailable", "authentication", "digest", "many lines"],
)
def test_an_expected_failure_is_one_line(
    error: StamplineError, code: int, config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(status, "open_stream", fail)
    assert program.run(["status", "--config", config]) == code
    assert the_line(capsys).startswith("stampline: ")


def test_under_a_json_log_the_last_line_is_one_of_it(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        log.configure()
        raise UnavailableError("Redis a:1 is not available", hint="is it up?")

    monkeypatch.setattr(status, "open_stream", fail)
    assert program.run(["status", "--config", config]) == 1
    said = json.loads(the_line(capsys))
    assert {key: said[key] for key in ("event", "level", "error", "hint", "exit_code")} == {
        "event": "role_failed",
        "level": "error",
        "error": "Redis a:1 is not available",
        "hint": "is it up?",
        "exit_code": 1,
    }


def test_a_command_whose_packages_are_missing_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def without_fastapi(name: str, package: str | None = None) -> object:
        if name.startswith("app."):
            raise ModuleNotFoundError("No module named 'fastapi'", name="fastapi")
        return real(name, package)

    monkeypatch.setattr("importlib.metadata.import_module", without_fastapi)
    assert program.run(["serve"]) == 2
    assert "pip install '.[service]'" in the_line(capsys)


def test_a_library_install_is_told_what_the_command_line_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_typer(name: str) -> object:
        raise ModuleNotFoundError("No module named 'typer'", name="typer")

    monkeypatch.setattr(importlib, "import_module", without_typer)
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == 2
    assert "pip install '.[all]'" in the_line(capsys)


def test_ctrl_c_while_the_command_line_is_loaded_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib, "import_module", interrupted)
    with pytest.raises(SystemExit) as caught:
        entry.main()
    assert caught.value.code == 130


def test_a_bump_without_a_reason_is_bad_use(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["bump", "a:1", "--config", config]) == 2
    assert "reason" in the_line(capsys)


def test_a_bump_with_a_reason_of_several_lines_is_bad_use(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["bump", "a:1", "--reason", "one\ntwo", "--config", config]) == 2
    assert "line breaks" in the_line(capsys)


def test_a_bump_past_the_services_says_its_reason(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bump, "open_stream", lambda *_, **__: MemoryStream(lambda: 1))
    assert program.run(["bump", "a:1", "--reason", "mended by hand", "--config", config]) == 0
    assert "mended by hand" in the_line(capsys)


@pytest.mark.parametrize("is_unreached", [True, False], ids=["no answer", "refused"])
def test_a_bump_past_the_services_whose_answer_is_lost_says_what_may_have_happened(
    config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, is_unreached: bool
) -> None:
    class Lost(MemoryStream):
        async def append(self, _: Append) -> list[int]:
            raise UnavailableError("Redis a:1 is not available: no reply", is_unreached=is_unreached)

    monkeypatch.setattr(bump, "open_stream", lambda *_, **__: Lost(lambda: 1))
    assert program.run(["bump", "a:1", "--reason", "test", "--config", config]) == 1
    assert ("it may have bumped" in the_line(capsys)) == is_unreached


def test_a_bump_of_a_service_that_is_not_there_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["bump", "a:1", "--reason", "test", "--url", "http://127.0.0.1:1"]) == 1
    assert "127.0.0.1:1" in the_line(capsys)


def test_a_key_that_is_none_is_bad_use_of_an_audit(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.run(["audit", "--key", "nonsense", "--config", config]) == 2
    assert "namespace:rest" in the_line(capsys)


def test_no_option_takes_a_secret_since_everybody_sees_the_list_of_processes() -> None:
    commands: Any = get_command(program.build(""))
    options = {(name, text) for name, each in commands.commands.items() for one in each.params for text in one.opts}
    secret = {(name, text) for name, text in options if re.search("password|secret|token", text)}
    assert secret == {("bump", "--token-file")}
