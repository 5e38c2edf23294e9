"""Files of TLS: what is wrong with them is one line before anything connects, and replaced ones count at once."""

import asyncio
import itertools
import os
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from deploy.simulation.certificates import DAYS, Authority, Certificate
from tests.eventually import until, until_async
from versioning.backends.redis_connect import RedisAddress
from versioning.backends.redis_stream import RedisStream
from versioning.backends.tls import Reloaded, TlsFiles, client_context, refusal_in, server_context
from versioning.backends.tls_dates import dates_between, dates_problem, own_dates
from versioning.cli.sections import url_with_tls
from versioning.client.async_cache import AsyncVersionedCache
from versioning.client.sync_cache import VersionedCache
from versioning.errors import ConfigError


@pytest.fixture(scope="module")
def issued(authority: Authority) -> Certificate:
    return authority.issue("one")


def files(certificate: Certificate) -> TlsFiles:
    return TlsFiles(str(certificate.ca), str(certificate.cert), str(certificate.key))


def refused(given: TlsFiles) -> str:
    with pytest.raises(ConfigError) as caught:
        given.check()
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.hint
    return message


def test_a_client_verifies_by_its_own_ca_alone(issued: Certificate) -> None:
    context = client_context(files(issued))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_server_asks_for_certificates_only_where_it_has_a_ca_for_them(issued: Certificate) -> None:
    assert server_context(files(issued)).verify_mode is ssl.CERT_REQUIRED
    assert server_context(TlsFiles(None, str(issued.cert), str(issued.key))).verify_mode is ssl.CERT_NONE


def test_files_that_cannot_be_used_are_named(authority: Authority, issued: Certificate, tmp_path: Path) -> None:
    ca, cert, key = str(issued.ca), str(issued.cert), str(issued.key)
    absent, empty = str(tmp_path / "absent.pem"), tmp_path / "empty.pem"
    empty.touch()
    assert f"cannot read {absent}: No such file" in refused(TlsFiles(absent))
    assert f"cannot read {tmp_path}" in refused(TlsFiles(str(tmp_path)))
    assert f"{empty} holds no CA certificate" in refused(TlsFiles(str(empty)))
    assert f"cannot read {absent}" in refused(TlsFiles(ca, cert, absent))
    assert f"cannot read {absent}" in refused(TlsFiles(ca, absent, key))
    assert "no certificate and key" in refused(TlsFiles(ca, cert))
    assert f"a key without its certificate: {key}" in refused(TlsFiles(ca, None, key))
    other = str(authority.issue("two").key)
    assert f"{other} is not the key of {cert}" in refused(TlsFiles(ca, cert, other))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read_is_named(issued: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    locked.touch(mode=0)
    assert f"cannot read {locked}: Permission denied" in refused(
        TlsFiles(str(issued.ca), str(issued.cert), str(locked))
    )


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(issued: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(issued.key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True, timeout=60)
    assert "needs a passphrase" in refused(TlsFiles(str(issued.ca), str(issued.cert), str(locked)))


def test_replaced_files_are_taken_up_once_they_belong_together(authority: Authority, tmp_path: Path) -> None:
    old, new = authority.issue("old"), authority.issue("new")
    used = Certificate(*(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")))
    used.replace_by(old)
    current = Reloaded(files(used))
    first = current.get()
    assert current.get() is first
    used.cert.write_bytes(new.cert.read_bytes())  # half of a rotation
    assert current.get() is first
    used.key.write_bytes(new.key.read_bytes())
    second = current.get()
    assert second is not first
    assert current.get() is second
    used.ca.unlink()
    assert current.get() is second


def test_files_that_we_are_let_read_only_after_they_were_replaced_are_taken_up_too(
    authority: Authority, tmp_path: Path
) -> None:
    used = Certificate(*(tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")))
    used.replace_by(authority.issue("old"))

    def build(given: TlsFiles) -> ssl.SSLContext:
        # As for who is not root.
        if not used.key.stat().st_mode & 0o400:
            raise ConfigError("cannot read it", hint="check the path and its owner")
        return client_context(given)

    current = Reloaded(files(used), build)
    first = current.get()
    new = authority.issue("new")
    replacing = tmp_path / "key.new"
    replacing.write_bytes(new.key.read_bytes())
    replacing.chmod(0)
    used.cert.write_bytes(new.cert.read_bytes())
    replacing.rename(used.key)
    assert current.get() is first
    used.key.chmod(0o400)
    assert current.get() is not first


def test_the_dates_of_our_own_certificate_are_judged_without_a_server(
    authority: Authority, issued: Certificate, tmp_path: Path
) -> None:
    expired = files(authority.issue("expired", days=-1))
    assert dates_problem(expired) == f"{expired.cert}: certificate has expired"
    assert not dates_problem(files(issued))
    assert not dates_problem(TlsFiles())
    assert not dates_problem(TlsFiles(cert=str(tmp_path / "absent")))


def test_when_our_own_certificate_ends_is_known(authority: Authority, issued: Certificate) -> None:
    dates = own_dates(files(issued))
    assert dates is not None
    assert 0 < dates.left_s <= dates.life_s == DAYS * 86_400
    assert own_dates(files(authority.issue("ended", days=-1))) is None
    assert own_dates(TlsFiles()) is None
    assert dates_between("", "in words of another library") is None


def test_only_refusals_are_refusals() -> None:
    def of(kind: type[ssl.SSLError], reason: str) -> Exception:
        found = kind(1, "text")
        found.reason = reason
        outer = ConnectionError("the driver's")
        outer.__context__ = found
        return outer

    assert refusal_in(of(ssl.SSLError, "TLSV13_ALERT_CERTIFICATE_REQUIRED")) == "tlsv13 alert certificate required"
    assert refusal_in(of(ssl.SSLError, "WRONG_VERSION_NUMBER"))
    assert not refusal_in(of(ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING"))
    assert not refusal_in(ConnectionResetError())


def test_a_url_names_the_files_and_arguments_go_over_it() -> None:
    address = RedisAddress.parse("rediss://h?ssl_ca=/a&ssl_cert=/b&ssl_keyfile=/c")
    assert address.tls == TlsFiles("/a", "/b", "/c")
    assert RedisAddress.parse("sentinels://h/s", tls=TlsFiles("/z")).tls == TlsFiles("/z")
    assert RedisAddress.parse("redis://h").tls is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("rediss://h?ssl_cert_reqs=none", TlsFiles(is_verified=False)),
        ("rediss://h?ssl_check_hostname=False", TlsFiles(is_name_checked=False)),
        ("rediss://h?ssl_cert_reqs=required", TlsFiles()),
    ],
)
def test_only_plain_words_switch_verification_off(url: str, expected: TlsFiles) -> None:
    assert RedisAddress.parse(url).tls == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://h?ssl_ca=/a", "write rediss://"),
        ("rediss://h?ssl_cert_reqs=nope", "cannot tell whether to verify"),
        ("redis://h?socket_timeuot=3", "unknown option 'socket_timeuot'"),
        ("rediss://:hunter2@h?ssl_ca=", "option 'ssl_ca' in a Redis URL has no value"),
        ("redis://:hunter2@h?db", "option 'db' in a Redis URL has no value"),
        ("redis://:hunter2@[::1/0", "cannot be read"),
        ("u:hunter2@h:6379/0", "lacks its scheme"),
        ("hunter2@h://", "lacks its scheme"),
        ("http://:hunter2@h", "unknown Redis URL scheme 'http'"),
        ("redis://h/twelve", "database"),
        ("redis://h:port", "port"),
        ("redis://:hunter2@h:1,h:2/0", "several servers"),
        ("cluster://:hunter2@h/1", "database 0 only"),
        ("clusters://:hunter2@h?db=1", "database 0 only"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        RedisAddress.parse(url)
    assert "hunter2" not in str(caught.value)


def test_a_plus_stands_for_itself_in_a_password_and_in_a_path() -> None:
    address = RedisAddress.parse("sentinels://u:a+b@h/s?sentinel_password=c+d%2Be")
    assert (address.password, dict(address.options)) == ("a+b", {"sentinel_password": "c+d+e"})
    written = url_with_tls("rediss://h?ssl_cert=/a+b", ssl_ca=Path("/c+d e"))
    assert RedisAddress.parse(written).tls == TlsFiles(ca="/c+d e", cert="/a+b")


@pytest.mark.parametrize("end", ["", "/", "/0", "?db=0"])
def test_a_cluster_has_one_database_and_may_say_so(end: str) -> None:
    assert RedisAddress.parse(f"cluster://h:1,h:2{end}").nodes == (("h", 1), ("h", 2))


@pytest.mark.parametrize("cache", [VersionedCache, AsyncVersionedCache])
def test_an_embedder_hears_of_a_missing_file_before_anything_connects(
    cache: type[VersionedCache] | type[AsyncVersionedCache],
) -> None:
    with pytest.raises(ConfigError, match=r"cannot read /absent/ca\.pem"):
        cache.from_url("rediss://127.0.0.1:1/0", ssl_ca="/absent/ca.pem")


@pytest.fixture
def ca_away(issued: Certificate, tmp_path: Path) -> Path:
    """A CA file that is there while a cache is made, and being replaced when it is first used."""
    return Path(shutil.copy(issued.ca, tmp_path / "ca.pem"))


@pytest.fixture
def again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("backend", "sync_cache"):
        monkeypatch.setattr(f"versioning.client.{module}.OPEN_AGAIN_S", 0.05)


@pytest.mark.usefixtures("again_soon")
def test_while_files_are_replaced_reads_are_answered_and_followed_later(ca_away: Path) -> None:
    cache = VersionedCache.from_url("rediss://127.0.0.1:1/0", ssl_ca=str(ca_away))
    there = ca_away.rename(ca_away.with_suffix(".new"))
    assert cache.get("t:1", lambda: "value") == "value"
    there.rename(ca_away)
    numbers = itertools.count()
    until(
        lambda: cache.get(f"t:{next(numbers)}", lambda: "value") and cache.info().reconnects, "the stream is asked for"
    )
    cache.close()


@pytest.mark.usefixtures("again_soon")
async def test_while_files_are_replaced_reads_are_answered_and_followed_later_under_asyncio(ca_away: Path) -> None:
    async def load() -> str:
        return "value"

    cache = AsyncVersionedCache.from_url("rediss://127.0.0.1:1/0", ssl_ca=str(ca_away))
    there = ca_away.rename(ca_away.with_suffix(".new"))
    assert await cache.get("t:1", load) == "value"
    there.rename(ca_away)
    numbers = itertools.count()

    async def is_followed() -> bool:
        await cache.get(f"t:{next(numbers)}", load)
        return cache.info().reconnects > 0

    await until_async(is_followed, "the stream is asked for")
    await cache.aclose()


@pytest.mark.parametrize("scheme", ["rediss", "clusters"])
def test_files_that_stay_away_are_not_read_by_every_miss_nor_told_of(
    ca_away: Path, scheme: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = VersionedCache.from_url("rediss://127.0.0.1:1/0", f"{scheme}://127.0.0.1:1", ssl_ca=str(ca_away))
    ca_away.unlink()
    looked: list[TlsFiles] = []
    check = TlsFiles.check

    def counted(given: TlsFiles) -> None:
        looked.append(given)
        check(given)

    monkeypatch.setattr(TlsFiles, "check", counted)
    for number in range(20):
        assert cache.get(f"t:{number}", lambda: "value") == "value"
    assert len(looked) == 2, "once for the stream, and once for the values"
    assert [record.message for record in caplog.records if "the follower cannot start" in record.message]
    assert len(caplog.records) == 1
    cache.close()


async def test_files_that_stay_away_are_not_told_of_by_every_miss_under_asyncio(
    ca_away: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def load() -> str:
        return "value"

    cache = AsyncVersionedCache.from_url("rediss://127.0.0.1:1", ssl_ca=str(ca_away))
    ca_away.unlink()
    for number in range(20):
        assert await cache.get(f"t:{number}", load) == "value"
    assert ["the follower cannot start" in record.message for record in caplog.records] == [True]
    await cache.aclose()


class _Freezing:
    """A Redis over TLS that lets in, knows an empty stream, and from then on does not even say goodbye."""

    def __init__(self, certificate: Certificate) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        with self._listener, self._context.wrap_socket(self._listener.accept()[0], server_side=True) as connection:
            while b"XREVRANGE" not in (asked := connection.recv(65_536)):
                for command in asked.split(b"*")[1:]:
                    connection.sendall(b"%1\r\n+server\r\n+redis\r\n" if b"HELLO" in command else b"+OK\r\n")
            connection.sendall(b"*0\r\n")
            self._ends.wait(20)

    def end(self) -> None:
        self._ends.set()
        self._thread.join()


async def test_a_redis_that_does_not_say_goodbye_is_left_without_an_error(issued: Certificate) -> None:
    server = _Freezing(issued)
    address = RedisAddress.parse(f"rediss://127.0.0.1:{server.port}", tls=TlsFiles(str(issued.ca)))
    stream = RedisStream(address, timeout_ms=500)
    assert await stream.read_before(None, count=1) == []
    try:
        await stream.aclose()
    finally:
        server.end()
        await asyncio.sleep(0.1)  # the loop learns that the connection has ended
