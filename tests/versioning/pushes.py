"""A push as ``append.lua`` publishes it."""

from versioning import stamp as stamps
from versioning.entries import NewEntry, encode_body, kind_of


def encode_push(stamp: int, entry: NewEntry, previous: str) -> bytes:
    """Return what is published for an entry (PROTOCOL.md, section "Push")."""
    return " ".join(
        (stamps.text(stamp), entry.nonce, previous or "-", kind_of(entry.body), encode_body(entry))
    ).encode()
