"""Bearer tokens: who may bump. Compared in constant time; the audit log gets a name or a hash prefix."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from app.errors import ApiError
from app.settings import ServeSection
from versioning.cli.sections import read_secret
from versioning.errors import ConfigError

TOKEN_CHARS_MIN: Final = 16
"""Shorter ones can be guessed over the network."""

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="stampline"'}


@dataclass(frozen=True, slots=True)
class Tokens:
    names: Mapping[bytes, str] = field(default_factory=dict, repr=False)
    """SHA-256 of each token, to its owner's name."""

    @classmethod
    def from_section(cls, section: ServeSection) -> Self:
        """Read the tokens; raises ConfigError for one too short to be a secret."""
        lines = [section.token.get_secret_value()]
        if section.token_file is not None:
            lines += read_secret(section.token_file, key="serve.token_file").splitlines()
        names: dict[bytes, str] = {}
        for number, line in enumerate(lines):
            name, _, token = line.strip().rpartition(" ")
            if token and len(token) < TOKEN_CHARS_MIN:
                raise ConfigError(
                    f"a token of [serve] (line {number}) has under {TOKEN_CHARS_MIN} characters",
                    hint="make one: openssl rand -hex 24",
                )
            if token:
                digest = _digest(token)
                names[digest] = name.strip() or f"sha256:{digest.hex()[:8]}"
        return cls(names)

    def owner(self, authorization: str | None) -> str:
        """Return who sent this ``Authorization`` header; raises ApiError 401 or 403."""
        if not self.names:
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
        for digest, name in self.names.items():
            if hmac.compare_digest(sent, digest):
                found = name
        if not found:
            raise ApiError(403, "token_wrong", "this token may not bump", hint="ask for one in [serve] token_file")
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="replace")).digest()
