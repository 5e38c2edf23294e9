"""The version service over HTTPS, clients verified, with a certificate that is replaced while it runs."""

import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.http import tls_of
from app.settings import ServeSection
from deploy.simulation.certificates import Authority, Certificate
from deploy.simulation.ports import LOOPBACK
from deploy.simulation.redis_server import RedisServer
from tests.integration.roles import DEADLINE_S, Role, run, write_config
from versioning.backends.tls import TlsFiles, client_context
from versioning.errors import ConfigError

TOKEN = "token-of-alice-0123456789"


class TlsRole(Role):
    """A role whose client is ``certificate``."""

    certificate: Certificate

    def _connection(self) -> http.client.HTTPConnection:
        files = TlsFiles.of(self.certificate.ca, self.certificate.cert, self.certificate.key)
        return http.client.HTTPSConnection(LOOPBACK, self.port, timeout=DEADLINE_S, context=client_context(files))


@pytest.fixture
def served(authority: Authority, tmp_path: Path) -> Certificate:
    files = Certificate(*(tmp_path / name for name in ("ca.pem", "service.pem", "service.key")))
    files.replace_by(authority.issue("service"))
    return files


@pytest.fixture
def config(tmp_path: Path, redis_b: RedisServer, served: Certificate) -> Path:
    (tmp_path / "tokens").write_text(f"alice {TOKEN}\n")
    return write_config(
        tmp_path,
        f'[stream]\nurl = "{redis_b.url}"\n[serve]\ntoken_file = "{tmp_path}/tokens"\nssl_cert = "{served.cert}"\n'
        f'ssl_key = "{served.key}"\nssl_client_ca = "{served.ca}"\n',
    )


@pytest.fixture
def service(config: Path, authority: Authority) -> Iterator[TlsRole]:
    role = TlsRole(["serve", "--port", "PORT"], config)
    role.certificate = authority.issue("client")
    with role:
        yield role


def test_a_bump_by_the_command_line_verifies_the_service_and_shows_its_own_certificate(
    service: TlsRole, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    url, client = f"https://{LOOPBACK}:{service.port}", service.certificate
    bump = ("bump", "a:1", "--reason", "by hand", "--url", url, "--token-file", str(tmp_path / "token"))
    done = run(*bump, "--ssl-ca", str(client.ca), "--ssl-cert", str(client.cert), "--ssl-key", str(client.key))
    assert done.code == 0, done.err
    context = ssl.create_default_context(cafile=client.ca)
    anonymous = http.client.HTTPSConnection(LOOPBACK, service.port, timeout=DEADLINE_S, context=context)
    with pytest.raises((ssl.SSLError, ConnectionError)):  # noqa: PT012  which of the two notices is a race
        anonymous.request("GET", "/livez")
        anonymous.getresponse()
    anonymous.close()
    unverified = run(*bump)
    assert unverified.code == 2
    assert f"no TLS with {url}: " in unverified.line


def test_certificate_and_ca_are_replaced_without_a_restart(
    service: TlsRole, served: Certificate, tmp_path: Path
) -> None:
    kept = service._connection()
    kept.request("GET", "/livez")
    assert kept.getresponse().read()
    other = Authority(tmp_path / "other")
    served.replace_by(other.issue("service"))
    with pytest.raises((ssl.SSLError, OSError)):
        service.request("GET", "/livez")
    service.certificate = other.issue("client")
    assert service.request("GET", "/livez")[0] == 200
    kept.request("GET", "/livez")  # a connection that was open stays
    assert kept.getresponse().status == 200
    kept.close()


def test_nobody_comes_in_by_a_session_from_before(service: TlsRole, served: Certificate, tmp_path: Path) -> None:
    """Whoever resumes one shows no certificate: that of a CA which is taken out by now would do."""
    context = client_context(TlsFiles.of(service.certificate.ca, service.certificate.cert, service.certificate.key))
    session = session_with(context, service.port, None)
    served.replace_by(Authority(tmp_path / "other").issue("service"))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        session_with(context, service.port, session)


def session_with(context: ssl.SSLContext, port: int, before: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """Ask, and return the session."""
    with (
        socket.create_connection((LOOPBACK, port), timeout=DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=LOOPBACK, session=before) as connection,
    ):
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: service\r\n\r\n")
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")
        return connection.session


def test_a_certificate_that_cannot_be_used_refuses_the_start_in_one_line(served: Certificate) -> None:
    served.key.write_text("no key\n")
    with pytest.raises(ConfigError, match=f"serve: {served.cert} and {served.key} are no certificate and key"):
        tls_of(ServeSection(ssl_cert=served.cert, ssl_key=served.key))
