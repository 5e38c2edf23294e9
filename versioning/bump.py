"""A forced bump (P11): what a person may ask for, and the entries it becomes. CLI and HTTP API share it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from versioning.entries import Change, Generation, NewEntry
from versioning.errors import StamplineError
from versioning.keys import KeyFormatError, check_key
from versioning.limits import GENERATION_SPREAD_MS, KEY_BYTES_MAX, KEYS_PER_ENTRY, SPREAD_MAX_MS
from versioning.printable import is_printable

KEYS_MAX: Final = 1_000
"""Keys in one request. More at once is a namespace, which can be spread."""

REASON_CHARS_MAX: Final = 200


class RequestError(StamplineError, ValueError):
    """A request that cannot be served as it is. ``code`` is for machines and never changes its meaning."""

    def __init__(self, code: str, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


def check_keys(keys: Sequence[str]) -> None:
    """Raise RequestError for keys that no stream, cache or API takes, or too many of them."""
    if len(keys) > KEYS_MAX:
        raise RequestError(
            "too_many_keys", f"{len(keys)} keys in one request", hint=f"at most {KEYS_MAX}; send several requests"
        )
    for key in keys:
        check_one(key)


def check_one(key: str) -> None:
    size_bytes = len(key.encode(errors="replace"))
    if size_bytes > KEY_BYTES_MAX:
        raise RequestError("key_too_long", f"a key of {size_bytes} bytes", hint=f"at most {KEY_BYTES_MAX} bytes")
    try:
        check_key(key)
    except KeyFormatError as error:
        raise RequestError("key_malformed", error.message, hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class Bump:
    """Keys, or a namespace spread over ``spread_ms`` (None: the default), and why."""

    reason: str
    keys: tuple[str, ...] = ()
    namespace: str = ""
    spread_ms: int | None = None

    def check(self) -> None:
        """Raise RequestError unless this can be appended as it is."""
        if bool(self.keys) == bool(self.namespace):
            raise RequestError(
                "keys_or_namespace", "a bump names either keys or a namespace", hint="give one of the two"
            )
        if not self.reason.strip() or len(self.reason) > REASON_CHARS_MAX:
            raise RequestError(
                "reason_needed", "a bump says why", hint=f"a reason of 1 to {REASON_CHARS_MAX} characters"
            )
        if not is_printable(self.reason):
            raise RequestError(
                "reason_malformed", "a reason holds no line breaks nor control characters", hint="write one plain line"
            )
        check_keys(self.keys)
        if self.namespace:
            self._check_namespace()
        elif self.spread_ms:
            raise RequestError("spread_needs_namespace", "keys are bumped at once", hint="leave spread_ms out")

    def _check_namespace(self) -> None:
        if ":" in self.namespace:
            raise RequestError("namespace_malformed", "a namespace holds no ':'", hint="the text before the first ':'")
        check_one(f"{self.namespace}:")
        if not 0 <= (self.spread_ms or 0) <= SPREAD_MAX_MS:
            raise RequestError(
                "spread_out_of_range", f"a spread of {self.spread_ms} ms", hint=f"0 to {SPREAD_MAX_MS} ms"
            )

    def entries(self, now_ms: int, nonces: Sequence[str]) -> tuple[NewEntry, ...]:
        """Return what to append; ``nonces`` holds at least ``entry_count`` random ones."""
        bodies: list[Change | Generation] = []
        if self.namespace:
            spread_ms = GENERATION_SPREAD_MS if self.spread_ms is None else self.spread_ms
            bodies.append(Generation((self.namespace,), now_ms, spread_ms, self.reason, committed_ms=now_ms))
        parts = (self.keys[start : start + KEYS_PER_ENTRY] for start in range(0, len(self.keys), KEYS_PER_ENTRY))
        bodies.extend(Change(part, committed_ms=now_ms) for part in parts)
        return tuple(NewEntry(nonce, body) for nonce, body in zip(nonces, bodies, strict=False))

    @property
    def entry_count(self) -> int:
        return 1 if self.namespace else -(-len(self.keys) // KEYS_PER_ENTRY)
