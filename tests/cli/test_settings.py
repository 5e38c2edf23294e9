"""Settings: one file, environment over it, flags over both; every mistake is one line that names key and file."""

import os
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.settings import ServeSection, TocSection
from replicator.settings import MirrorSection, SourceSection, TableSection, watched_tables
from versioning.backends.redis_connect import RedisAddress
from versioning.cli.files import read_secret
from versioning.cli.masked import MASK, mask_url, masked
from versioning.cli.sections import MySqlSection, StreamSection, ValuesSection
from versioning.cli.settings import Settings
from versioning.errors import ConfigError

STREAM = '[stream]\nurl = "redis://127.0.0.1:6379/0"\n'


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("STAMPLINE_CONFIG", raising=False)
    return tmp_path / "stampline.toml"


def refused(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Settings.load(file)
    message = str(caught.value)
    assert str(file) in message
    assert "\n" not in message
    return message


def test_environment_wins_over_the_file_and_flags_win_over_both(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(STREAM + '[serve]\nhost = "10.0.0.1"\nport = 1\n')
    monkeypatch.setenv("STAMPLINE_SERVE__PORT", "2")
    monkeypatch.setenv("STAMPLINE_STREAM__NAME", "other")
    assert Settings.load(file).one(ServeSection).port == 2
    settings = Settings.load(file, {"serve": {"port": 3, "host": None}})
    assert settings.one(ServeSection).port == 3
    assert settings.one(ServeSection).host == "10.0.0.1"
    assert settings.one(StreamSection).name == "other"


def test_environment_alone_is_enough(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAMPLINE_STREAM__URL", "redis://127.0.0.1:1/0")
    assert Settings.load(None).one(StreamSection).full_url() == "redis://127.0.0.1:1/0"


def test_the_file_may_be_named_by_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(STREAM)
    monkeypatch.setenv("STAMPLINE_CONFIG", str(file))
    assert Settings.load(None).file == file


def test_the_file_may_be_a_pipe(file: Path) -> None:
    out, into = os.pipe()
    os.write(into, b"[serve]\nread_only = true\n" + STREAM.encode())
    os.close(into)
    try:
        settings = Settings.load(Path(f"/dev/fd/{out}"))
    finally:
        os.close(out)
    assert settings.one(ServeSection).read_only
    assert settings.one(StreamSection).url


@pytest.mark.parametrize(
    ("template", "sql", "after_s", "said"),
    [
        (
            "a:{id}",
            "SELECT {nope}",
            "[1]",
            "audit.check.0: audit of a:{id}: its sql names {nope} (the template has id)",
        ),
        ("nothing", "SELECT 1", "[1]", "audit.check.0: key template 'nothing': it has no literal namespace"),
        ("a:{id}", "SELECT 1", "[1, nan]", "audit.after_s.1: "),
        ("a:{id}", "SELECT 1", "[-1]", "audit.after_s.0: "),
        ("a:{id}", "SELECT 1", "[inf]", "audit.after_s.0: "),
    ],
)
def test_an_audit_that_could_not_begin_is_refused_where_it_is_written(
    file: Path, template: str, sql: str, after_s: str, said: str
) -> None:
    check = f'[[audit.check]]\ntemplate = "{template}"\nsql = "{sql}"\n'
    text = f'[audit]\nafter_s = {after_s}\n[audit.mysql]\nurl = "mysql://u@h"\n{check}'
    assert f"{file}: {said}" in refused(file, text)


def test_an_unknown_key_is_named(file: Path) -> None:
    assert "unknown key stream.nmae" in refused(file, STREAM + 'nmae = "x"\n')


def test_an_unknown_section_is_named(file: Path) -> None:
    assert "unknown section surce" in refused(file, STREAM + '[surce]\nname = "x"\n')


@pytest.mark.parametrize(
    "text", ["[Serve]\nport = 1\n", "[serve]\nport = 1\n[Serve]\nport = 2\n"], ids=["alone", "twice"]
)
def test_a_section_spelled_in_other_letters_is_unknown_and_not_dropped(file: Path, text: str) -> None:
    assert "unknown section Serve" in refused(file, STREAM + text)


def test_a_mistake_in_the_section_of_another_role_shows_at_once(file: Path) -> None:
    assert "mirror.gate_limit_ms" in refused(
        file, STREAM + '[mirror]\norigin_url = "redis://a"\ngate_limit_ms = "soon"\n'
    )


@pytest.mark.parametrize("text", ["[stream\n", f"a = {'[' * 5_000}"], ids=["broken", "too deep"])
def test_a_file_that_is_not_toml_is_named(file: Path, text: str) -> None:
    refused(file, text)


def test_a_file_with_a_byte_order_mark_is_refused_for_that_and_not_for_its_first_line(file: Path) -> None:
    assert "byte order mark" in refused(file, f"\N{BOM}{STREAM}")


def test_an_absent_file_is_named(file: Path) -> None:
    with pytest.raises(ConfigError, match=str(file)):
        Settings.load(file)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STAMPLINE_STRAEM__URL", "STAMPLINE_STREAM__URL"),
        ("STAMPLINE_STREAM_URL", "STAMPLINE_STREAM__URL"),
        ("STAMPLINE_SERVE_PORT", "STAMPLINE_SERVE__PORT"),
        ("STAMPLINE_SOURCE_MYSQL_PASSWORD_FILE", "STAMPLINE_SOURCE__MYSQL__PASSWORD_FILE"),
        ("STAMPLINE_CONF", "STAMPLINE_CONFIG"),
        ("stampline_stream_url", "STAMPLINE_STREAM__URL"),
    ],
)
def test_an_environment_variable_that_is_no_setting_is_refused_with_the_nearest_one(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, "8700")
    with pytest.raises(ConfigError, match=rf"{name} is no setting \(did you mean {meant}\?\)"):
        Settings.load(None)


def test_an_environment_variable_like_no_other_is_refused_with_the_sections(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAMPLINE_X", "")
    with pytest.raises(ConfigError, match=r"STAMPLINE_X is no setting .known sections: audit, log, mirror"):
        Settings.load(None)


@pytest.mark.parametrize("name", ["STAMPLINE_STREAM__NMAE", "STAMPLINE_LOG__LEVEL__X", "STAMPLINE_LOG___LEVEL"])
def test_an_environment_variable_of_no_key_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file.write_text(STREAM)
    monkeypatch.setenv(name, "x")
    with pytest.raises(ConfigError, match=r"(stream|log)\b"):
        Settings.load(file)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("STAMPLINE_STREAM__WINDOW_S", "1e3", "stream.window_s: "),
        ("stampline_log__level", "INFO", "log.level: "),
        ("STAMPLINE_STREAM__NMAE", "x", "unknown key stream.nmae"),
        ("STAMPLINE_TABLE", "shop.a", "table: "),
        ("STAMPLINE_TABLE", '[{"name": "shop.a"}]', "key table.0.keys is missing"),
    ],
)
def test_a_mistake_of_the_environment_is_not_looked_for_in_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    file.write_text(STREAM)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.load(file)
    assert caught.value.message.startswith(f"environment: {name}: {said}")


def test_a_whole_section_may_come_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAMPLINE_TABLE", '[{"name": "shop.a", "keys": ["a:{id}"]}]')
    assert watched_tables(Settings.load(None).many(TableSection)).namespaces == {"a"}


@pytest.mark.parametrize("value", ["b1", '[{"name": "b1", "password": "secret"'])
def test_a_list_of_the_environment_that_is_no_json_is_refused_by_name_and_without_what_is_in_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("STAMPLINE_MIRROR__GATE", value)
    with pytest.raises(ConfigError, match=r"^environment: STAMPLINE_MIRROR__GATE is no JSON") as caught:
        Settings.load(None)
    assert "secret" not in str(caught.value)


KUBERNETES = {
    "SERVICE_HOST": "10.0.0.9",
    "SERVICE_PORT": "8700",
    "SERVICE_PORT_HTTP": "8700",
    "PORT": "tcp://10.0.0.9:8700",
    "PORT_8700_TCP": "tcp://10.0.0.9:8700",
    "PORT_8700_TCP_PROTO": "tcp",
    "PORT_8700_TCP_PORT": "8700",
    "PORT_8700_TCP_ADDR": "10.0.0.9",
}


@pytest.mark.parametrize("service", ["STAMPLINE", "STAMPLINE_SERVE", "STAMPLINE_B_SOURCE"])
def test_what_kubernetes_says_of_a_service_of_our_name_is_none_of_ours(
    file: Path, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    file.write_text(STREAM)
    for name, value in KUBERNETES.items():
        monkeypatch.setenv(f"{service}_{name}", value)
    assert Settings.load(file).one(ServeSection) == ServeSection()


@pytest.mark.parametrize("role", ["serve", "toc", "tob"])
def test_no_address_is_not_every_address(file: Path, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setenv(f"STAMPLINE_{role.upper()}__HOST", "")
    mysql = f'[{role}.mysql]\nurl = "mysql://u@h"\n' if role != "serve" else ""
    file.write_text(STREAM + mysql)
    with pytest.raises(ConfigError, match=rf"{role}\.host"):
        Settings.load(file)


def test_a_key_that_a_section_needs_is_missed_by_name(file: Path) -> None:
    assert "key source.name is missing" in refused(file, '[source]\n[source.mysql]\nurl = "mysql://a@b"\n')


def test_a_section_that_a_role_needs_is_missed_by_name(file: Path) -> None:
    file.write_text("[stream]\n".replace("[stream]", "[log]"))
    with pytest.raises(ConfigError, match=r"\[stream\] lacks url .*STAMPLINE_STREAM__URL"):
        Settings.load(file).one(StreamSection)


def test_a_section_without_needs_has_defaults(file: Path) -> None:
    file.write_text(STREAM)
    assert Settings.load(file).one(ServeSection) == ServeSection()


@pytest.mark.parametrize(
    "url", ["http://a", "redis://", "127.0.0.1:6379", "sentinel://a:26379"], ids=["scheme", "host", "bare", "service"]
)
def test_a_url_that_is_no_redis_is_refused(file: Path, url: str) -> None:
    assert "stream.url" in refused(file, f'[stream]\nurl = "{url}"\n')


PORTS = ["port", "99999", "0", "-1", "1 "]


@pytest.mark.parametrize("port", PORTS)
def test_a_url_with_a_port_that_is_none_is_refused_by_its_key(file: Path, port: str) -> None:
    server = f'[source]\nname = "a"\n[source.mysql]\nurl = "mysql://u@127.0.0.1:{port}/x"\n'
    assert "source.mysql.url: its port is no number from 1 to 65535" in refused(file, server)
    gate = f'[mirror]\norigin_url = "redis://a"\n[[mirror.gate]]\nname = "b"\nurl = "mysql://u@h:{port}"\n'
    assert "mirror.gate.0.url: its port" in refused(file, gate)
    assert "stream.url: the port in a Redis URL" in refused(file, f'[stream]\nurl = "redis://h:{port}/0"\n')
    origin = f'[mirror]\norigin_url = "sentinel://h:1,h:{port}/s"\n'
    assert "mirror.origin_url: the port in a Redis URL" in refused(file, origin)


@pytest.mark.parametrize("password", ["1/secret", "1?secret", "1#secret", "/secret"])
def test_an_unencoded_password_in_the_url_of_a_mysql_is_refused_and_not_repeated(file: Path, password: str) -> None:
    """Its server would be called ``u``, and what is behind its port was shown."""
    said = refused(file, f'[source]\nname = "a"\n[source.mysql]\nurl = "mysql://u:{password}@h/x"\nuser = "u"\n')
    assert "source.mysql.url: it has an @ behind its server (in a password write %2F for /" in said
    assert "secret" not in said


@pytest.mark.parametrize("port", ["-1", "65536", '"port"'])
def test_a_port_that_is_none_is_refused_by_its_key(file: Path, port: str) -> None:
    server = f'[source]\nname = "a"\n[source.mysql]\nhost = "h"\nuser = "u"\nport = {port}\n'
    assert "source.mysql.port: " in refused(file, server)


UNENCODED = [
    "://u:hunter2/x@h", "://u:1/hunter2@h", "://u:[hunter2@h", "://u:hunter2?x@h", "://u:1?hunter2@h", "://u:1#hunter2@h",
]  # fmt: skip


@pytest.mark.parametrize("url", UNENCODED)
def test_a_url_whose_password_is_not_encoded_is_refused_without_it(file: Path, url: str) -> None:
    for scheme in ("redis", "sentinel"):
        assert "hunter2" not in refused(file, f'[stream]\nurl = "{scheme}{url}"\n')
    assert "hunter2" not in refused(file, f'[[serve.component]]\nname = "a"\nrole = "source"\nurl = "http{url}"\n')
    assert "hunter2" not in refused(file, f'[source]\nname = "a"\n[source.mysql]\nurl = "mysql{url}"\n')


def test_secrets_come_from_files_without_their_line_end(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("p@ss:w/rd\n")
    file.write_text(
        f'[stream]\nurl = "redis://app@127.0.0.1:6379/0"\npassword_file = "{secret}"\n'
        f'[toc.mysql]\nurl = "mysql://toc@db:3307/shop"\npassword_file = "{secret}"\n'
    )
    settings = Settings.load(file)
    assert settings.one(StreamSection).full_url() == "redis://app:p%40ss%3Aw%2Frd@127.0.0.1:6379/0"
    address = settings.one(TocSection).mysql.full_address()
    assert (address.host, address.port, address.user, address.password) == ("db", 3307, "toc", "p@ss:w/rd")
    assert address.database == "shop"


@pytest.mark.parametrize("text", ["\N{BOM}p@ss\r\n", "\N{BOM}p@ss", "p@ss\r\n"])
def test_what_an_editor_puts_around_a_secret_is_no_part_of_it(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(text.encode())
    assert read_secret(secret, key="password_file") == "p@ss"


def test_a_secret_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.write_text('[values]\nurl = "redis://a"\npassword_file = "/nowhere/secret"\n')
    with pytest.raises(ConfigError, match=r"values\.password_file.*/nowhere/secret"):
        Settings.load(file).one(ValuesSection).full_url()


def test_a_mysql_section_must_name_server_and_user(file: Path) -> None:
    assert "names no server" in refused(file, '[source]\nname = "a"\n[source.mysql]\nuser = "x"\n')
    assert "names no user" in refused(file, '[source]\nname = "a"\n[source.mysql]\nhost = "x"\n')


def test_a_mysql_section_says_nothing_that_nobody_looks_at(file: Path) -> None:
    section = '[source]\nname = "a"\n[source.mysql]\nurl = "mysql://u:hunter2@h/x{}"\n'
    for behind in ("?ssl_ca=/nope", "#x"):
        message = refused(file, section.format(behind))
        assert "source.mysql.url: it has options behind its server" in message
        assert "hunter2" not in message
    both = section.format("") + 'password = "a"\npassword_file = "/b"\n'
    assert "source.mysql: password and password_file" in refused(file, both)


def test_no_service_vouches_for_longer_than_is_promised(file: Path) -> None:
    assert "serve.max_lag_ms" in refused(file, "[serve]\nmax_lag_ms = 300000\n")


def test_tables_and_gates_are_lists(file: Path) -> None:
    file.write_text(
        '[mirror]\norigin_url = "redis://a"\n'
        '[[mirror.gate]]\nname = "b1"\nurl = "mysql://g@b1"\n[[mirror.gate]]\nname = "b2"\nurl = "mysql://g@b2:3307"\n'
        '[[table]]\nname = "shop.a"\nkeys = ["a:{id}"]\n[[table]]\nname = "shop.b"\nkeys = ["b:{id}"]\n'
    )
    settings = Settings.load(file)
    assert [gate.full_address().port for gate in settings.one(MirrorSection).gate] == [3306, 3307]
    assert watched_tables(settings.many(TableSection)).namespaces == {"a", "b"}


def test_two_gates_of_one_name_are_refused(file: Path) -> None:
    gate = '[[mirror.gate]]\nname = "b1"\nurl = "mysql://g@b1"\n'
    assert "mirror.gate: two of them are named b1" in refused(file, f'[mirror]\norigin_url = "redis://a"\n{gate}{gate}')


def test_a_table_configured_twice_shows_in_the_check(file: Path) -> None:
    table = '[[table]]\nname = "s.t"\nkeys = ["t:{id}"]\n'
    file.write_text(STREAM + table + table)
    with pytest.raises(ConfigError, match=r"table s\.t is configured twice"):
        Settings.load(file).check()


@pytest.mark.parametrize(
    "table", ['name = "shop"\nkeys = ["a:{id}"]', 'name = "s.t"\nkeys = ["{id}"]', 'name = "s.t"\nkeys = []'], ids=str
)
def test_a_table_that_makes_no_keys_is_refused(file: Path, table: str) -> None:
    assert "table.0" in refused(file, f"[[table]]\n{table}\n")


def test_what_is_printed_is_masked(file: Path) -> None:
    file.write_text(
        '[stream]\nurl = "redis://u:hunter2@a:6379/0"\n[serve]\ntoken = "hunter2-hunter2-h"\n'
        '[source]\nname = "a"\n[source.mysql]\nurl = "mysql://u:hunter2@a"\npassword = "hunter2"\n'
    )
    settings = Settings.load(file)
    shown = str(masked(settings.values))
    assert "hunter2" not in shown
    assert f"redis://u:{MASK}@a:6379/0" in shown
    assert "hunter2" not in repr(settings.values)
    assert settings.one(SourceSection).mysql.full_address().password == "hunter2"


def test_the_example_file_is_valid() -> None:
    example = Path(__file__).parents[2] / "deploy" / "stampline.example.toml"
    settings = Settings.load(example)
    assert settings.one(MirrorSection).gate[0].name == "replica-b1"


def test_a_password_in_the_query_of_a_url_is_masked_too() -> None:
    shown = mask_url("sentinel://me:hunter2@h:1/s?sentinel_password=hunter2&db=1")
    assert shown == f"sentinel://me:{MASK}@h:1/s?sentinel_password={MASK}&db=1"


SCHEMES = ("mysql", "mariadb", "redis", "rediss", "sentinel", "sentinels", "cluster", "clusters")
SAID_AS_IT_IS = st.characters(max_codepoint=0x24F, exclude_characters="/?#", exclude_categories=["Cc"])


@given(st.sampled_from(SCHEMES), st.text(SAID_AS_IT_IS, min_size=1))
@example("mysql", "p@ss")
@example("redis", "two words: a@b:c@")
@example("sentinels", "p%40ss%2F")
def test_no_part_of_a_password_is_shown(scheme: str, password: str) -> None:
    tail = "127.0.0.1:1,[::1]:2/x?sentinel_password=p ss&client_name=a@b"
    shown = mask_url(f"{scheme}://u@corp:{password}@{tail}")
    assert shown == f"{scheme}://u@corp:{MASK}@127.0.0.1:1,[::1]:2/x?sentinel_password={MASK}&client_name=a@b"


@given(st.sampled_from(SCHEMES), st.text(SAID_AS_IT_IS.filter(lambda char: char not in "[]"), min_size=1))
def test_what_is_masked_is_what_logs_in(scheme: str, password: str) -> None:
    url = f"{scheme}://u:{password}@127.0.0.1/0"
    if scheme in {"mysql", "mariadb"}:
        assert MySqlSection(url=url).full_address().password == unquote(password)
    else:
        assert RedisAddress.parse(url).password == unquote(password)
    assert mask_url(url) == f"{scheme}://u:{MASK}@127.0.0.1/0"


@pytest.mark.parametrize("url", ["redis://h:6379/0?client_name=a@b", "mysql://u@h:3306/x", "redis://u@[::1]:1/0"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert mask_url(url) == url
