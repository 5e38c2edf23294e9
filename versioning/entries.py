"""Entries of the stamp stream: five kinds, one byte-exact form (PROTOCOL.md, section "Entries").

An entry is four stream fields: ``t`` the kind, ``n`` its nonce, ``p`` the nonce of the entry before it (set by the
append script, which alone knows it), ``b`` a JSON body. The body names its fields in full: on call one reads it with
redis-cli.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from versioning.errors import EntryFormatError

NONCE_CHARS: Final = 16


@dataclass(frozen=True, slots=True)
class Change:
    """Keys of one transaction, or of a part of it."""

    keys: tuple[str, ...]
    gtid: str = ""
    """The commit's position in the source's own notation; what the gate waits for. Empty: nothing to wait for."""
    committed_ms: int = 0
    pending: bool = False
    """Left the gate at its time limit: some replica has not applied it."""
    settled: bool = False
    """Ends the pending state of these keys."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    read_ms: int
    """Unix time in ms up to which the source has read the binlog."""
    applied_ms: int = 0
    """Unix time in ms up to which every listed replica has applied; 0 in stream A, where nobody waits."""
    gtid: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """Ages out whole namespaces: an older value is STALE from ``start_ms + spread_ms * u(key)`` on (P9)."""

    namespaces: tuple[str, ...]
    start_ms: int
    spread_ms: int
    reason: str
    gtid: str = ""
    committed_ms: int = 0
    pending: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """Everything before this entry is unknown."""

    reason: str
    gtid: str = ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Everything committed since ``since_ms`` has been stamped again, above the last gap."""

    since_ms: int
    gtid: str = ""


@dataclass(frozen=True, slots=True)
class Poisoned:
    """What a reader makes of an entry it cannot decode. Never written; taken as a gap."""

    reason: str


Body = Change | Heartbeat | Generation | Gap | Replayed
ReadBody = Body | Poisoned


@dataclass(frozen=True, slots=True)
class Origin:
    """Which entry of which other stream an entry was mirrored from."""

    dc: str
    id: str
    """That entry's stamp as text."""
    nonce: str


@dataclass(frozen=True, slots=True)
class NewEntry:
    nonce: str
    """Random, ``NONCE_CHARS`` lowercase hex digits."""
    body: Body
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as read back."""

    stamp: int
    nonce: str
    previous: str
    """Nonce of the entry before; empty for the first of a stream's history."""
    body: ReadBody
    origin: Origin | None = None


KINDS: Final[dict[str, type[Body]]] = {
    "change": Change,
    "heartbeat": Heartbeat,
    "generation": Generation,
    "gap": Gap,
    "replayed": Replayed,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}
_REQUIRED: Final[dict[str, frozenset[str]]] = {
    "change": frozenset({"keys"}),
    "heartbeat": frozenset({"read_ms"}),
    "generation": frozenset({"namespaces", "start_ms", "spread_ms", "reason"}),
    "gap": frozenset({"reason"}),
    "replayed": frozenset({"since_ms"}),
}
_TYPES: Final[dict[str, type]] = {
    "gtid": str,
    "reason": str,
    "read_ms": int,
    "applied_ms": int,
    "committed_ms": int,
    "start_ms": int,
    "spread_ms": int,
    "since_ms": int,
    "pending": bool,
    "settled": bool,
}


def kind_of(body: Body) -> str:
    return _NAMES[type(body)]


_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_quoted: Final = json.encoder.encode_basestring
"""What the encoder does with a string."""


def encode_body(entry: NewEntry) -> str:
    """Return field ``b``. Fields at their default are left out; the order is that of the dataclass, ``origin`` last."""
    body = entry.body
    # Nearly all entries, and the encoder would cost more than all else that is done for one.
    text = _encode_change(body) if type(body) is Change else _encode(_fields(body))
    origin = entry.origin
    return text if origin is None else text[:-1] + _encode_origin(origin)


def _encode_origin(origin: Origin) -> str:
    dc, id_, nonce = _quoted(origin.dc), _quoted(origin.id), _quoted(origin.nonce)
    return f',"origin":{{"dc":{dc},"id":{id_},"nonce":{nonce}}}}}'


def _fields(body: Body) -> dict[str, Any]:
    required = _REQUIRED[kind_of(body)]
    values = ((name, getattr(body, name)) for name in type(body).__slots__)
    return {name: value for name, value in values if name in required or value}


def _encode_change(body: Change) -> str:
    text = '{"keys":[' + ",".join(map(_quoted, body.keys)) + "]"
    if body.gtid:
        text += ',"gtid":' + _quoted(body.gtid)
    if body.committed_ms:
        text += f',"committed_ms":{body.committed_ms}'
    if body.pending:
        text += ',"pending":true'
    if body.settled:
        text += ',"settled":true'
    return text + "}"


def decode(stamp: int, fields: Mapping[str, str]) -> Entry:
    """Never raises: what cannot be decoded comes back as Poisoned, with whatever nonces it shows."""
    nonce, previous = fields.get("n", ""), fields.get("p", "")
    try:
        body, origin = _decode_body(fields.get("t", ""), fields.get("b", ""))
    except EntryFormatError as error:
        return Entry(stamp, nonce, previous, Poisoned(str(error)))
    return Entry(stamp, nonce, previous, body, origin)


def _decode_body(kind: str, text: str) -> tuple[Body, Origin | None]:
    if kind not in KINDS:
        raise EntryFormatError(f"unknown kind of entry {kind[:40]!r}", hint="written by a newer stampline?")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EntryFormatError(f"body of a {kind} entry is not JSON: {text[:80]!r}") from error
    if not isinstance(fields, dict) or not _REQUIRED[kind] <= fields.keys():
        raise EntryFormatError(f"body of a {kind} entry lacks {sorted(_REQUIRED[kind])}: {text[:80]!r}")
    origin = _decode_origin(fields.pop("origin", None))
    known = set(KINDS[kind].__slots__)
    # Fields of a newer minor version are skipped: only a new kind changes what a reader must do.
    arguments = {name: _checked(kind, name, value) for name, value in fields.items() if name in known}
    return KINDS[kind](**arguments), origin


def _checked(kind: str, name: str, value: Any) -> Any:
    if name in {"keys", "namespaces"}:
        if isinstance(value, list) and value and all(isinstance(item, str) and item for item in value):
            return tuple(value)
    elif type(value) is _TYPES[name] and (type(value) is not int or value >= 0):
        return value
    raise EntryFormatError(f"field {name} of a {kind} entry has a wrong value: {str(value)[:80]!r}")


def _decode_origin(value: Any) -> Origin | None:
    if value is None:
        return None
    if isinstance(value, dict):
        parts = (value.get("dc"), value.get("id"), value.get("nonce"))
        if all(isinstance(part, str) for part in parts):
            return Origin(*parts)  # type: ignore[arg-type]
    raise EntryFormatError(f"origin of an entry has a wrong value: {str(value)[:80]!r}")
