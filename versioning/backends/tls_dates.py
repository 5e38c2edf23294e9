"""When certificates end. OpenSSL reads and judges them, at a handshake: with their server, or with ourselves."""

import contextlib
import ssl
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from versioning.backends.tls import TlsFiles

_DATES: Final = frozenset({9, 10})
"""What OpenSSL calls a certificate that is not yet valid, and one that has expired."""


class CertificateDates(NamedTuple):
    """Unix times in s."""

    begins_s: int
    ends_s: int
    asked_s: int

    @property
    def life_s(self) -> int:
        return self.ends_s - self.begins_s

    @property
    def left_s(self) -> int:
        return self.ends_s - self.asked_s


def dates_in(peer: Mapping[str, Any] | None) -> CertificateDates | None:
    """Read what ``getpeercert`` returns; None where it was not verified and so is not shown."""
    return dates_between(str(peer["notBefore"]), str(peer["notAfter"])) if peer else None


def dates_between(begins: str, ends: str) -> CertificateDates | None:
    """Read OpenSSL's ``Nov 27 12:00:00 2026 GMT``; None for other words."""
    with contextlib.suppress(ValueError):
        return CertificateDates(ssl.cert_time_to_seconds(begins), ssl.cert_time_to_seconds(ends), int(time.time()))
    return None


def own_dates(files: TlsFiles) -> CertificateDates | None:
    """Return those of our certificate; None where there is none, or none that anybody accepts."""
    if files.cert is None:
        return None
    with contextlib.suppress(ssl.SSLError, OSError):
        return dates_in(_shake_hands(files.cert, files.key))
    return None


def dates_problem(files: TlsFiles) -> str:
    """Return why nobody accepts our certificate today, if its dates say so. Servers often hang up without a word."""
    if files.cert is None:
        return ""
    try:
        _shake_hands(files.cert, files.key)
    except ssl.SSLCertVerificationError as error:
        return f"{files.cert}: {error.verify_message}" if error.verify_code in _DATES else ""
    except (ssl.SSLError, OSError):
        return ""  # what else may be wrong with it is for `check`
    return ""


def _shake_hands(cert: str, key: str | None) -> Mapping[str, Any] | None:
    """With ourselves, in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key, lambda: "")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cert)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there)
    for side in (ours, server.wrap_bio(there, back, server_side=True), ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return ours.getpeercert()
