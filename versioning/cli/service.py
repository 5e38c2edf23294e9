"""Asking a version service: one request, its JSON, and every way that can fail as one line."""

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from versioning.backends.base import UnavailableError
from versioning.backends.tls import TlsFiles, client_context, refusal_in
from versioning.errors import ConfigError, StamplineError

ANSWER_BYTES_MAX: Final = 16 << 20
TIMEOUT_S: Final = 10.0
IS_IT_RUNNING: Final = "is a version service running there?"
_NEVER_ASKED: Final = (ConnectionRefusedError, socket.gaierror)
"""The request did not leave: nothing was done."""
_NOT_NOW: Final = (404, 429)
"""Refusals that another address, or the same one a little later, does not give."""
IS_IT_ONE: Final = "is this a version service, and a current one?"


def ask(
    url: str,
    path: str,
    tls: TlsFiles | None = None,
    *,
    body: Mapping[str, Any] | None = None,
    token: str = "",
    unanswered: str = IS_IT_RUNNING,
) -> dict[str, Any]:
    """GET, or POST ``body`` as JSON; ``unanswered`` is the hint where what was asked may have arrived.

    Raises ConfigError for what is no address or is refused, UnavailableError for the rest.
    """
    check_url(url)
    request = _request(url.rstrip("/") + path, body, token)
    context = client_context(tls or TlsFiles()) if url.startswith("https://") else None
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310 - checked
            found = json.loads(answer.read(ANSWER_BYTES_MAX))
    except urllib.error.HTTPError as error:
        raise _refusal(request.full_url, error) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        refusal = _tls_refusal(error)
        if refusal:
            hint = "check --ssl-ca, and the certificate there"
            raise ConfigError(f"no TLS with {url}: {refusal}", hint=hint) from None
        reason = getattr(error, "reason", error)
        hint = IS_IT_RUNNING if isinstance(reason, _NEVER_ASKED) else unanswered
        raise UnavailableError(f"{url} did not answer: {reason}", hint=hint) from None
    if not isinstance(found, dict):
        raise UnavailableError(f"{request.full_url} answered something else", hint=IS_IT_ONE)
    return found


def _request(full: str, body: Mapping[str, Any] | None, token: str) -> urllib.request.Request:
    sent = None if body is None else json.dumps(body).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(full, sent, headers)  # noqa: S310 - the scheme is checked before
    if token:
        # Not for whoever the answer sends us on to, as to the page of a login.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def _tls_refusal(error: Exception) -> str:
    """Return what is wrong with a certificate, or nothing when that is not why it failed."""
    reason = getattr(error, "reason", None)  # urllib puts what happened in here
    return refusal_in(reason if isinstance(reason, OSError) else error)


def check_url(url: str) -> None:
    """Raises ConfigError for what is no HTTP address."""
    if "@" in url:  # what stands before it may be a password
        raise ConfigError("--url holds a login, and takes none", hint="as http://127.0.0.1:8700; a token: --token-file")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:  # a port that is none, a broken IPv6 address
        is_address = False
    if not is_address or any(sign in url for sign in " ?#"):
        raise ConfigError(f"--url {url} is no HTTP address", hint="as http://127.0.0.1:8700")


def _refusal(full: str, error: urllib.error.HTTPError) -> StamplineError:
    with error:
        try:
            problem = json.load(error)["error"]
            message, hint = str(problem["message"]), str(problem["hint"])
        except (OSError, ValueError, KeyError, TypeError):
            message, hint = str(error.reason), IS_IT_ONE
    kind = UnavailableError if error.code >= 500 or error.code in _NOT_NOW else ConfigError
    return kind(f"{full} answered {error.code}: {message}", hint=hint)
