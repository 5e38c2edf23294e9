"""Files of TLS in the settings: written into the URL, and every mistake is one line that names the section."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.settings import TocSection
from replicator.settings import GateSection, MirrorSection
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.tls import TlsFiles
from versioning.cli.sections import MySqlSection, StreamSection
from versioning.cli.settings import Settings
from versioning.errors import ConfigError


def load(folder: Path, text: str) -> Settings:
    file = folder / "stampline.toml"
    file.write_text(text)
    return Settings.load(file)


def test_the_files_of_a_redis_go_into_its_url_over_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss&word\n")
    text = f'[stream]\nurl = "rediss://me@h:1/2?ssl_ca=/old"\npassword_file = "{tmp_path}/password"\n'
    text += 'ssl_ca = "/absent/ca"\n'
    section = load(tmp_path, text).one(StreamSection)
    with pytest.raises(ConfigError, match=r"stream\.ssl_ca: cannot read /absent/ca: No such file"):
        section.full_url()
    section = section.model_copy(update={"ssl_ca": None, "url": "rediss://me@h:1/2"})
    address = RedisAddress.parse(section.full_url())
    assert (address.username, address.password, address.tls) == ("me", "p@ss&word", TlsFiles())


def test_the_way_to_the_origin_has_files_of_its_own(tmp_path: Path) -> None:
    text = '[mirror]\norigin_url = "rediss://h"\norigin_ssl_ca = "/absent/ca"\n'
    with pytest.raises(ConfigError, match=r"mirror\.origin_ssl_ca: cannot read /absent/ca"):
        load(tmp_path, text).one(MirrorSection).full_origin_url()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[stream]\nurl = "redis://h"\nssl_ca = "/a"\n', "stream: .*write rediss://"),
        ('[mirror]\norigin_url = "redis://h"\norigin_ssl_key = "/a"\n', "mirror: .*write rediss://"),
        ('[toc.mysql]\nurl = "mysql://u@h"\nssl_ca = "/a"\nssl_disabled = true\n', "toc.mysql: .*take one of them out"),
        ('[toc.mysql]\nurl = "mysql://u@h"\nssl_cert = "/a"\n', "toc.mysql: .*would not be verified"),
    ],
)
def test_files_that_would_not_be_used_refuse_the_start(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [MySqlSection, GateSection])
def test_a_missing_file_of_mysql_is_named(kind: type[MySqlSection]) -> None:
    section = kind.model_validate(
        {"name": "b1", "url": "mysql://u@h", "ssl_ca": "/absent/ca"}
        if kind is GateSection
        else {"url": "mysql://u@h", "ssl_ca": "/absent/ca"}
    )
    with pytest.raises(ConfigError, match=r"mirror\.gate\.b1\.ssl_ca: cannot read /absent/ca"):
        section.full_address("mirror.gate.b1")


def test_a_mysql_with_a_ca_is_verified_by_name_too(tmp_path: Path) -> None:
    section = load(tmp_path, '[toc.mysql]\nurl = "mysql://u@h"\n').one(TocSection)
    login = replace(section.mysql.full_address(), ssl_ca="/a").login()
    assert login == {
        "host": "h",
        "port": 3306,
        "user": "u",
        "password": b"",
        "ssl_ca": "/a",
        "ssl_verify_cert": True,
        "ssl_verify_identity": True,
    }
