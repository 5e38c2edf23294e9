"""MySQL by TLS, both sides verified: certificates and CA are replaced without a restart of either."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.certificates import Authority, Certificate
from deploy.simulation.mariadb import MariaDb
from replicator.errors import MySqlAuthenticationError, MySqlUnavailableError
from replicator.mysql import REFUSED_S, MySqlClient
from versioning.backends.mysql_address import MySqlAddress


def test_all_certificates_are_replaced_without_a_restart(new_mariadb: Callable[..., MariaDb], tmp_path: Path) -> None:
    first, second = Authority(tmp_path / "first"), Authority(tmp_path / "second")
    theirs, ours = (Certificate(*(tmp_path / f"{who}.{kind}" for kind in ("ca", "pem", "key"))) for who in "ab")
    theirs.replace_by(first.issue("mysql"))
    ours.replace_by(first.issue("gate"))
    server = new_mariadb(certificate=theirs)
    files: Any = {"ssl_ca": str(ours.ca), "ssl_cert": str(ours.cert), "ssl_key": str(ours.key)}
    now_s = 0.0
    address = MySqlAddress(server.host, server.port, "stampline_gate", server.password, **files)
    client = MySqlClient(address, clock_s=lambda: now_s)
    ((_, cipher),) = client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert cipher
    theirs.replace_by(second.issue("mysql"))
    # Root's own files are those of the server: the connection that says FLUSH SSL must still be one by the old ones.
    ((own,),) = client.query("SELECT CONNECTION_ID()")
    server.certificate = first.issue("root")
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute("FLUSH SSL")
        cursor.execute(f"KILL {own}")
    with pytest.raises(MySqlUnavailableError):
        client.query("SELECT 1")
    with pytest.raises(MySqlAuthenticationError, match=r"no TLS with MySQL .*self-signed certificate") as caught:
        client.query("SELECT 1")
    assert "ssl_ca" in caught.value.hint
    ours.replace_by(second.issue("gate"))
    now_s += REFUSED_S
    assert client.query("SELECT 1") == [(1,)]
    client.close()
