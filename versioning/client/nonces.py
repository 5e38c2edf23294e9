"""Nonces for the entries of one append: one call to the system for all of them."""

import secrets

from versioning.entries import NONCE_CHARS


def new_nonces(count: int) -> list[str]:
    text = secrets.token_hex(NONCE_CHARS // 2 * count)
    return [text[start : start + NONCE_CHARS] for start in range(0, len(text), NONCE_CHARS)]
