"""Bearer tokens: who may bump, and how often. Compared in constant time; logs get a name or a hash prefix.

The file of tokens is read again when it changes: a new token counts at once and an old one no longer, so that tokens
are rotated without a restart, several at a time. A file that cannot be used leaves the former tokens valid.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import Final

import structlog

from app.errors import ApiError
from app.rates import Rates
from app.settings import ServeSection
from versioning.backends.tls import mark_of
from versioning.errors import ConfigError

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="stampline"'}
_log = structlog.get_logger()


class Tokens:
    """What ``[serve]`` says of bumps. Belongs to one service, since it counts."""

    def __init__(self, section: ServeSection) -> None:
        """Raises ConfigError for a token too short to be a secret."""
        self._section = section
        self._mark = self._now()
        self._names = _read(section)
        self._rates = Rates(section.bumps_per_min, section.bumps_total_per_min)

    def admit(self, owner: str, now_ms: int) -> None:
        """Count one bump of this owner; raises ApiError 429."""
        wait_ms = self._rates.take(owner, now_ms)
        if wait_ms:
            wait_s = math.ceil(wait_ms / 1000)
            raise ApiError(
                429,
                "too_many_bumps",
                f"more bumps a minute than [serve] allows; next one in {wait_s} s",
                hint="put many keys into one bump, or age out the namespace",
                headers={"Retry-After": str(wait_s)},
            )

    def owner(self, authorization: str | None) -> str:
        """Return who sent this ``Authorization`` header; raises ApiError 401 or 403."""
        if self._section.read_only:
            raise ApiError(403, "read_only", "this service only reads", hint="[serve] read_only; ask another service")
        names = self._current()
        if not names:
            raise ApiError(
                403, "bumps_disabled", "this service has no token, so nobody may bump", hint="set [serve] token_file"
            )
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiError(
                401, "token_missing", "a bump needs a token", hint="send Authorization: Bearer ...", headers=_CHALLENGE
            )
        sent, found = _digest(token.strip()), ""
        # All of them, whichever matches: the time taken tells nothing.
        for digest, name in names.items():
            if hmac.compare_digest(sent, digest):
                found = name
        if not found:
            raise ApiError(403, "token_wrong", "this token may not bump", hint="ask for one in [serve] token_file")
        return found

    def _now(self) -> tuple[int, ...] | None:
        file = self._section.token_file
        return None if file is None else mark_of(str(file))

    def _current(self) -> Mapping[bytes, str]:
        mark = self._now()
        if mark != self._mark:
            self._mark = mark
            try:
                self._names = _read(self._section)
                _log.info("tokens_read", tokens=sorted(set(self._names.values())))
            except ConfigError as error:
                _log.warning("tokens_not_read", error=str(error), hint="the former tokens stay valid")
        return self._names


def _read(section: ServeSection) -> dict[bytes, str]:
    """Map the SHA-256 of each token to its owner's name."""
    digests = [(_digest(token), name) for name, token in section.tokens()]
    return {digest: name or f"sha256:{digest.hex()[:8]}" for digest, name in digests}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
