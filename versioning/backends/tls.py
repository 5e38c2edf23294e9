"""TLS with verification on, and certificates that are replaced without a restart.

A context is asked for at every connect, and built again when one of its files has changed: what connects next uses the
new files. Files that cannot be loaded (a rotation is half done) leave the former context in use, with one line in the
log. Before anything connects, ``check`` names what is wrong with the files in one line.
"""

import functools
import logging
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from versioning.errors import ConfigError

_log = logging.getLogger("stampline.tls")

_PATH_HINT: Final = "check the path and its owner"
_PAIR_HINT: Final = "a PEM certificate, its chain behind it, and the key it was issued for, without a passphrase"

TLS_HINT: Final = "check ssl_ca, ssl_cert and ssl_key here, and the certificate, its names and its dates there"

_REFUSALS: Final = ("CERTIFICATE", "UNKNOWN_CA", "WRONG_VERSION", "PROTOCOL", "NO_SHARED", "HANDSHAKE_FAILURE")
"""In what OpenSSL calls errors that trying again does not mend. All others are a link that was lost."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of one side. On both sides, ``ca`` is what the other one is verified by."""

    ca: str | None = None
    """A client's None: the CAs of the system. A server's None: clients need no certificate."""
    cert: str | None = None
    key: str | None = None
    """None: it is in the file of the certificate."""
    is_verified: bool = True
    """False: a client takes any certificate. ``stampline doctor`` warns of it."""
    is_name_checked: bool = True

    @classmethod
    def of(cls, ca: Path | str | None, cert: Path | str | None, key: Path | str | None) -> "TlsFiles":
        text = [None if path is None else str(path) for path in (ca, cert, key)]
        return cls(text[0], text[1], text[2])

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)

    def check(self) -> None:
        """Raises ConfigError where a client cannot use these files."""
        client_context(self)


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises ConfigError. With ``ca``, that is the only CA trusted."""
    context = ssl.create_default_context(cafile=_ca(files.ca))
    if not (files.is_verified and files.is_name_checked):
        context.check_hostname = False
    if not files.is_verified:
        context.verify_mode = ssl.CERT_NONE
    _load_pair(context, files)
    return context


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises ConfigError. With ``ca``, a client without a certificate of that CA is turned away."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if files.ca is not None:
        context.load_verify_locations(_ca(files.ca))
        context.verify_mode = ssl.CERT_REQUIRED
        # Who resumes a session is not asked for its certificate: its CA may have been taken out since.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    _load_pair(context, files)
    return context


class Reloaded:
    """The context of these files as they are now."""

    def __init__(self, files: TlsFiles, build: Callable[[TlsFiles], ssl.SSLContext] = client_context) -> None:
        """Raises ConfigError."""
        self._files = files
        self._build = build
        # Marked before they are read: files that change in between are read again.
        self._marks = _marks(files)
        self._context = build(files)

    def get(self) -> ssl.SSLContext:
        # No lock: a fork must not find it taken, and two threads that both read the files do no harm.
        marks = _marks(self._files)
        if marks != self._marks:
            self._marks = marks
            try:
                self._context = self._build(self._files)
            except ConfigError as error:
                _log.warning("the former certificates stay in use: %s", error)
        return self._context


def refusal_in(error: BaseException | None) -> str:
    """Return why one side refused the other's TLS, where that is what an error of a driver stems from; else nothing."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ssl.SSLCertVerificationError):
            return str(error.verify_message or error.reason)
        if isinstance(error, ssl.SSLError):
            found = str(error.reason or "")
            return found.lower().replace("_", " ") if any(word in found for word in _REFUSALS) else ""
        error = error.__cause__ or error.__context__
    return ""


@functools.lru_cache(maxsize=64)
def reloaded_client(files: TlsFiles) -> Reloaded:
    """One for all connections with the same files: a context costs tens of milliseconds."""
    return Reloaded(files)


def reloading_server(files: TlsFiles) -> ssl.SSLContext:
    """Return a context for a listener: every handshake takes the files as they are then. Raises ConfigError."""
    current = Reloaded(files, server_context)
    context = current.get()

    def switch(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current.get()

    context.sni_callback = switch
    return context


def _marks(files: TlsFiles) -> list[tuple[int, ...] | None]:
    return [mark_of(path) for path in files.paths]


def mark_of(path: str) -> tuple[int, ...] | None:
    """Return what changes when the file does, or who may read it; None while it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116  the cheapest way, at every connect
    except OSError:
        return None
    # Not st_mtime_ns: a file put in place first and given to us by chown or chmod then would never be read.
    # The clock of ctime ticks in milliseconds: who is let read it is named besides.
    return found.st_ctime_ns, found.st_mode, found.st_uid, found.st_gid, found.st_size, found.st_ino


def _readable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return path
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=_PATH_HINT) from None


def _ca(path: str | None) -> str | None:
    """Return the path once it was tried; the driver's error would not name it."""
    if path is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(_readable(path))
    except ssl.SSLError:
        raise ConfigError(f"{path} holds no CA certificate", hint="PEM, as from openssl x509 -in FILE") from None
    return path


def _load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    if files.cert is None:
        if files.key is not None:
            raise ConfigError(f"a key without its certificate: {files.key}", hint="name the certificate too")
        return

    def passphrase() -> str:
        raise ConfigError(f"{files.key or files.cert} needs a passphrase", hint=_PAIR_HINT)

    _readable(files.cert)
    _readable(files.key or files.cert)
    try:
        context.load_cert_chain(files.cert, files.key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            what = f"{files.key or files.cert} is not the key of {files.cert}"
        else:
            what = f"{files.cert} and {files.key or 'nothing more'} are no certificate and key"
        raise ConfigError(what, hint=_PAIR_HINT) from None
    except OSError as error:  # it went away after we had read it
        raise ConfigError(f"cannot read {files.cert}: {error.strerror}", hint=_PATH_HINT) from None
