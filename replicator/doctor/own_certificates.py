"""The certificates that settings name, of clients and of listeners."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic import BaseModel

from versioning.backends.tls import TlsFiles
from versioning.backends.tls_dates import CertificateDates, dates_problem, own_dates

_CERT, _KEY = "ssl_cert", "ssl_key"


class OwnCertificate(NamedTuple):
    path: str
    dates: CertificateDates | None
    """None: expired, or not to be used at all."""
    problem: str = ""
    """What is wrong with its dates."""


def own_certificates(sections: BaseModel, more: Iterable[TlsFiles | None]) -> tuple[OwnCertificate, ...]:
    """Return each once, by path. ``more``: files that URLs name."""
    named = {files.cert: files.key for files in more if files is not None and files.cert is not None}
    named |= _named_in(sections)
    return tuple(_look_at(cert, key) for cert, key in sorted(named.items()))


def _look_at(cert: str, key: str | None) -> OwnCertificate:
    files = TlsFiles(cert=cert, key=key)
    dates = own_dates(files)
    return OwnCertificate(cert, dates, "" if dates else dates_problem(files))


def _named_in(value: object) -> dict[str, str | None]:
    return {str(cert): None if key is None else str(key) for cert, key in _pairs(value)}


def _pairs(value: object) -> Iterator[tuple[object, object]]:
    if isinstance(value, BaseModel):
        fields = vars(value)
        for name, held in fields.items():
            if name.endswith(_CERT) and held is not None:
                yield held, fields.get(name.removesuffix(_CERT) + _KEY)
            else:
                yield from _pairs(held)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _pairs(item)
