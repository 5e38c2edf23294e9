"""Files that settings name: what is wrong with one names its key, before a role needs it and when it does."""

import json
from pathlib import Path

import pytest

from deploy.simulation.certificates import Authority
from replicator.settings import MirrorSection, SourceSection
from versioning.cli import program
from versioning.cli.files import unreadable_in
from versioning.cli.settings import Settings
from versioning.errors import ConfigError

TEXT = """
[stream]
url = "redis://127.0.0.1:1/0"
[source]
name = "a"
[source.mysql]
url = "mysql://u@127.0.0.1:1"
[mirror]
origin_url = "rediss://127.0.0.1:2/0"
[[mirror.gate]]
name = "b1"
url = "mysql://u@127.0.0.1:1"
[serve]
audit_log = "/nope/yet-to-be-written"
"""

KEYS = [
    ("[stream]", "password_file", "stream.password_file"),
    ("[source.mysql]", "password_file", "source.mysql.password_file"),
    ("[source.mysql]", "ssl_ca", "source.mysql.ssl_ca"),
    ("[mirror]", "origin_password_file", "mirror.origin_password_file"),
    ("[mirror]", "origin_ssl_ca", "mirror.origin_ssl_ca"),
    ("[[mirror.gate]]", "password_file", "mirror.gate.b1.password_file"),
    ("[serve]", "token_file", "serve.token_file"),
    ("[serve]", "ssl_cert", "serve.ssl_cert"),
]
each_key = pytest.mark.parametrize(("section", "field", "key"), KEYS, ids=[key for *_, key in KEYS])


def write(folder: Path, section: str, field: str, path: object = "/nope") -> Path:
    file = folder / "stampline.toml"
    file.write_text(TEXT.replace(f"{section}\n", f'{section}\n{field} = "{path}"\n'))
    return file


def usable(folder: Path, field: str, authority: Authority) -> Path:
    if field.endswith("ssl_ca"):
        return authority.ca
    file = folder / "there"
    if field == "ssl_cert":
        issued = authority.issue("serve")
        file.write_text(issued.cert.read_text() + issued.key.read_text())
    else:
        file.write_text("hunter2-hunter2-h\n")
    return file


@each_key
def test_the_check_refuses_a_file_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], authority: Authority, section: str, field: str, key: str
) -> None:
    config = write(tmp_path, section, field)
    assert program.run(["config", "check", "--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith(f"stampline: {key}: cannot read /nope: No such file or directory (")
    there = write(tmp_path, section, field, usable(tmp_path, field, authority))
    assert program.run(["config", "check", "--config", str(there)]) == 0
    assert "hunter2" not in capsys.readouterr().out


REFUSED = [
    pytest.param('[serve]\ntoken = "short"', "a token of [serve] (line 0) has under 16 characters", id="short token"),
    pytest.param(
        '[stream]\nurl = "rediss://b"\nssl_ca = "stampline.toml"',
        "stream.url: stampline.toml holds no CA certificate",
        id="no certificate",
    ),
    pytest.param(
        '[serve]\nssl_cert = "stampline.toml"', "serve: stampline.toml and nothing more are no cert", id="no key"
    ),
    pytest.param(
        '[stream]\nurl = "redis://b"\n[mirror]\norigin_url = "redis://b:6379/0"',
        "[stream] and [mirror] name the same stream",
        id="a mirror of itself",
    ),
    pytest.param(
        '[stream]\nurl = "redis://b"\n[toc]\ndegraded_ttl_ms = 400_000\n[toc.mysql]\nurl = "mysql://u@b"',
        "degraded_ttl_ms",
        id="limits that break the promise",
    ),
    pytest.param('[stream]\nurl = "redis://b"\nwindow_s = true', "true and false are no numbers", id="no number"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_the_check_refuses_what_a_role_refuses_when_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stampline.toml").write_text(text)
    assert program.run(["config", "check", "--config", "stampline.toml"]) == 2
    assert message in capsys.readouterr().err


@each_key
def test_the_doctor_finds_a_file_that_cannot_be_read_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], section: str, field: str, key: str
) -> None:
    config = write(tmp_path, section, field)
    assert program.run(["doctor", "--json", "--config", str(config)]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    (found,) = [finding for finding in findings if finding["check"] == "file"]
    assert (found["severity"], found["subject"], found["fix"]) == (
        "error",
        f"setting {key}",
        "check the path and its owner",
    )
    servers = 4 if section == "[serve]" else 3
    assert len([finding for finding in findings if finding["check"] == "unreached"]) == servers


def test_a_secret_must_have_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    settings = Settings.load(write(tmp_path, "[source.mysql]", "password_file", tmp_path / "empty"))
    (problem,) = unreadable_in(settings.values)
    assert problem.message == f"source.mysql.password_file: {tmp_path}/empty is empty"


def test_a_role_that_needs_it_names_its_section(tmp_path: Path) -> None:
    settings = Settings.load(write(tmp_path, "[source.mysql]", "password_file"))
    with pytest.raises(ConfigError, match=r"^source\.mysql\.password_file: cannot read /nope"):
        settings.one(SourceSection).mysql.full_address("source.mysql")
    (gate,) = Settings.load(write(tmp_path, "[[mirror.gate]]", "ssl_ca")).one(MirrorSection).gate
    with pytest.raises(ConfigError, match=r"^mirror\.gate\.b1\.ssl_ca: cannot read /nope"):
        gate.full_address("mirror.gate.b1")
