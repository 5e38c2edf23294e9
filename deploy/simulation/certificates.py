"""Certificates for one run: an authority that lives in a folder, and what it issues for 127.0.0.1.

Made with the `openssl` command, which every machine that runs a MariaDB has: nothing to install for it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.simulation.processes import ProcessError

DAYS = 2
NAMES = "IP:127.0.0.1, DNS:localhost"
_LEAF = """
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """PEM files: what to verify others by, and what to show them."""

    ca: Path
    cert: Path
    key: Path

    @property
    def query(self) -> str:
        """The end of a Redis URL that uses these files."""
        return "?" + "&".join(f"ssl_{name}={path}" for name, path in self._named.items())

    @property
    def settings(self) -> str:
        """Lines of a settings file that uses these files."""
        return "".join(f'ssl_{name} = "{path}"\n' for name, path in self._named.items())

    @property
    def _named(self) -> dict[str, Path]:
        return {"ca": self.ca, "cert": self.cert, "key": self.key}

    def replace_by(self, other: "Certificate") -> None:
        """Rotate, as an operator does: the same names, other contents."""
        for old, new in ((self.ca, other.ca), (self.cert, other.cert), (self.key, other.key)):
            shutil.copyfile(new, old)


def write_secret(path: Path, secret: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(secret + "\n")
    return path


class Authority:
    """Issues certificates; its own is what they are verified by."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca, self._key = folder / "ca.pem", folder / "ca.key"
        usage = ("-addext", "keyUsage = critical, keyCertSign, cRLSign")
        made = ("-keyout", self._key, "-out", self.ca)
        _openssl("req", "-x509", *_NEW_KEY, "-days", DAYS, "-subj", "/CN=stampline simulation", *usage, *made)

    def issue(self, name: str, days: int = DAYS, names: str = NAMES) -> Certificate:
        """Issue one for this machine, or other `names`; with `days` below zero it has expired."""
        key, request, cert = (self.folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
        leaf = self.folder / "leaf.cnf"
        leaf.write_text(f"subjectAltName = {names}{_LEAF}")
        _openssl("req", *_NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        signer = ("-CA", self.ca, "-CAkey", self._key, "-CAcreateserial")
        _openssl("x509", "-req", "-in", request, *signer, "-days", days, "-extfile", leaf, "-out", cert)
        return Certificate(self.ca, cert, key)


def _openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise ProcessError("openssl is not installed: apt-get install openssl") from None
    if done.returncode:
        raise ProcessError(f"{' '.join(command)} failed: {done.stderr}")
